from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lcplm_graph.errors import ConfigError, InputError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.pooling import pool_residues
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.stage1 import Stage1Options, train
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.packing import tokenize
from lcplm_graph.tokens.vocabulary import encode_residues
from lcplm_graph.training.contrastive import HomologyContrast
from lcplm_graph.training.corpus import one_of_each, open_corpus
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.windows import CorpusBatches


@pytest.fixture(scope="module")
def families() -> tuple[SequenceStore, np.ndarray]:
    """60 families of 1 to 5 members; every protein starts with a tag of its family."""
    rng = np.random.default_rng(0)
    letters = np.array(list("LAGVSERTIDPKQNFYMHWC"))
    clusters = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    rng.shuffle(clusters)
    texts = ["".join(rng.choice(letters, int(n))) for n in rng.integers(20, 300, len(clusters))]
    return SequenceStore.from_records([f"p{i}" for i in range(len(texts))], texts), clusters


def _batches(families, views: int, **options) -> CorpusBatches:
    store, clusters = families
    training = clusters % 7 > 0
    return CorpusBatches(
        store, training, max_tokens=512, max_length=100, clusters=clusters, views=views, **options
    )


@pytest.mark.parametrize("views", [1, 2])
def test_every_training_cluster_once_an_epoch(families, views: int) -> None:
    _, clusters = families
    batches = _batches(families, views)
    epochs = []
    for epoch in range(2):
        first = sum(batches.batches_in(e) for e in range(epoch))
        rows = np.concatenate(
            [batches.rows(first + k)[0] for k in range(batches.batches_in(epoch))]
        )
        assert sorted(clusters[rows[:, 0]].tolist()) == [c for c in range(60) if c % 7]
        if views == 2:
            single = rows[:, 1] < 0
            sizes = np.bincount(clusters)
            assert (sizes[clusters[rows[single, 0]]] == 1).all()
            paired = rows[~single]
            assert (clusters[paired[:, 0]] == clusters[paired[:, 1]]).all()
            assert (paired[:, 0] != paired[:, 1]).all()
        epochs.append(rows)
    # Another epoch shows other members.
    assert set(epochs[0][:, 0]) != set(epochs[1][:, 0])


def test_clusters_of_one_protein_make_no_pairs(families) -> None:
    store, _ = families
    alone = np.arange(len(store))
    options = {"max_tokens": 512, "clusters": alone}
    with pytest.raises(InputError, match="no cluster has two proteins to train on"):
        CorpusBatches(store, np.ones(len(store), bool), views=2, **options)
    CorpusBatches(store, np.ones(len(store), bool), **options)


def test_pairs_are_crops_at_the_same_relative_position(families) -> None:
    store, _ = families
    batches = _batches(families, 2)
    batch, (rows, _) = batches.batch(0), batches.rows(0)
    assert batch.pairs is not None
    assert len(batch.input_ids) <= 512
    whole = torch.where(batch.labels != IGNORE, batch.labels, batch.input_ids).tolist()
    bounds = batch.cu_seqlens.tolist()
    flat = [int(row) for row in rows.ravel() if row >= 0]
    places = []
    for row, a, b in zip(flat, bounds[:-1], bounds[1:], strict=True):
        crop, ids = whole[a + 1 : b - 1], encode_residues(store[row]).tolist()
        starts = [i for i in range(len(ids)) if ids[i : i + len(crop)] == crop]
        assert starts
        assert len(crop) <= 100
        places.append((starts[0], len(ids) - len(crop)))
    assert len(batch.pairs)
    for one, other in batch.pairs.tolist():
        assert other == one + 1
        relative = [start / max(spare, 1) for start, spare in (places[one], places[other])]
        spares = [places[one][1], places[other][1]]
        if min(spares) > 20:
            assert relative[0] == pytest.approx(relative[1], abs=2 / min(spares) + 0.02)


def test_batch_is_a_function_of_seed_and_number(families) -> None:
    first, again = _batches(families, 2), _batches(families, 2)
    for a, b in zip(first.batch(30)[:3], again.batch(30)[:3], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_loss_is_nt_xent_written_out(temperature) -> None:
    torch.manual_seed(0)
    head = HomologyContrast(8, projected=5, temperature=temperature)
    packed = tokenize(["MKTAYI", "GAVL", "PPWQ", "MKT", "HHHHC", "GAW"])
    states = torch.randn(len(packed.input_ids), 8)
    pairs = torch.tensor([[0, 3], [5, 1]])
    loss, hits, views = head(states, packed, pairs).tolist()
    pooled = pool_residues(states, packed, "mean_std")[[0, 5, 3, 1]].double()
    scaled = (pooled - pooled.mean(0)) / (pooled.var(0, unbiased=False) + 1e-5).sqrt()
    z = scaled @ head.projection.weight.double().T
    z = z / z.norm(dim=1, keepdim=True)
    expected, right = 0.0, 0
    for i, j in ((0, 2), (1, 3), (2, 0), (3, 1)):
        others = {k: (z[i] @ z[k]).item() / temperature for k in range(4) if k != i}
        expected += math.log(sum(math.exp(v) for v in others.values())) - others[j]
        right += max(others, key=others.__getitem__) == j
    assert loss == pytest.approx(expected, rel=1e-4)
    assert (hits, views) == (right, 4)
    assert head(states, packed, pairs[:1]).tolist() == [0, 0, 0]


def test_whole_clusters_are_held_out(fasta, tmp_path) -> None:
    table = tmp_path / "clusters.tsv"
    table.write_text("".join(f"p{i % 80}\tp{i}\n" for i in range(400)))
    corpus = open_corpus(f"fasta:{fasta}", eval_tokens=300, clusters=str(table))
    assert corpus.clusters is not None
    held = np.unique(corpus.clusters[corpus.held_out])
    assert len(held) == len(corpus.held_out)
    assert np.array_equal(np.unique(corpus.clusters[~corpus.is_training]), held)
    assert corpus.facts["held_out_with_their_clusters"] == 5 * len(held)


def test_one_of_each_group() -> None:
    groups = np.repeat(np.arange(40), 25)
    chosen = one_of_each(groups, seed=0)
    assert np.array_equal(groups[chosen], np.arange(40))
    assert len(np.unique(chosen % 25)) > 5  # not always the first
    assert not np.array_equal(chosen, one_of_each(groups, seed=1))


@pytest.mark.parametrize("arch", ["bimamba-s", "esm2"])
def test_training_learns_families(tmp_path, arch: str) -> None:
    """Families differ in composition, so a few steps must bring the term well below chance."""
    rng = np.random.default_rng(0)
    letters = np.array(list("LAGVSERTIDPKQNFYMHWC"))
    lines, table = [], []
    for family in range(60):
        odds = rng.dirichlet(np.full(20, 1.0))
        for member in range(4):
            name = f"f{family}_{member}"
            text = "".join(rng.choice(letters, int(rng.integers(40, 80)), p=odds))
            lines.append(f">{name}\n{text}\n")
            table.append(f"f{family}_0\t{name}\n")
    (tmp_path / "p.fasta").write_text("".join(lines))
    (tmp_path / "c.tsv").write_text("".join(table))
    options = Stage1Options(
        corpus=f"fasta:{tmp_path}/p.fasta", clusters=f"{tmp_path}/c.tsv", contrastive=1.0,
        preset="tiny", d_model=32, d_state=4, arch=arch, steps=60, max_tokens=1024, devices=1,
        lr=1e-2, warmup=3, eval_tokens=300, log_every=1, eval_every=100, out=str(tmp_path / "run"),
    )  # fmt: skip
    train(options)
    rows = [r for r in read_metrics(tmp_path / "run/metrics.csv") if r["step"] > 0]
    losses = [row["contrastive_loss"] for row in rows]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert rows[-1]["loss"] == pytest.approx(
        rows[-1]["residue_loss"] + rows[-1]["contrastive_loss"], rel=1e-5
    )


def test_goes_on_from_a_model(tiny_options, tmp_path) -> None:
    train(tiny_options(out=str(tmp_path / "one")))
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="brings its own shape and leaves --preset tiny unused"):
        train(tiny_options(out=str(tmp_path / "two"), encoder=str(tmp_path / "one"), lr=1e-9))
    before, after = (read_metrics(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    assert after[0]["valid_loss"] == pytest.approx(before[-1]["valid_loss"], rel=1e-5)


def test_a_run_of_a_version_without_an_option_goes_on(tiny_options, tmp_path) -> None:
    train(tiny_options(out=str(tmp_path / "run")))
    config = tmp_path / "run/config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    older = [line for line in lines if not line.startswith("temperature:")]
    assert len(older) == len(lines) - 1
    config.write_text("".join(older))
    train(tiny_options(out=str(tmp_path / "run"), resume="auto"))
    config.write_text("".join(line for line in older if not line.startswith("seed:")))
    with pytest.raises(ConfigError, match="different: seed: 0 then, 3 now"):
        train(tiny_options(out=str(tmp_path / "run"), resume="auto", seed=3))


def test_the_temperature_is_that_of_the_run(tmp_path) -> None:
    """So high that all views are alike: the loss is that of a guess."""
    names = [f"f{n // 2}_{n % 2}" for n in range(60)]
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("LAGVSERTIDPKQNFYMHWC"), 50)) for _ in names]
    (tmp_path / "p.fasta").write_text(
        "".join(f">{name}\n{text}\n" for name, text in zip(names, texts, strict=True))
    )
    (tmp_path / "c.tsv").write_text("".join(f"{name[:-1]}0\t{name}\n" for name in names))
    train(
        Stage1Options(
            corpus=f"fasta:{tmp_path}/p.fasta", clusters=f"{tmp_path}/c.tsv", contrastive=1.0,
            temperature=1e6, preset="tiny", d_model=16, d_state=4, steps=2, max_tokens=512,
            devices=1, eval_tokens=100, log_every=1, eval_every=100, out=str(tmp_path / "run"),
        )
    )  # fmt: skip
    rows = [r for r in read_metrics(tmp_path / "run/metrics.csv") if r["step"] > 0]
    # A guess among the 2 P - 1 other views, P about 4 pairs of 50 residues in a batch of 512.
    assert all(math.log(5) < row["contrastive_loss"] < math.log(11) for row in rows)


def test_options_that_do_not_go_together(tiny_options) -> None:
    with pytest.raises(ConfigError, match="needs clusters"):
        tiny_options(contrastive=1.0)
    with pytest.raises(ConfigError, match="temperature is of the contrastive term"):
        tiny_options(temperature=0.2)
    for wrong, told in ((0.0, "it must be above 0"), (float("inf"), "must be a finite number")):
        with pytest.raises(ConfigError, match=told):
            tiny_options(contrastive=1.0, clusters="c.tsv", temperature=wrong)
    with pytest.raises(ConfigError, match="brings its own shape"):
        tiny_options(encoder="random:1m", d_state=8)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lcplm_graph.datasets.load import load_graph
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.pairs import is_in, pair_hashes, pair_keys
from lcplm_graph.splits.split import Split
from lcplm_graph.stage2 import main
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.vocabulary import EDGE, MASK, NO_EDGE
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.walks import HeldOutWalks, WalkBatches
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

PROTEINS = 120


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two families of proteins; only proteins of one family interact."""
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
    rng = np.random.default_rng(0)
    letters = [list("LAGVSERT"), list("IDPKQNFY")]
    texts = ["".join(rng.choice(letters[i % 2], 40)) for i in range(PROTEINS)]
    (tmp_path / "graph.fasta").write_text("".join(f">p{i}\n{t}\n" for i, t in enumerate(texts)))
    draws = rng.integers(0, PROTEINS // 2, (1500, 2)) * 2 + rng.integers(0, 2, (1500, 1))
    pairs = sorted({tuple(sorted(p)) for p in draws.tolist() if p[0] != p[1]})
    path = tmp_path / "graph.tsv"
    path.write_text("".join(f"p{a}\tp{b}\n" for a, b in pairs))
    return path


def _run(graph: str, out: Path, *more: str, status: int = 0) -> None:
    found = main(
        ["--graph", graph, "--encoder", "random:tiny", "--steps", "2", "--out", str(out),
         "--max-tokens", "512", "--walk-tokens", "256", "--walk-length", "3", "--split", "random",
         "--eval-pairs", "20", "--log-every", "1", "--devices", "1", *more]
    )  # fmt: skip
    assert found == status


def test_checkpoint_remembers_what_it_saw(table: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    _run(f"pairs:{table}", out)
    said = capsys.readouterr().out
    assert "held out, step 2: loss" in said and "(without a model: uniform 2.996)" in said
    assert f"written: {out / 'model'}" in said
    dataset = load_graph(f"pairs:{table}")
    split = Split.load(out / "split")
    assert split.fingerprint == dataset.split(kind="random", seed=0).fingerprint
    facts = json.loads((out / "model" / "training.json").read_text())
    assert facts["split"]["fingerprint"] == split.fingerprint
    assert (facts["steps"], facts["stage"]) == (2, 2)

    seen = load_encoder(out).seen_edges()
    digests = dataset.sequences.digests()
    assert seen is not None
    assert seen.dtype == np.uint64
    assert np.array_equal(seen, np.unique(pair_hashes(digests, split.train)))
    assert not np.isin(pair_hashes(digests, split.held_out), seen).any()
    rows = read_metrics(out / "metrics.csv")
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert 0 <= rows[0]["valid_relation_auroc"] <= 1

    # Going on from this encoder with another split adds to its past.
    _run(f"pairs:{table}", tmp_path / "more", "--encoder", str(out), "--split-seed", "1")
    assert np.isin(seen, load_encoder(tmp_path / "more").seen_edges()).all()


def _held_out(table: Path) -> tuple[Split, HeldOutWalks]:
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="random", seed=0)
    residues = ResidueTable.from_store(dataset.sequences)
    return split, HeldOutWalks([(split, residues)], share=30, count=50, max_tokens=512)


def test_held_out_walks_are_unseen_edges_and_true_negatives(table: Path) -> None:
    split, held_out = _held_out(table)
    nodes, is_edge = held_out.pairs
    keys = pair_keys(np.sort(nodes, axis=1), split.num_nodes)
    train, known = (pair_keys(p, split.num_nodes) for p in (split.train, split.known))
    assert not is_in(keys, train).any()
    assert np.array_equal(is_in(keys, known), is_edge)
    assert is_edge.sum() == 50
    assert abs((~is_edge).sum() - 50) <= 2
    for batch in held_out.batches:
        assert len(batch.input_ids) <= 512
        assert not ((batch.input_ids == EDGE) | (batch.input_ids == NO_EDGE)).any()
        marker = (batch.labels == EDGE) | (batch.labels == NO_EDGE)
        assert marker.sum() == len(batch.cu_seqlens) - 1
        assert (batch.input_ids[marker] == MASK).all()
        at = torch.searchsorted(batch.cu_seqlens, marker.nonzero()[:, 0], right=True)
        assert at.tolist() == list(range(1, len(batch.cu_seqlens)))


def test_auroc_is_that_of_the_model(table: Path) -> None:
    _, held_out = _held_out(table)
    labels = {b.number: b.labels for b in held_out.batches}
    order = iter(held_out.batches)

    def oracle(ids: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
        truth = labels[next(order).number]
        return 9.0 * torch.nn.functional.one_hot(truth.clamp(min=0), 128).float()

    got = held_out(oracle, torch.device("cpu"))
    assert got["valid_relation_auroc"] == 1.0
    assert got["valid_relation_accuracy"] == 1.0
    blind = held_out(lambda ids, cu: torch.zeros(len(ids), 128), torch.device("cpu"))
    assert blind["valid_relation_auroc"] == 0.5
    assert blind["valid_residue_loss"] == pytest.approx(np.log(128))


def test_batches_mask_residues_and_markers_at_their_own_rates(table: Path) -> None:
    dataset = load_graph(f"pairs:{table}")
    sampler = WalkSampler(dataset.split(kind="random", seed=0), 4)
    stream = WalkStream(sampler, dataset.sequences, max_tokens=256, negative_rate=0.5)
    source = WalkBatches(stream, max_tokens=1024, relation_rate=0.6, seed=0)
    masked = markers = residues = asked = 0
    for index in range(60):
        batch = source.batch(index)
        tokens = stream.batch(index, 1024)
        at = torch.from_numpy(tokens.marker_positions)
        truth = torch.from_numpy(np.where(tokens.marker_labels == 1, EDGE, NO_EDGE))
        hit = batch.labels[at] != IGNORE
        assert (batch.labels[at][hit] == truth[hit]).all()
        assert (batch.input_ids[at][hit] == MASK).all()
        masked, markers = masked + int(hit.sum()), markers + len(at)
        asked += int((batch.labels != IGNORE).sum()) - int(hit.sum())
        residues += int((tokens.spans[:, 1] - tokens.spans[:, 0]).sum())
    assert masked / markers == pytest.approx(0.6, abs=0.06)
    assert asked / residues == pytest.approx(0.15, abs=0.01)
    again = WalkBatches(stream, max_tokens=1024, relation_rate=0.6, seed=0).batch(59)
    assert torch.equal(again.labels, batch.labels)
    assert torch.equal(again.input_ids, batch.input_ids)


@pytest.mark.slow
def test_it_learns_which_families_interact(table: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 32, "n_layer": 2})
    out = tmp_path / "run"
    _run(f"pairs:{table}", out, "--steps", "120", "--relation-rate", "1", "--lr", "0.01",
         "--relation-weight", "1", "--log-every", "60", "--eval-pairs", "80",
         "--max-tokens", "1024", "--walk-tokens", "96", "--walk-length", "2",
         "--relation", "marker")  # fmt: skip
    rows = read_metrics(out / "metrics.csv")
    assert rows[0]["valid_relation_auroc"] < 0.65
    assert rows[-1]["valid_relation_auroc"] > 0.7


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--graph", "string_humann_core"], "did you mean 'string_human_core'?); known: "),
        (["--graph", "pairs:{folder}/lonely.tsv"], "give the FASTA file of"),
        (["--graph", "pairs:{folder}/none.tsv"], "none.tsv: no such file; check the path"),
        (["--graph", "string_human"], "or use the embedded dataset 'string_human_core'"),
        (["--max-tokens", "100", "--walk-tokens", "20"], "max_tokens=20 leaves each protein"),
        (["--max-tokens", "100"], "walk_tokens is 256, but a batch of 100 tokens has 50 for walks"),
        (["--walk-share", "0.99", "--walk-tokens", "100"], "tokens of a batch, fewer than 10"),
        (["--freeze", "99"], "--freeze 99 is more than the"),
        (["--walk-length", "0"], "walk_length must be at least 1, not 0"),
        (["--p", "0"], "p must"),
        (["--encoder", "composition"], "cannot be trained here; give an LC-PLM"),
        (["--encoder", "lcplm-none"], "no encoder 'lcplm-none' ships"),
        (["--split", "C9"], "no split 'C9'"),
    ],
)
def test_bad_input_is_one_sentence(table, tmp_path, monkeypatch, arguments, text, capsys) -> None:
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    (tmp_path / "lonely.tsv").write_text("a\tb\n")
    out = tmp_path / "out"
    _run(f"pairs:{table}", out, *(a.format(folder=tmp_path) for a in arguments), status=1)
    message = capsys.readouterr().err.splitlines()[-1]
    assert text in message
    assert message.startswith("lcplm stage2: ")
    assert not out.exists()

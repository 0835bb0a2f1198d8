"""The link table: baselines beside heads, every row with its facts, and the leakage guard."""

import itertools
import json

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch_geometric.data import Data

from lcplm_graph import evaluate, predict, stage2
from lcplm_graph.datasets.load import graph_split, load_graph
from lcplm_graph.errors import ConfigError, InputError, LcPlmWarning, LeakageError
from lcplm_graph.evaluation import scorers
from lcplm_graph.evaluation.bootstrap import bootstrap_pairs
from lcplm_graph.evaluation.guard import check_encoder
from lcplm_graph.evaluation.link import evaluate_link, probability_metrics
from lcplm_graph.evaluation.link_pairs import ClassPairs, LinkOptions, labelled_pairs
from lcplm_graph.evaluation.metrics import auroc
from lcplm_graph.evaluation.scorers import Scorer, link_scorers, model_scorer
from lcplm_graph.finetuning.metrics import measure
from lcplm_graph.finetuning.target import Target
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.fit_link import fit_link
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkScores
from lcplm_graph.models import unlike
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.pairs import pair_hashes
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

LETTERS = ("ACDE", "FGHI", "KLMN", "PQRS", "TVWY")
# So that every class of negatives is filled: one that cannot be is searched a million times.
SIZE = 20


def family(name):
    """Families take turns, so p7 is of family 2."""
    return int(name[1:]) % len(LETTERS)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Five families without a common letter; a pair interacts exactly if it is within one."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pairs")
    names = [f"p{i:03d}" for i in range(SIZE * len(LETTERS))]
    sequences = ["".join(rng.choice(list(LETTERS[family(n)]), rng.integers(20, 50))) for n in names]
    write_fasta(folder / "net.fasta", names, sequences)
    pairs = list(itertools.combinations(names, 2))
    within = [pair for pair in pairs if family(pair[0]) == family(pair[1])]
    across = [pair for pair in pairs if family(pair[0]) != family(pair[1])]
    rows = [f"{a}\t{b}\t1\n" for a, b in within]
    rows += [f"{across[i][0]}\t{across[i][1]}\t0\n" for i in rng.permutation(len(across))[:2000]]
    (folder / "net.tsv").write_text("".join(rows))
    return folder / "net.tsv"


def oracle(dataset):
    """Score 1 for two proteins of one family, the rule that made the pairs."""
    own = np.array([family(name) for name in dataset.sequences.ids])
    same = (own[:, None] == own).astype(float)
    return Scorer("oracle", lambda p: same[p[:, 0], p[:, 1]], lambda q: same[q])


def test_the_table_tells_signal_from_chance_and_states_its_terms(table):
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="node", seed=0)
    options = LinkOptions(ranked=20, resamples=20)
    classes = labelled_pairs(split, options)
    rows = link_scorers(
        dataset,
        split,
        load_encoder("composition"),
        fit=FitOptions(steps=30, batch_size=512),
        members=2,
    )
    report, curves = evaluate_link([*rows, oracle(dataset)], classes, split, options=options)
    cells = {(row["class"], row["model"]): row for row in report.rows}
    models = list(dict.fromkeys(row["model"] for row in report.rows))
    assert models == [
        "degree", "common neighbours", "Adamic-Adar", "resource allocation", "interologs",
        "composition", "composition + dipeptides", "link model (composition)",
        "link model (composition) + interologs", "oracle",
    ]  # fmt: skip
    assert set(curves) == {"C1", "C2", "C3"}
    facts = {part.name: part.facts for part in classes}
    for (name, model), row in cells.items():
        assert row["split"] == "node"
        assert row["negatives"] == "stub_matched"
        assert row["ratio"] == 1.0
        assert row["degree_auroc"] == cells[name, "degree"]["auroc"].value
        assert row["auroc"].low <= row["auroc"].value <= row["auroc"].high
        assert facts[name].items() <= row.items()
        labels, scores = curves[name][model]
        assert row["auroc"].value == pytest.approx(roc_auc_score(labels, scores))
        assert row["ap_1"].value == pytest.approx(
            average_precision_score(labels, scores, sample_weight=_at_one_to_one(labels))
        )
    for name in curves:
        # Every pair within a family is known, so all other candidates are of other families.
        assert cells[name, "oracle"]["auroc"].value == 1
        assert cells[name, "oracle"]["mrr"].value == 1
        # The features name the family: two letters of different families never meet.
        assert cells[name, "composition"]["auroc"].low > 0.5
        assert len(cells[name, "composition"]["auroc_by_seed"]) == 2
    # Two of a family have its other training proteins in common, two of different ones nothing.
    assert cells["C1", "common neighbours"]["auroc"].value == 1
    # A protein without a training partner has no neighbour to share.
    for name in ("C2", "C3"):
        assert cells[name, "common neighbours"]["auroc"].value == 0.5


def test_features_in_walks_are_a_row_beside_those_of_single_proteins(table, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 8, "n_layer": 1})
    dataset = load_graph(f"pairs:{table}")
    rows = link_scorers(
        dataset, dataset.split(kind="node", seed=0), load_encoder("random:tiny"),
        fit=FitOptions(steps=2, batch_size=64), members=1, context="walks", conv="none",
        homologues=False,
    )  # fmt: skip
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    name = "random:tiny (untrained)"
    alone, walks, model = ([s.name, s.score(pairs).ravel()] for s in list(rows)[-3:])
    assert [alone[0], walks[0]] == [f"encoder {name}", f"encoder {name} in walks"]
    assert model[0] == f"link model ({name} in walks)"
    assert not np.allclose(alone[1], walks[1])


def _at_one_to_one(labels):
    return np.where(labels, 1.0, labels.sum() / (~labels).sum())


def test_a_head_learns_nothing_from_features_of_other_proteins(table):
    """The counterpart: the same pairs and head, the features dealt out at random."""
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="node", seed=0)
    x = load_encoder("composition").embed(list(dataset.sequences))
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    model = fit_link(LinkPredictor(20, conv="none"), x, split, FitOptions(steps=30, batch_size=512))
    scorer = model_scorer(LinkScores([(model, x)], split))
    (new,) = [p for p in labelled_pairs(split, LinkOptions()) if p.name == "C3"]
    found = bootstrap_pairs(auroc, new.labels, scorer.score(new.pairs), new.pairs)
    assert found.low < 0.5 < found.high


def test_numbers_follow_the_scores():
    rng = np.random.default_rng(1)
    index = rng.integers(60, size=(2, 900))
    split = make_split(Data(edge_index=torch.from_numpy(index), num_nodes=60), "C1", seed=0)
    options = LinkOptions(ranked=30, resamples=10)
    classes = labelled_pairs(split, options)
    known = {tuple(p) for p in split.known.tolist()}
    right = np.array([[tuple(sorted((i, j))) in known for j in range(60)] for i in range(60)])
    perfect = Scorer(
        "oracle", lambda p: right[p[:, 0], p[:, 1]].astype(float), lambda q: right[q] * 1.0
    )
    blind = Scorer("blind", lambda p: np.zeros(len(p)), lambda q: np.zeros((len(q), 60)))
    report, _ = evaluate_link([blind, perfect], classes, split, options=options)
    low, high = report.rows
    assert (high["auroc"].value, high["ap_100"], high["mrr"].value) == (1.0, 1.0, 1.0)
    assert low["auroc"].value == 0.5
    assert low["ap_10"] == pytest.approx(1 / 11)
    assert low["mrr"].value < 0.2
    # Fewer negatives than K: no number rather than a wrong one.
    assert (high["hits_100"] is None) == (high["negatives_count"] < 100)


@pytest.mark.parametrize(
    ("negatives", "ratio"), [("stub_matched", 1), ("stub_matched", 5), ("uniform", 3)]
)
def test_probabilities_are_calibrated_for_the_negatives_of_the_test_part(table, negatives, ratio):
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="C1", seed=0, valid=0.3, test=0.3)
    noise = np.random.default_rng(0).normal(size=(split.num_nodes, split.num_nodes))
    exact = oracle(dataset)
    noisy = Scorer("noisy", lambda p: exact.score(p) + noise[p[:, 0], p[:, 1]], exact.rows)
    options = LinkOptions(negatives=negatives, ratio=ratio, ranked=0, resamples=5)
    report, _ = evaluate_link([noisy], labelled_pairs(split, options), split, options=options)
    (row,) = report.rows
    assert row["ratio"] == ratio
    assert row["ece"] < 0.06
    counts = row["positives"], row["negatives_count"]
    assert row["accuracy"] >= max(counts) / sum(counts) - 0.03


def test_one_half_is_a_yes_here_and_for_fine_tuned_models():
    pairs, labels = np.array([[0, 1], [1, 2], [0, 2], [2, 3]]), np.array([True, True, False, False])
    split = Split("C1", 4, pairs[:1], pairs[:1], pairs[1:], [1] * 3)
    scores = np.array([0.0, 0.0, 0.0, -1.0])
    found = probability_metrics(ClassPairs("C1", pairs, labels), scores, split, Calibration())
    own = measure(Target("binary", ("no", "yes")), labels, 1 / (1 + np.exp(-scores)))
    assert found["accuracy"] == own["accuracy"] == 0.75
    assert found["mcc"] == own["mcc"] > 0


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": float("nan")}, {"ranked": -1}])
def test_what_cannot_be_measured_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be"):
        LinkOptions(**wrong)


def seen_encoder(edges):
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    return LcPlmEncoder(model.eval(), "stage-2 run", seen_edges=edges).eval()


def test_an_encoder_that_saw_test_edges_is_refused(table):
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="node", seed=0)
    digests = dataset.sequences.digests()
    honest = np.sort(pair_hashes(digests, split.train))
    assert check_encoder(seen_encoder(honest), dataset.sequences, split) == ""
    everything = np.sort(pair_hashes(digests, split.known[:, ::-1]))
    with pytest.raises(LeakageError, match=rf"on {len(split.held_out)} of the .*allow-leakage"):
        check_encoder(seen_encoder(everything), dataset.sequences, split)
    assert (
        check_encoder(seen_encoder(everything), dataset.sequences, split, allow_leakage=True)
        == "LEAKED"
    )
    assert check_encoder(load_encoder("composition"), dataset.sequences, split) == ""


def run_stage2(table, out, split_seed):
    """Two real steps of stage 2; the split's training pairs are what it walks over."""
    stage2.main(
        ["--graph", f"pairs:{table}", "--encoder", "random:tiny", "--steps", "2", "--out", str(out),
         "--max-tokens", "512", "--walk-tokens", "256", "--walk-length", "3", "--split", "node",
         "--split-seed", str(split_seed), "--eval-pairs", "20", "--devices", "1"]
    )  # fmt: skip


def run_link(table, *more):
    fast = ["--ranked", "0", "--resamples", "10", "--steps", "5", "--seed", "0"]
    return evaluate.main(["link", "--graph", f"pairs:{table}", *fast, *more])


def test_the_command_line_refuses_or_marks_a_leak(table, tmp_path, capsys, monkeypatch):
    """Stage 2 on one split has walked over test pairs of another."""
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
    run, out = tmp_path / "run", tmp_path / "out"
    run_stage2(table, run, split_seed=1)
    walked = Split.load(run / "split")
    asked = load_graph(f"pairs:{table}").split(kind="node", seed=0)
    shared = {tuple(p) for p in walked.train.tolist()} & {tuple(p) for p in asked.held_out.tolist()}
    assert len(shared) > 100
    capsys.readouterr()
    assert run_link(table, "--encoder", str(run), "--out", str(out)) == 1
    said = capsys.readouterr().err
    assert (
        f"on {len(shared)} of the {len(asked.held_out)} held-out pairs of this node split" in said
    )
    assert "--split DIR/split.json" in said
    assert "--split-seed" in said
    assert not out.exists()
    # The fix that the message names.
    dataset = load_graph(f"pairs:{table}")
    assert check_encoder(load_encoder(run), dataset.sequences, walked) == ""
    arguments = ["--encoder", str(run), "--out", str(out)]
    assert run_link(table, *arguments, "--allow-leakage") == 0
    printed = capsys.readouterr().out
    marked = [line for line in printed.splitlines() if line.startswith("C") and str(run) in line]
    assert len(marked) == 9
    assert all("LEAKED" in line for line in marked)
    assert "random-init encoder" in printed
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {row["leaked"] for row in rows if "LEAKED" in row["model"]} == {True}
    assert not any(row["leaked"] for row in rows if str(run) not in row["model"])
    for picture in ("roc_pr.png", "reliability.png", "embeddings.png"):
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"


class NotTrained:
    """Stands in for `LinkModel`."""

    log_odds = rows = None

    @classmethod
    def fit(cls, *features, **options):
        return cls()

    def judged(self, *given):
        return self

    def on(self, *given):
        return self


def test_the_row_without_training_can_be_left_out(table, monkeypatch):
    monkeypatch.setattr(scorers, "random_twin", lambda encoder: encoder)
    monkeypatch.setattr(scorers, "LinkModel", NotTrained)
    dataset = load_graph(f"pairs:{table}")
    split, encoder = dataset.split(kind="node", seed=0), load_encoder("composition")
    every = [row.name for row in link_scorers(dataset, split, encoder)]
    fewer = [row.name for row in link_scorers(dataset, split, encoder, untrained=False)]
    assert [name for name in every if name not in fewer] == ["random-init encoder"]
    assert len(fewer) == len(every) - 1
    alone = [row.name for row in link_scorers(dataset, split, encoder, homologues=False)]
    assert [name for name in every if name not in alone] == [
        "interologs", "link model (composition) + interologs",
    ]  # fmt: skip


def test_published_negatives_and_saved_splits(table, tmp_path, capsys):
    saved = load_graph(f"pairs:{table}").split(kind="random", seed=3).save(tmp_path / "split")
    out = tmp_path / "out"
    arguments = ["--encoder", "composition", "--split", str(saved), "--negatives", "published"]
    assert run_link(table, *arguments, "--out", str(out)) == 0
    assert "published with the pairs" in capsys.readouterr().out
    rows = json.loads((out / "results.json").read_text())["rows"]
    facts = rows[0]
    assert facts["class"] == "all"
    assert facts["positives"] == sum(
        r["positives"] for r in rows if r["model"] == facts["model"] and r is not facts
    )
    assert facts["split"] == "random"
    assert facts["negatives"] == "published"


def test_a_file_that_is_called_like_a_kind_is_not_taken_for_it(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = load_graph(f"pairs:{table}")
    saved = dataset.split("C1", seed=0)
    saved.save("C1")
    saved.save("mine")
    assert graph_split(dataset, "C1", 5).fingerprint == dataset.split("C1", seed=5).fingerprint
    for name in ("C1.json", "mine", "./C1"):
        assert graph_split(dataset, name, 5).fingerprint == saved.fingerprint


def test_splits_of_other_graphs_and_empty_ones_are_refused(table, tmp_path, capsys):
    Split("random", 5, [[0, 1]], [[0, 1]], [[1, 2]], [1]).save(tmp_path / "small")
    assert run_link(table, "--split", str(tmp_path / "small.json")) == 1
    assert "splits another graph" in capsys.readouterr().err
    dataset = load_graph(f"pairs:{table}")
    pairs = dataset.split("random").known
    others = pairs[:-1], np.concatenate([pairs[1:], [[0, len(dataset.sequences) - 1]]])
    for number, other in enumerate(others):
        path = tmp_path / f"other{number}"
        Split("random", len(dataset.sequences), other[4:], other[4:], other[:4], [1] * 4).save(path)
        with pytest.raises(ConfigError, match=f"{len(other)} edges, this one {len(pairs)}, and"):
            graph_split(dataset, str(path), 0)
    nothing = Split("random", 5, [[0, 1]], [[0, 1]], [], [])
    with pytest.raises(InputError, match="no test pair"):
        labelled_pairs(nothing, LinkOptions())
    split = load_graph(f"pairs:{table}").split(kind="random", seed=0)
    with pytest.raises(InputError, match="without published negatives"):
        labelled_pairs(split, LinkOptions(negatives="published"))
    few = Split("random", 50, [[0, 1]], [[0, 1]], [[i, i + 1] for i in range(1, 12)], [1] * 11)
    with pytest.raises(InputError, match="no class of test pairs has 20 positives"):
        labelled_pairs(few, LinkOptions(negatives="uniform"))


def test_predict_writes_ranked_tables(table, tmp_path, capsys, monkeypatch):
    dataset = load_graph(f"pairs:{table}")
    new = tmp_path / "new.fasta"
    write_fasta(new, ["fresh", "old"], ["ACDEACDEACDEAACC", dataset.sequences[7]])
    fast = ["--graph", f"pairs:{table}", "--encoder", "composition", "--steps", "20", "--top", "5"]
    out = tmp_path / "partners.tsv"
    strange = "of 2 proteins are unlike anything seen in training, for example fresh"
    with monkeypatch.context() as patch, pytest.warns(LcPlmWarning, match=strange):
        patch.setattr(unlike, "FARTHEST", 0.5)
        assert predict.main(["partners", str(new), "--out", str(out), *fast]) == 0
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    assert lines[0] == ["query", "rank", "partner", "symbol", "probability", "uncertainty", "known"]
    assert [line[0] for line in lines[1:]] == ["fresh"] * 5 + ["old"] * 5
    assert {line[6] for line in lines[1:6]} == {"no"}
    assert "self" not in {line[6] for line in lines}
    kept = "trained before on the same data in the same way: "
    assert kept not in capsys.readouterr().out
    named = ["partners", dataset.sequences.ids[7], "ACDEACDEACDEAACCACDEACDE"]
    assert predict.main([*named, "--out", str(tmp_path / "named.tsv"), *fast]) == 0
    assert kept in capsys.readouterr().out
    again = [line.split("\t") for line in (tmp_path / "named.tsv").read_text().splitlines()[1:]]
    assert [line[1:] for line in again[:5]] == [line[1:] for line in lines[6:]]
    assert {line[0] for line in again[5:]} == {"ACDEACDEACDEAACCACDEACDE"}
    novel = tmp_path / "novel.tsv"
    asked = ["partners", str(new), "--out", str(novel), *fast[:-1], "99"]
    assert predict.main(asked) == 0
    told = len([line for line in novel.read_text().splitlines() if line.endswith("yes")])
    assert (
        f"{told} of them are edges of the graph; --novel leaves those out"
        in capsys.readouterr().out
    )
    assert predict.main([*asked, "--novel"]) == 0
    rest = [line.split("\t") for line in novel.read_text().splitlines()[1:]]
    assert {line[6] for line in rest} == {"no"}
    assert [int(line[1]) for line in rest if line[0] == "old"] == list(
        range(1, len(dataset.sequences) - told)
    )
    assert "--novel" not in capsys.readouterr().out
    every = tmp_path / "every.tsv"
    all_of_them = [*fast[:-1], "99", "--itself"]
    assert predict.main(["partners", str(new), "--out", str(every), *all_of_them]) == 0
    itself = [x for line in every.read_text().splitlines() if (x := line.split("\t"))[6] == "self"]
    assert [(line[0], line[2]) for line in itself] == [("old", dataset.sequences.ids[7])]
    sure = [float(line[4]) for line in lines[1:6]]
    assert sure == sorted(sure, reverse=True)
    assert 0 <= sure[-1] <= sure[0] <= 1
    edges = tmp_path / "edges.tsv"
    head = ["--save-head", str(tmp_path / "head")]
    assert predict.main(["edges", "--out", str(edges), *fast, *head]) == 0
    rows = [line.split("\t") for line in edges.read_text().splitlines()[1:]]
    known = {tuple(p) for p in dataset.split(kind="C1").known.tolist()}
    ids = dataset.sequences.ids
    assert len(rows) == 5
    assert all((ids.index(r[1]), ids.index(r[2])) not in known for r in rows)
    head = ["--head", str(tmp_path / "head")]
    assert predict.main(["edges", "--out", str(edges), *fast, *head, "--no-homologues"]) == 1
    assert "leave out --steps, --no-homologues, or --head" in capsys.readouterr().err
    trained = [*fast[:4], "--top", "5", *head]
    for suffix in ("graphml", "cx2"):
        file = tmp_path / f"edges.{suffix}"
        assert predict.main(["edges", "--out", str(file), *trained]) == 0
        assert _edges_of(file) == {(r[1], r[2]) for r in rows}
    assert predict.main(["edges", "--out", "x.txt", *fast]) == 1
    assert "should end in one of .tsv" in capsys.readouterr().err
    assert predict.main(["partners", "none.fasta", "--out", str(out), *fast]) == 1
    assert "no such file" in capsys.readouterr().err


def _edges_of(file):
    if file.suffix == ".graphml":
        return {tuple(sorted(e)) for e in nx.read_graphml(file).edges()}
    document = json.loads(file.read_text())
    aspects = {key: value for part in document for key, value in part.items()}
    names = {node["id"]: node["v"]["name"] for node in aspects["nodes"]}
    declared = aspects["attributeDeclarations"][0]["edges"]
    assert declared["probability"] == {"d": "double"}
    assert aspects["status"] == [{"completed": True, "success": True}]
    return {tuple(sorted((names[e["s"]], names[e["t"]]))) for e in aspects["edges"]}


def test_graph_and_fasta_of_different_ids(tmp_path, capsys):
    (tmp_path / "net.tsv").write_text("a\tb\nc\td\n")
    write_fasta(tmp_path / "net.fasta", ["x", "y"], ["MKT", "MKV"])
    assert run_link(tmp_path / "net.tsv") == 1
    said = capsys.readouterr().err
    assert "no pair is left of 2 rows: 2 rows without sequence" in said
    assert "table are like 'a', 'c', ids of the FASTA file, 2 in all, like 'x', 'y'" in said

"""The link table: baselines beside heads, every row with its facts, and the leakage guard."""

import json

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph import evaluate, predict
from lcplm_graph.datasets.edges import pair_hashes
from lcplm_graph.datasets.fasta import write_fasta
from lcplm_graph.datasets.sequences import SequenceStore
from lcplm_graph.datasets.splits import Split, make_split
from lcplm_graph.errors import InputError, LeakageError
from lcplm_graph.evaluation.guard import check_encoder
from lcplm_graph.evaluation.link import LinkOptions, evaluate_link, labelled_pairs
from lcplm_graph.evaluation.scorers import Scorer, link_scorers, load_graph
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM

GROUPS = ("ACDE", "FGHI", "KLMN", "PQRS", "TVWY")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Proteins of one composition interact: a TSV and a FASTA file."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pairs")
    group = rng.integers(5, size=300)
    names = [f"p{i:03d}" for i in range(300)]
    sequences = [
        "".join(rng.choice(list(GROUPS[g] + "ACDEFGHIKLMNPQRSTVWY"), rng.integers(20, 50)))
        for g in group
    ]
    write_fasta(folder / "net.fasta", names, sequences)
    pairs = np.unique(np.sort(rng.integers(300, size=(30000, 2)), axis=1), axis=0)
    pairs = pairs[(group[pairs[:, 0]] == group[pairs[:, 1]]) & (pairs[:, 0] != pairs[:, 1])]
    pairs = pairs[rng.permutation(len(pairs))[:2500]]
    other = np.unique(np.sort(rng.integers(300, size=(3000, 2)), axis=1), axis=0)
    other = other[(group[other[:, 0]] != group[other[:, 1]])][:2000]
    rows = [f"{names[i]}\t{names[j]}\t1\n" for i, j in pairs]
    rows += [f"{names[i]}\t{names[j]}\t0\n" for i, j in other]
    (folder / "net.tsv").write_text("".join(rows))
    return folder / "net.tsv"


def test_the_table_tells_signal_from_chance_and_states_its_terms(table):
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="node", seed=0)
    options = LinkOptions(ranked=20, resamples=20)
    report, curves = evaluate_link(
        link_scorers(
            dataset, split, load_encoder("composition"),
            fit=FitOptions(steps=60, batch_size=512),
        ),
        labelled_pairs(split, options), split.known, split.num_nodes,
        split_kind=split.kind, options=options,
    )  # fmt: skip
    cells = {(row["class"], row["model"]): row for row in report.rows}
    models = list(dict.fromkeys(row["model"] for row in report.rows))
    assert models == [
        "degree", "common neighbours", "adamic adar", "composition", "composition + dipeptides",
        "encoder composition", "encoder composition + GraphSAGE",
    ]  # fmt: skip
    assert set(curves) == {"C1", "C2", "C3"}
    for (name, model), row in cells.items():
        assert row["split"] == "node"
        assert row["negatives"] == "stub_matched"
        assert row["ratio"] == 1.0
        assert row["positives"] > 20
        assert row["negatives_count"] > 20
        assert 0 < row["proteins"] <= 300
        assert row["degree_auroc"] == cells[name, "degree"]["auroc"].value
        assert row["auroc"].low <= row["auroc"].value <= row["auroc"].high
        if model == "composition":
            assert row["auroc"].value > (0.7 if name == "C1" else 0.55)
            assert row["mrr"].value > 0.01
    assert cells["C3", "common neighbours"]["auroc"].value == 0.5
    assert cells["C1", "common neighbours"]["auroc"].value > 0.8
    assert abs(cells["C1", "degree"]["auroc"].value - 0.5) < 0.15
    same = ("auroc", "ap_1", "ap_10", "hits_20")
    twin = cells["C2", "encoder composition"]
    assert all(twin[key] == cells["C2", "composition"][key] for key in same)


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
    report, _ = evaluate_link(
        [blind, perfect], classes, split.known, 60, split_kind="C1", options=options
    )
    low, high = report.rows
    assert (high["auroc"].value, high["ap_100"], high["mrr"].value) == (1.0, 1.0, 1.0)
    assert low["auroc"].value == 0.5
    assert low["ap_10"] == pytest.approx(1 / 11)
    assert low["mrr"].value < 0.2
    # Fewer negatives than K: no number rather than a wrong one.
    assert (high["hits_100"] is None) == (high["negatives_count"] < 100)


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


@pytest.fixture
def leaky_folder(table, tmp_path):
    """What stage 2 on the whole graph leaves behind."""
    dataset = load_graph(f"pairs:{table}")
    split = dataset.split(kind="node", seed=0)
    folder = tmp_path / "run"
    encoder = seen_encoder(None)
    encoder.model.save_pretrained(folder)
    hashes = np.sort(pair_hashes(dataset.sequences.digests(), split.known))
    np.save(folder / "seen_edges.npy", hashes)
    return folder


def run_link(table, *more):
    fast = ["--ranked", "0", "--resamples", "10", "--steps", "5", "--seed", "0"]
    return evaluate.main(["link", "--graph", f"pairs:{table}", *fast, *more])


def test_the_command_line_refuses_or_marks_a_leak(table, leaky_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_link(table, "--encoder", str(leaky_folder), "--out", str(out)) == 1
    said = capsys.readouterr().err
    assert "held-out pairs of this node split" in said
    assert "--split_seed" in said
    assert not out.exists()
    arguments = ["--encoder", str(leaky_folder), "--out", str(out), "--allow-leakage"]
    assert run_link(table, *arguments) == 0
    printed = capsys.readouterr().out
    marked = [line for line in printed.splitlines() if "encoder /" in line]
    assert len(marked) == 6
    assert all("LEAKED" in line for line in marked)
    assert "random-init encoder" in printed
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {row["leaked"] for row in rows if "LEAKED" in row["model"]} == {True}
    assert not any(row["leaked"] for row in rows if "encoder /" not in row["model"])
    for picture in ("roc_pr.png", "reliability.png", "embeddings.png"):
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"


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


def test_splits_of_other_graphs_and_empty_ones_are_refused(table, tmp_path, capsys):
    Split("random", 5, [[0, 1]], [[0, 1]], [[1, 2]], [1]).save(tmp_path / "small")
    assert run_link(table, "--split", str(tmp_path / "small.json")) == 1
    assert "splits a graph of 5 proteins" in capsys.readouterr().err
    nothing = Split("random", 5, [[0, 1]], [[0, 1]], [], [])
    with pytest.raises(InputError, match="no test pair"):
        labelled_pairs(nothing, LinkOptions())
    split = load_graph(f"pairs:{table}").split(kind="random", seed=0)
    with pytest.raises(InputError, match="without published negatives"):
        labelled_pairs(split, LinkOptions(negatives="published"))
    few = Split("random", 50, [[0, 1]], [[0, 1]], [[i, i + 1] for i in range(1, 12)], [1] * 11)
    with pytest.raises(InputError, match="no class of test pairs has 20 positives"):
        labelled_pairs(few, LinkOptions(negatives="uniform"))


def test_predict_writes_ranked_tables(table, tmp_path, capsys):
    dataset = load_graph(f"pairs:{table}")
    new = tmp_path / "new.fasta"
    write_fasta(new, ["fresh", "old"], ["ACDEACDEACDEAACC", dataset.sequences[7]])
    fast = ["--graph", f"pairs:{table}", "--encoder", "composition", "--steps", "20", "--top", "5"]
    out = tmp_path / "partners.tsv"
    assert predict.main(["partners", str(new), "--out", str(out), *fast]) == 0
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    assert lines[0] == ["query", "rank", "partner", "symbol", "log_odds", "known"]
    assert [line[0] for line in lines[1:]] == ["fresh"] * 5 + ["old"] * 5
    assert {line[5] for line in lines[1:6]} == {"no"}
    odds = [float(line[4]) for line in lines[1:6]]
    assert odds == sorted(odds, reverse=True)
    edges = tmp_path / "edges.tsv"
    assert predict.main(["edges", "--out", str(edges), *fast]) == 0
    rows = [line.split("\t") for line in edges.read_text().splitlines()[1:]]
    known = {tuple(p) for p in dataset.split(kind="C1").known.tolist()}
    ids = dataset.sequences.ids
    assert len(rows) == 5
    assert all((ids.index(r[1]), ids.index(r[2])) not in known for r in rows)
    assert predict.main(["partners", "none.fasta", "--out", str(out), *fast]) == 1
    assert "no such file" in capsys.readouterr().err


def test_graph_and_fasta_of_different_ids(tmp_path, capsys):
    (tmp_path / "net.tsv").write_text("a\tb\nc\td\n")
    SequenceStore.from_records(["x"], ["MKT"])
    write_fasta(tmp_path / "net.fasta", ["x", "y"], ["MKT", "MKV"])
    assert run_link(tmp_path / "net.tsv") == 1
    assert "do the ids of the table and of the FASTA file agree" in capsys.readouterr().err

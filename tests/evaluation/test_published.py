"""Published splits of three tables: kept as they are, faults counted, leaks refused."""

import gzip
import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lcplm_graph import evaluate
from lcplm_graph.datasets.published import PublishedPairs, read_labelled_table
from lcplm_graph.errors import DataError, LeakageError
from lcplm_graph.evaluation.link import evaluate_link
from lcplm_graph.evaluation.link_pairs import LinkOptions, labelled_pairs
from lcplm_graph.evaluation.link_task import LinkTask
from lcplm_graph.evaluation.scorers import Scorer
from lcplm_graph.heads.recipe import link_features
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.pairs import single_graph

LETTERS = ("ACDE", "FGHI", "KLMN", "PQRS")


def make_tables(folder, seed=0):
    """Disjoint proteins per part; a pair interacts exactly if it is within a family."""
    rng = np.random.default_rng(seed)
    sequences = {}
    for part, size in (("train", 80), ("valid", 50), ("test", 50)):
        names = [f"{part}{i}" for i in range(size)]
        for i, name in enumerate(names):
            sequences[name] = "".join(rng.choice(list(LETTERS[i % 4]), rng.integers(20, 50)))
        pairs = [(a, b) for a in range(size) for b in range(a) if rng.random() < 0.5]
        same = [(a, b) for a, b in pairs if a % 4 == b % 4]
        other = [(a, b) for a, b in pairs if a % 4 != b % 4][: len(same)]
        rows = [(names[a], names[b], 1) for a, b in same] + [
            (names[a], names[b], 0) for a, b in other
        ]
        write_rows(folder / f"{part}.tsv.gz", [rows[i] for i in rng.permutation(len(rows))])
    for part in ("train", "rest"):
        with gzip.open(folder / f"{part}.fasta.gz", "wt") as file:
            for name, sequence in sequences.items():
                if name.startswith("train") == (part == "train"):
                    file.write(f">{name}\n{sequence}\n")
    return folder


def write_rows(path, rows):
    with gzip.open(path, "wt") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)


def read_rows(path):
    with gzip.open(path, "rt") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


@pytest.fixture
def folder(tmp_path):
    forget_warnings()
    return make_tables(tmp_path)


def arguments(folder, *more):
    return [
        "link", "--graph", f"pairs:{folder / 'train.tsv.gz'}",
        "--valid-pairs", str(folder / "valid.tsv.gz"), "--test-pairs", str(folder / "test.tsv.gz"),
        "--sequences", str(folder / "train.fasta.gz"), str(folder / "rest.fasta.gz"),
        "--encoder", "composition", "--out", str(folder / "out"), "--steps", "60",
        "--members", "2", "--resamples", "20", *more,
    ]  # fmt: skip


def pairs(folder, **options):
    tables = (folder / f"{part}.tsv.gz" for part in ("train", "valid", "test"))
    return PublishedPairs(*tables, [folder / "train.fasta.gz", folder / "rest.fasta.gz"], **options)


def test_it_is_a_dataset_of_one_graph(folder):
    dataset = pairs(folder)
    assert len(dataset) == 1 and len(list(dataset)) == 1
    assert single_graph(dataset).num_nodes == len(dataset.sequences)
    names = ["train.tsv.gz", "valid.tsv.gz", "test.tsv.gz", "train.fasta.gz", "rest.fasta.gz"]
    assert dataset.raw_paths == [str(folder / name) for name in names]


def test_the_published_split_is_measured_as_it_is(folder, capsys):
    assert evaluate.main(arguments(folder)) == 0
    told = json.loads((folder / "out" / "results.json").read_text())
    rows = {row["model"]: row for row in told["rows"]}
    assert list(rows) == [
        "degree", "interologs", "composition", "composition + dipeptides",
        "link model (composition)", "link model (composition) + interologs",
    ]  # fmt: skip
    table = read_rows(folder / "test.tsv.gz")
    positives = sum(label == "1" for *_, label in table)
    for row in rows.values():
        assert row["class"] == "all"
        assert (row["positives"], row["negatives_count"]) == (positives, len(table) - positives)
        assert row["negatives"] == "published"
        for key in ("accuracy", "mcc", "ece"):
            assert isinstance(row[key], float)
    best = rows["link model (composition)"]
    assert best["auroc"]["value"] > 0.95
    assert best["accuracy"] > 0.85
    assert best["ece"] < 0.1
    assert rows["degree"]["auroc"]["value"] == 0.5
    assert "C3: " + f"{len(table):,} pairs" in capsys.readouterr().out
    assert "0 proteins of train and test" in told["facts"]["in common"]
    drawn = {path.name for path in (folder / "out").glob("*.png")}
    assert drawn == {"forest.png", "roc_pr.png", "reliability.png", "embeddings.png"}


def test_pictures_need_no_second_pass_over_the_proteins(folder, monkeypatch):
    options = LinkOptions(ranked=0, resamples=5)
    tables = (str(folder / f"{part}.tsv.gz") for part in ("train", "valid", "test"))
    fasta = [str(folder / "train.fasta.gz"), str(folder / "rest.fasta.gz")]
    task = LinkTask.of_tables(*tables, fasta, options)
    encoder = load_encoder("random:1m")
    link_features(encoder, task.dataset.sequences)
    monkeypatch.setattr(LcPlmEncoder, "embed", None)
    rng = np.random.default_rng(0)
    scorer = Scorer("noise", lambda p: rng.random(len(p)), lambda q: q)
    report, curves = evaluate_link([scorer], task.classes, task.split, options=options)
    task.draw(folder, encoder, encoder.pool, report, curves)
    assert (folder / "embeddings.png").is_file()


def test_numbers_are_those_of_scikit_learn_in_the_files_order(folder):
    dataset = pairs(folder)
    rng = np.random.default_rng(0)
    noise = rng.random((len(dataset.sequences),) * 2)
    scorer = Scorer("noise", lambda p: noise[p[:, 0], p[:, 1]], lambda q: noise[q])
    options = LinkOptions(ranked=0, resamples=5)
    classes = labelled_pairs(dataset.split, options)
    report, _ = evaluate_link([scorer], classes, dataset.split, options=options)
    (row,) = report.rows
    table = read_rows(folder / "test.tsv.gz")
    index = {name: i for i, name in enumerate(dataset.sequences.ids)}
    labels = [int(label) for *_, label in table]
    scores = [noise[index[a], index[b]] for a, b, _ in table]
    assert row["auroc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert row["ap_1"].value == pytest.approx(average_precision_score(labels, scores))


def test_planted_leaks_are_refused_also_under_other_names(folder, capsys):
    train = read_rows(folder / "train.tsv.gz")
    test = read_rows(folder / "test.tsv.gz")
    a, b, _ = train[3]
    write_rows(folder / "test.tsv.gz", [*test, (b, a, 0)])
    assert evaluate.main(arguments(folder)) == 1
    assert "1 pairs of test are pairs of train too" in capsys.readouterr().err
    assert evaluate.main(arguments(folder, "--allow-leakage")) == 0
    rows = json.loads((folder / "out" / "results.json").read_text())["rows"]
    assert all(row["model"].endswith("LEAKED") and row["leaked"] for row in rows)
    # The same two sequences under new ids.
    with gzip.open(folder / "rest.fasta.gz", "at") as file:
        sequences = dict(zip(pairs(folder, allow_leakage=True).sequences.ids,
                             pairs(folder, allow_leakage=True).sequences, strict=True))  # fmt: skip
        file.write(f">new1\n{sequences[a]}\n>new2\n{sequences[b]}\n")
    write_rows(folder / "test.tsv.gz", [*test, ("new1", "new2", 1)])
    with pytest.raises(LeakageError, match="by id or by sequence"):
        pairs(folder)


@pytest.mark.parametrize("more", [("--split", "C3"), ("--negatives", "hard"), ("--ratio", "5")])
def test_a_published_split_is_not_drawn(folder, capsys, more):
    assert evaluate.main(arguments(folder, *more)) == 1
    assert f"{more[0]} means nothing with --test-pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "first", ["# a note\n", "protein1\tprotein2\tscore\n", "id_a\tid_b\tlabel\n# a note\n"]
)
def test_headers_and_comments_are_no_pairs(tmp_path, first):
    (tmp_path / "t.tsv").write_text(f"{first}a\tb\t1\nc\td\t0\n")
    table = read_labelled_table(tmp_path / "t.tsv")
    assert (table.ends, table.labels, table.rows) == ([("a", "b"), ("c", "d")], [1, 0], 2)


def test_a_row_says_the_ratio_of_its_file(folder):
    test = [row for row in read_rows(folder / "test.tsv.gz") if row[2] == "0"]
    positives = [row for row in read_rows(folder / "test.tsv.gz") if row[2] == "1"][:40]
    write_rows(folder / "test.tsv.gz", [*test, *positives])
    assert evaluate.main(arguments(folder)) == 0
    rows = json.loads((folder / "out" / "results.json").read_text())["rows"]
    assert {row["ratio"] for row in rows} == {len(test) / 40}


def test_only_rows_of_an_encoder_that_saw_test_pairs_are_marked(folder):
    dataset = pairs(folder)
    classes = labelled_pairs(dataset.split, LinkOptions())
    flat = {"score": lambda p: np.arange(len(p)), "rows": lambda q: np.zeros((len(q), 1))}
    scorers = [Scorer("degree", **flat), Scorer("model", **flat, encoder=True)]
    options = LinkOptions(ranked=0, resamples=5)
    for every_row, marked in ((False, [False, True]), (True, [True, True])):
        report, _ = evaluate_link(
            scorers, classes, dataset.split, options=options, leaked="LEAKED", every_row=every_row
        )
        assert [row["leaked"] for row in report.rows] == marked


def test_faults_are_counted_and_named(folder):
    test = read_rows(folder / "test.tsv.gz")
    (a, b, label), (c, d, other) = test[:2]
    more = [
        (b, a, label),
        (d, c, 1 - int(other)),
        ("test1", "test2", ""),
        ("test1", "ghost", 1),
        ("train0", "test3", 0),
    ]
    write_rows(folder / "test.tsv.gz", [*test, *more])
    with pytest.warns(UserWarning, match="without") as caught:
        dataset = pairs(folder)
    report = dataset.report["test"]
    assert report["duplicates"] == 2
    assert report["contradictory_pairs"] == 1
    assert report["rows_without_label"] == 1
    assert report["rows_without_sequence"] == 1
    assert report["rows"] == len(test) + 5
    assert report["pairs"] == len(test) - 1 + 1
    assert dataset.report["in_common"]["proteins_of_train_and_test"] == 1
    said = " ".join(str(w.message) for w in caught)
    assert "ghost" in said
    assert f"line {len(test) + 3}" in said
    counts = np.bincount(dataset.split.classify(dataset.split.labelled("test").pairs), minlength=4)
    assert counts.tolist() == [0, 0, 1, len(test) - 1]


def test_pairs_of_a_protein_with_itself_stay_and_those_under_two_names_go(folder):
    with gzip.open(folder / "rest.fasta.gz", "at") as file:
        file.write(">sp|P12345|A_B\nMKTAYIAK\n")
    test = read_rows(folder / "test.tsv.gz")
    more = [("test1", "test1", 1), ("test2", "test2", 0), ("P12345", "sp|P12345|A_B", 1)]
    write_rows(folder / "test.tsv.gz", [*test, *more])
    with pytest.warns(UserWarning, match=r"2 self pairs \(kept\), for example test1"):
        dataset = pairs(folder)
    assert dataset.report["test"]["self_pairs"] == 2
    assert dataset.report["test"]["self_pairs_under_two_names"] == 1
    assert dataset.report["test"]["pairs"] == len(test) + 2
    own = dataset.split.labelled("test").pairs
    assert int((own[:, 0] == own[:, 1]).sum()) == 2
    assert evaluate.main(arguments(folder)) == 0


def test_wrong_tables_are_named_with_their_line(tmp_path, folder, capsys):
    (tmp_path / "bad.tsv").write_text("a\tb\t1\na\tc\t2\n")
    with pytest.raises(DataError, match="line 2: the label is 0 or 1, here it is '2'"):
        read_labelled_table(tmp_path / "bad.tsv")
    (tmp_path / "bad.tsv").write_text("a\n")
    with pytest.raises(DataError, match="line 1: one column"):
        read_labelled_table(tmp_path / "bad.tsv")
    command = [w for w in arguments(folder) if w != "--test-pairs"]
    command.remove(str(folder / "test.tsv.gz"))
    assert evaluate.main(command) == 1
    assert "--test-pairs is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "second"), [("train", "valid"), ("train", "test"), ("valid", "test")]
)
def test_a_pair_of_any_two_parts_is_refused(tmp_path, first, second):
    """Whatever it is called there: what chooses or calibrates must not know what is tested."""
    fasta = "".join(f">{letter}\nM{letter}{letter}K\n" for letter in "ACDEFGHIKLMN")
    (tmp_path / "all.fasta").write_text(f"{fasta}>Z\nMAAK\n>Y\nMFFK\n")
    parts = {"train": "A\tC\t1\nD\tE\t0\n", "valid": "F\tG\t1\nH\tI\t0\n"}
    parts["test"] = "K\tL\t1\nM\tN\t0\n"
    parts[second] += {"train": "C\tZ\t0\n", "valid": "G\tY\t0\n"}[first]
    for name, text in parts.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    tables = [tmp_path / f"{name}.tsv" for name in ("train", "valid", "test")]
    with pytest.raises(LeakageError, match=f"1 pairs of {second} are pairs of {first} too"):
        PublishedPairs(*tables, [tmp_path / "all.fasta"])

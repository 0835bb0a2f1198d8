"""Tables of labels: every format, what is found out, and a sentence for what is wrong."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.finetuning.examples import Columns, read_examples
from lcplm_graph.finetuning.partition import divide
from lcplm_graph.finetuning.table import read_table_file
from lcplm_graph.heads.names import sequences_of
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.masking import IGNORE

ROWS = 12
SEQUENCES = ["MKT" + "GAVLIFSTCNDE"[i] * (i + 1) for i in range(ROWS)]


def text(label, sequences=SEQUENCES, header="id,sequence,label") -> str:
    lines = [f"p{i},{s},{label(i, s)}" for i, s in enumerate(sequences)]
    return "\n".join([header, *lines]) + "\n"


def read(path, **options):
    columns = Columns(*(options.pop(n, ()) for n in ("sequences", "labels")))
    return read_examples(read_table_file(path), columns, **options)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_every_format_gives_the_same(suffix, tmp_path):
    path = tmp_path / f"t{suffix}"
    content = text(lambda i, _: i / 4)
    if suffix == ".parquet":
        frame = {"id": [f"p{i}" for i in range(ROWS)], "sequence": SEQUENCES}
        pd.DataFrame(frame | {"label": np.arange(ROWS) / 4}).to_parquet(path)
    elif suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(content.encode()))
    else:
        path.write_text(content.replace(",", "\t") if suffix == ".tsv" else content)
    found = read(path)
    assert found.kind == "regression" and found.label_names == ("label",)
    np.testing.assert_allclose(found.labels, np.arange(ROWS) / 4)
    assert found.proteins.sequences == SEQUENCES
    assert found.proteins.names[:2] == ["p0", "p1"]


@pytest.mark.parametrize(
    ("label", "kind", "names"),
    [
        (lambda i, _: i % 2, "binary", ("0", "1")),
        (lambda i, _: ["yes", "no"][i % 2], "binary", ("no", "yes")),
        (lambda i, _: "abc"[i % 3], "multiclass", ("a", "b", "c")),
        (lambda i, _: ";".join("xyz"[: i % 4]), "multilabel", ("x", "y", "z")),
        (lambda _, s: "H" * (len(s) - 1) + "E", "residue", ("E", "H")),
        (lambda _, s: " ".join(["1", "2"] + ["?"] * (len(s) - 2)), "residue", ("1", "2")),
        (lambda i, _: i - 0.5, "regression", ("label",)),
    ],
)
def test_the_kind_of_labels_is_found_out(label, kind, names, tmp_path):
    (tmp_path / "t.csv").write_text(text(label))
    found = read(tmp_path / "t.csv")
    assert (found.kind, found.label_names) == (kind, names)
    if kind == "residue":
        assert [len(row) for row in found.labels] == [len(s) for s in SEQUENCES]
        unknown = sum(int((row == IGNORE).sum()) for row in found.labels)
        assert unknown == (0 if "H" in names else sum(map(len, SEQUENCES)) - 2 * ROWS)
    if kind == "multilabel":
        assert found.labels.sum(1).tolist() == [i % 4 for i in range(ROWS)]


def test_the_only_column_left_holds_the_labels(tmp_path):
    (tmp_path / "t.csv").write_text(text(lambda i, _: i / 2, header="id,sequence,melting point"))
    assert read(tmp_path / "t.csv").label_names == ("melting point",)


@pytest.mark.parametrize(("suffix", "sign"), [(".csv", ";"), (".csv", "\t"), (".tsv", ","),
                                              (".tsv", "  ")])  # fmt: skip
def test_what_separates_columns_is_read_from_the_lines(suffix, sign, tmp_path):
    content = text(lambda i, _: i / 2)
    (tmp_path / "plain.csv").write_text(content)
    (tmp_path / f"t{suffix}").write_text(content.replace(",", sign).replace("\n", " \n"))
    found = read_table_file(tmp_path / f"t{suffix}").columns
    assert found == read_table_file(tmp_path / "plain.csv").columns


def test_one_column_and_cells_with_blanks_stay_what_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("protein sequence\nMKTA\nMKV\n")
    assert list(read_table_file(tmp_path / "t.csv").columns) == ["protein sequence"]
    (tmp_path / "t.csv").write_text('my id,found in\nP1,"a\nb c"\nP2,d\n')
    assert read_table_file(tmp_path / "t.csv").columns["found in"] == ["a\nb c", "d"]


def test_one_protein_in_two_spellings_is_one(tmp_path):
    twice = [*SEQUENCES, SEQUENCES[0].lower() + "*"]
    (tmp_path / "t.csv").write_text(text(lambda i, _: i, twice))
    with pytest.warns(UserWarning, match="1 sequences occur in several rows with different labels"):
        found = read(tmp_path / "t.csv")
    assert found.proteins.rows[:, 0].tolist() == [*range(ROWS), 0]
    partition = divide(found, "random", valid=0.2, test=0.3, identity=0.3, seed=1)
    parts = partition.names(len(found))
    assert parts[0] == parts[-1]


def test_ids_are_looked_up_in_fasta(tmp_path):
    store = SequenceStore.from_records([f"p{i}" for i in range(ROWS)], SEQUENCES)
    lines = [f"p{i}\tp{(i + 1) % ROWS}\t{i % 2}" for i in range(ROWS)]
    (tmp_path / "t.tsv").write_text("\n".join(["protein1\tprotein2\tlabel", *lines]) + "\n")
    found = read(tmp_path / "t.tsv", known=store)
    assert found.proteins.paired and found.kind == "binary"
    first = [found.proteins.sequences[i] for i in found.proteins.rows[2]]
    assert first == SEQUENCES[2:4] and found.proteins.names[2] == "p2 p3"
    lines[3] = "p3\tq\t1"
    (tmp_path / "t.tsv").write_text("\n".join(["protein1\tprotein2\tlabel", *lines]) + "\n")
    with pytest.raises(DataError, match="line 5, column 'protein2': there is no sequence.*'q'"):
        read(tmp_path / "t.tsv", known=store)


def change(row, cells):
    lines = text(lambda i, _: i).splitlines()
    lines[row] = cells
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (change(3, "p,MKT,high"), {"task": "regression"},
         "t.csv: line 4, column 'label': 'high' is not a number"),
        (change(3, "p,MKT,nan"), {}, "line 4, column 'label': the label is missing .nan."),
        (change(3, "p,MKT,"), {}, "line 4, column 'label': the label is missing; remove the row"),
        (change(3, "p,MKT,inf"), {}, "line 4, column 'label': the label inf is not finite"),
        (change(3, "p,,1"), {}, "line 4, column 'sequence': the sequence is empty"),
        (change(3, "p,MK1,1"), {}, "line 4, column 'sequence': .* '1' at position 3"),
        (change(3, "p,MK"), {}, "line 4: 2 cells, but the header has 3 columns"),
        (change(0, "id,residues,label"), {}, "no column is called sequence.*--sequence"),
        (text(lambda i, _: f"{i},1", header="id,sequence,x,z"), {},
         "no column is called label.*--label"),
        (change(0, "id,sequence,sequence"), {}, "two columns are called 'sequence'"),
        (text(lambda *_: 1), {}, "the same number in all 12 rows|one class only"),
        (text(lambda *_: "a"), {"task": "multiclass"}, "holds one class only, 'a'"),
        (text(lambda i, _: i), {"labels": ["activity"]}, "no column 'activity' for labels"),
        (text(lambda i, _: "abc"[i % 3]), {"task": "binary"}, "'c' is a third class"),
        (text(lambda i, _: f"n{i}"), {}, "12 different labels in 12 rows"),
        (text(lambda i, s: "H" * (len(s) + (i == 4))), {"task": "residue"},
         "line 6, column 'label': 9 residue labels for a protein of 8 residues"),
        (text(lambda i, _: i, SEQUENCES[:2]), {}, "2 rows are too few"),
        ("id,sequence,label\n", {}, "a header and no row"),
        ("", {}, "empty"),
    ],
)  # fmt: skip
def test_wrong_tables_get_one_sentence(content, options, told, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises((DataError, ConfigError), match=told) as caught:
        read(tmp_path / "t.csv", **options)
    assert "\n" not in str(caught.value)


def test_unknown_suffixes_parts_and_empty_parts(tmp_path):
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"ends in .csv, .tsv or .parquet"):
        read_table_file(tmp_path / "t.xlsx")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not readable as Parquet"):
        read_table_file(tmp_path / "t.parquet")
    content = text(lambda i, _: f"{i},{'train' if i < 6 else 'trian'}", header="id,sequence,y,set")
    (tmp_path / "t.csv").write_text(content)
    found = read(tmp_path / "t.csv", part_column=True)
    with pytest.raises(DataError, match="the part 'trian'"):
        divide(found, "column", valid=0.1, test=0.1, identity=0.3, seed=0)
    (tmp_path / "t.csv").write_text(content.replace("trian", "valid").replace("train", "test"))
    found = read(tmp_path / "t.csv", part_column=True)
    with pytest.raises(ConfigError, match="no row for train"):
        divide(found, "column", valid=0.1, test=0.1, identity=0.3, seed=0)


def test_pairs_are_named_by_genes(tmp_path):
    store = SequenceStore.from_records(
        [f"sp|P{i:05}|X" for i in range(ROWS)], SEQUENCES, [f"GN=G{i}" for i in range(ROWS)]
    )
    path = tmp_path / "t.tsv"
    rows = [f"G{i}\tP{(i + 1) % ROWS:05}\t{i % 2}" for i in range(ROWS)]
    path.write_text("\n".join(["bait\tprey\tbinds", *rows]) + "\n")
    found = read(path, known=store).proteins
    assert [found.sequences[i] for i in found.rows[:, 0]] == SEQUENCES
    path.write_text(path.read_text().replace("G1\t", "H1\t").replace("G2\t", "H2\t"))
    with pytest.raises(DataError, match=r"line 3, .* id 'H1' \(nor for 1 more of 12 ids\)"):
        read(path, known=store)
    with pytest.raises(DataError, match=r"\('G0': if it is an id, give --sequences FASTA\)"):
        read(path)


def test_human_proteins_that_ship_are_sequences(tmp_path):
    (tmp_path / "v.fasta").write_text(">v1\nMKTAYIAK\n")
    store = sequences_of([str(tmp_path / "v.fasta"), "string_human_core"])
    assert len(store) == 7729 and store.ids[0] == "v1" and "TP53" in store.gene_names
    store = sequences_of([str(tmp_path / "v.fasta"), "human_proteome"])
    assert len(store) == 17600 and len(store[store.gene_names.index("BRCA2")]) == 3418

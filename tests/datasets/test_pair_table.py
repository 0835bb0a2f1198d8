"""Tables of pairs as other programs write them: what separates columns, and which ones count."""

from __future__ import annotations

import pytest

from lcplm_graph.datasets.pair_table import read_pairs
from lcplm_graph.datasets.published import read_labelled_table
from lcplm_graph.errors import DataError, LcPlmWarning
from lcplm_graph.heads.questions import read_pairs as read_asked
from lcplm_graph.io import forget_warnings

ROWS = [("P1", "P2", 0.5), ("P1", "P3", 1.0)]
WRITTEN = {
    "commas": "P1,P2,0.5\nP1,P3,1\n",
    "commas and blanks": "P1, P2, 0.5\nP1, P3, 1\n",
    "semicolons": "P1;P2;0.5\nP1;P3;1\n",
    "blanks": "P1 P2 0.5\nP1   P3 1 \n",
    "Excel": "\ufeffProtein 1,Protein 2,Score\r\nP1,P2,0.5\r\nP1,P3,1\r\n",
    "pandas": ",protein1,protein2,score\n0,P1,P2,0.5\n1,P1,P3,1.0\n",
    "R's write.csv": '"","from","to","weight"\n"1","P1","P2",0.5\n"2","P1","P3",1\n',
    "R's write.table": '"a" "b" "score"\n"P1" "P2" 0.5\n"P1" "P3" 1\n',
    "many columns": "rank\tprotein1\tprotein2\tsymbol1\tprobability\n"
    "1\tP1\tP2\tx\t0.5\n2\tP1\tP3\ty\t1\n",
    "combined_score": "protein1,protein2,combined_score\nP1,P2,500\nP1,P3,1000\n",
    "combined_score, divided": "protein1,protein2,combined_score\nP1,P2,0.5\nP1,P3,1\n",
}


def write(folder, text):
    path = folder / "x.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_tables_of_other_programs(tmp_path, text):
    path = write(tmp_path, text.replace('"a" "b"', '"protein1" "protein2"'))
    table, kind = read_pairs(path)
    assert (list(table.itertuples(index=False, name=None)), kind) == (ROWS, "score")
    assert read_asked(path, ()) == [(a, b) for a, b, _ in ROWS]


@pytest.mark.parametrize("sign", [",", " ", ";", "\t"])
def test_published_tables(tmp_path, sign):
    text = "protein1,protein2,label\nP1,P2,1\nP1,P3,0\n".replace(",", sign)
    found = read_labelled_table(write(tmp_path, text))
    assert (found.ends, found.labels) == ([("P1", "P2"), ("P1", "P3")], [1, 0])
    text = "fold,label,id_a,id_b\n3,1,P1,P2\n3,0,P1,P3\n".replace(",", sign)
    with pytest.warns(LcPlmWarning, match="left out are fold"):
        forget_warnings()
        found = read_labelled_table(write(tmp_path, text))
    assert (found.ends, found.labels) == ([("P1", "P2"), ("P1", "P3")], [1, 0])


def test_quoted_cells_hold_what_separates(tmp_path):
    table, _ = read_pairs(write(tmp_path, '"P,1","say ""P2""",1\nP3,"P 4",0\n'))
    assert table["a"].tolist() == ["P,1", "P3"]
    assert table["b"].tolist() == ['say "P2"', "P 4"]


REFUSED = {
    "two ways": ("a b,c\nd e,f\n", "line 1: commas and blanks both cut these lines.*write tabs"),
    "comma for a point": ("P1;P2;0,5\nP1;P3;0,7\n", "commas and semicolons both cut"),
    "comma for a point, blanks": ("P1 P2 0,5\n", "commas and blanks both cut"),
    "a header says it": ("protein1;protein2;score\nP1;P2;0,5\n", "'0,5' is not a label or a sc"),
    "one column": ("P1\nP2\n", "line 1: one column; tabs, commas or blanks stand between two"),
    "no line": ("# nothing\n", "the table has no line"),
    "an open quote": ('"P1,P2\n', "line 1: a quote without its second one"),
    "a later open quote": ('P1,P2\n"P3,P4\n', "line 2: quotes that do not match"),
    "a tab among blanks": ("P1 P2\nP3 P4\tP5\n", "line 2: a tab in a table with blanks"),
    "widths": ("P1,P2\nP3,P4,1\n", "line 2: 3 columns separated by commas, 2 expected"),
    "widths, two ways": ("a b,c\nd e f,g,h\n", "line 2: 3 columns with commas between, the fi"),
    "many columns": ("P1,P2,1,x\n", "2 or 3 columns, or a header .*; this line has 4"),
    "many ids": ("id,a_id,b,protein1,protein2\nx,y,z,u,v\n", "id, protein1, protein2 may be ids"),
    "many scores": ("a_id,protein1,protein2,score,label\nx,P1,P2,1,1\n", "score, label; keep one"),
    "names of rows": ('"protein1" "protein2"\n"1" "P1" "P2"\n', "line 2: .*row.names=FALSE"),
    "units unknown": ("protein1,protein2,score\nP1,P2,900\n", "give scale=1000"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_misread_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(write(tmp_path, text))


def test_a_column_by_its_name(tmp_path):
    path = write(tmp_path, "protein1,protein2,score,label\nP1,P2,0.25,1\n")
    assert read_pairs(path, score="score")[0]["value"].tolist() == [0.25]
    assert read_pairs(path, score="label")[1] == "label"
    with pytest.raises(DataError, match="no column 'x'; the header has protein1, protein2, score"):
        read_pairs(path, score="x")

"""Lists of names are told from FASTA, and read as people write them."""

from __future__ import annotations

import gzip

import pytest

from lcplm_graph.errors import DataError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.name_lists import names_in


@pytest.mark.parametrize(
    "text",
    [
        "TP53\nMDM2\n",
        "\ufeffGene symbol\r\nTP53\r\n\r\nMDM2",
        "# mine\ngene\nTP53\n MDM2 \n",
        '"symbol"\n"TP53"\n"MDM2"\n',
    ],
)
def test_a_list_has_one_name_a_line(tmp_path, text):
    path = tmp_path / "genes.txt"
    path.write_text(text)
    assert names_in(path) == ["TP53", "MDM2"]
    path.write_bytes(gzip.compress(text.encode()))
    assert names_in(path) == ["TP53", "MDM2"]


@pytest.mark.parametrize("content", [b">a\nMKT\n", b"\n>a\nMKT\n", b"\n \n"])
def test_what_is_no_list_is_left_to_the_reader_of_fasta(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert names_in(tmp_path / "x") is None


def test_a_name_that_comes_again_is_told(tmp_path):
    forget_warnings()
    (tmp_path / "x.txt").write_text("TP53\nMDM2\nTP53\n")
    with pytest.warns(LcPlmWarning, match="1 names stand there again"):
        assert names_in(tmp_path / "x.txt") == ["TP53", "MDM2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TP53\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ\n", "line 2: .*sequence without its header"),
        ("gene\tscore\nTP53\t1\n", "line 1: a list of names has one name a line"),
        ("TP53, MDM2\n", "line 1: a list of names"),
        ("symbol\n", "there is no name in the list"),
    ],
)
def test_what_is_neither_is_one_sentence(tmp_path, text, said):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        names_in(tmp_path / "x.txt")

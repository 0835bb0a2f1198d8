"""Names of proteins: which one is meant, and what is said where none or several are."""

from __future__ import annotations

import pytest

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.proteins.names import NameIndex

IDS = ["9606.ENSP1", "9606.ENSP2", "9606.ENSP3", "sp|P12345|AATM_RABIT"]
SYMBOLS = ["TP53", "MDM2", "Trp53", "TP53B"]


@pytest.fixture
def index() -> NameIndex:
    asked = {"7157": [0], "P04637": [0], "shared": [1, 2]}
    return NameIndex(IDS, SYMBOLS, more=lambda words: {w: asked[w] for w in words if w in asked})


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("9606.ENSP2", 1),
        ("ENSP2", 1),
        (" TP53 ", 0),
        ("tp53", 0),
        ("TRP53", 2),
        ("P12345", 3),
        ("sp|P12345|OTHER", 3),
        ("7157", 0),
        ("p04637", 0),
        ("sp|P04637|P53_HUMAN", 0),
    ],
)
def test_every_usual_spelling_is_found(index: NameIndex, name: str, row: int) -> None:
    assert index.row(name) == row


def test_another_species_is_another_protein(index: NameIndex) -> None:
    assert index.find("10090.ENSP1") == []


def test_unknown_and_ambiguous_names_are_told(index: NameIndex) -> None:
    with pytest.raises(UnknownNameError, match="no protein 'TP54' here, did you mean TP53?"):
        index.row("TP54")
    with pytest.raises(
        UnknownNameError, match="'shared' is a name of 2 proteins here: 9606.ENSP2, 9606.ENSP3;"
    ):
        index.row("shared")


def test_two_letters_that_were_swapped_are_put_back() -> None:
    index = NameIndex(["1", "2", "3"], ["TP73", "TP63", "TP53"])
    with pytest.raises(UnknownNameError, match="did you mean TP53"):
        index.row("TP35")


def test_a_stronger_kind_of_name_wins() -> None:
    index = NameIndex(["a", "b"], ["b", "x"])
    assert index.find("b") == [1]
    assert NameIndex(["1", "2"], ["X", "x"]).find("X") == [0]


@pytest.mark.parametrize("name", [None, 3, b"TP53", ["TP53"]])
def test_what_is_no_text_names_no_protein(name):
    index = NameIndex(["9606.ENSP1"], ["TP53"])
    for ask in (index.row, index.find):
        with pytest.raises(InputError, match=f"named by a text, not by {type(name).__name__}"):
            ask(name)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("LRRK22", "LRRK2"),
        ("TP35", "TP53"),
        ("BRC2", "BRCA2"),
        ("TRP", "TPR"),
        ("MDN2", "MDM2"),
    ],
)
def test_the_nearest_name_is_the_one_of_fewest_slips(typed, meant):
    index = NameIndex(["LRRTM2", "LRRK2", "TP53", "TPR", "TP73", "BRCA1", "BCAR3", "BRCA2", "MDM2"])
    assert index.near(typed) == f", did you mean {meant}?"

"""The alphabet is ESM-2's; residues map as documented; the rest is refused by name."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lcplm_graph.errors import SequenceError
from lcplm_graph.io import forget_warnings
from lcplm_graph.tokens import vocabulary as v


def test_ids_are_those_of_the_published_checkpoints() -> None:
    assert v.TOKENS[:4] == ("<cls>", "<pad>", "<eos>", "<unk>")
    assert "".join(v.TOKENS[4:31]) == "LAGVSERTIDPKQNFYMHWCXBUZO.-"
    assert v.TOKENS[31:] == ("<null_1>", "<mask>", "[BON]", "[EON]", "[EDGE]", "[NO_EDGE]")
    assert (v.MASK, v.BON, v.EON, v.EDGE, v.NO_EDGE) == (32, 33, 34, 35, 36)
    assert len(v.STANDARD_RESIDUES) == 20 and "X" not in v.STANDARD_RESIDUES


def test_order_equals_transformers_esm_tokenizer(tmp_path) -> None:
    from transformers import EsmTokenizer

    file = tmp_path / "vocab.txt"
    file.write_text("\n".join(v.TOKENS[:33]))
    tokenizer = EsmTokenizer(str(file))
    assert tokenizer("MKTAYIX").input_ids == v.encode_protein("MKTAYIX").tolist()


def test_case_is_folded_and_a_final_stop_dropped() -> None:
    assert np.array_equal(v.encode_residues("mkt*"), v.encode_residues("MKT"))
    assert np.array_equal(v.encode_residues(b"MKT"), v.encode_residues("MKT"))


def test_letters_outside_the_alphabet_become_x_with_one_warning() -> None:
    forget_warnings()
    with pytest.warns(UserWarning, match=r"protein 'p1' holds 2 residue"):
        assert v.decode(v.encode_residues("MJKj", record="p1")) == "MXKX"


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ("", "is empty"),
        ("*", "is empty"),
        ("MK1T", "'1' at position 3"),
        ("MK T", "' ' at position 3"),
        ("M*KT", r"'\*' at position 2"),
        ("MKÄ", "'Ä' at position 3"),
        ("MK\n", r"position 3"),
    ],
)
def test_bad_sequences(sequence: str, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        v.encode_residues(sequence, record="p1")
    if sequence:
        with pytest.raises(SequenceError, match="protein 'p1'"):
            v.encode_protein(sequence, record="p1")


def test_special_tokens_may_be_spelled_out() -> None:
    ids = v.encode_protein("MK<mask>[EON][EDGE][BON]GA")
    assert v.decode(ids) == "<cls>MK<mask>[EON][EDGE][BON]GA<eos>"
    with pytest.raises(SequenceError, match="'<' at position 3"):
        v.encode_protein("MK<what>GA")


def test_a_million_residues_take_well_under_a_second() -> None:
    sequence = v.STANDARD_RESIDUES * 20
    started = time.process_time()
    for _ in range(2500):
        v.encode_protein(sequence)
    assert time.process_time() - started < 1.0


def test_gaps_are_the_tokens_of_their_characters():
    assert v.encode_residues("A.C-*").tolist() == [v.TOKENS.index(letter) for letter in "A.C-"]


@pytest.mark.parametrize("sequence", ["-", "...", "-.-*", b"--"])
def test_gaps_only_are_no_protein(sequence):
    with pytest.raises(SequenceError, match="p1' has gaps only"):
        v.encode_residues(sequence, record="p1")
    if isinstance(sequence, str):
        with pytest.raises(SequenceError, match="gaps only"):
            v.encode_protein(sequence)
        with pytest.raises(SequenceError, match="gaps only"):
            v.check_proteins(["MK", sequence], ["a", "b"])
    assert v.decode(v.encode_protein("-<mask>.")) == "<cls>-<mask>.<eos>"
    v.check_proteins(["-MK.", "--x", "M-*"], "abc")

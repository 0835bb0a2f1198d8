"""Sequences in Arrow columns, brought to their normal form and checked."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import DataError, SequenceError
from lcplm_graph.proteins.fasta import OTHER_LETTERS
from lcplm_graph.tokens.vocabulary import encode_residues


def checked_residues(ids: Sequence[str], sequences: pa.Array) -> tuple[pa.Array, int]:
    """Bring sequences to the form that FASTA is read in.

    Parameters
    ----------
    ids : sequence of str
        For messages.
    sequences : pyarrow.Array of large_string
        Without missing values.

    Returns
    -------
    sequences : pyarrow.LargeStringArray
        Capitals, without a final stop, letters outside the alphabet as ``X``.
    replaced : int
        How many of the latter there were.

    Raises
    ------
    DataError
        With the id: a sequence that is empty or only gaps, or a character that is not a letter.
    """
    normal = pc.replace_substring_regex(pc.ascii_upper(sequences), r"\*$", "")
    good = pc.match_substring_regex(normal, r"^[A-Z.\-]*[A-Z][A-Z.\-]*$")
    row = pc.index(good, False).as_py()
    if row >= 0:
        name, text = str(ids[row]), normal[row].as_py()
        if not text.strip(".-"):
            what = "has gaps only, no residues" if text else "is empty"
            raise DataError(f"its sequence {what}", record=name)
        try:
            encode_residues(f"{text}*", record=name)  # its one final stop, which is gone already
        except SequenceError as error:
            raise DataError(str(error), record=name) from None
    outside = "|".join(letter.decode() for letter in OTHER_LETTERS)
    replaced = pc.sum(pc.count_substring_regex(normal, outside)).as_py() or 0
    if replaced:
        normal = pc.replace_substring_regex(normal, outside, "X")
    return normal, replaced


def check_columns(table: pa.Table | pa.RecordBatch, *, text: bool) -> None:
    """Raise `pyarrow.ArrowInvalid` if columns of text lead out of their memory.

    Arrow trusts what it computes with: damaged offsets end the interpreter.

    Parameters
    ----------
    table : pyarrow.Table or RecordBatch
    text : bool
        Whether to read all the text too, and see that it is UTF-8.
    """
    table.validate()
    for column in table.columns:
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            plain = pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type)
            if plain and not text:
                large = pa.types.is_large_string(chunk.type)
                chunk = chunk.view(pa.large_binary() if large else pa.binary())
            chunk.validate(full=True)

"""Which pairs are asked about: all of two proteins, files or lists, or those of a table."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lcplm_graph.datasets.interaction_files import refuse_interactions
from lcplm_graph.datasets.pair_table import COMMENT, id_columns
from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.catalog import Card, card_folder, list_cards
from lcplm_graph.files.download import fetch_card_file
from lcplm_graph.files.separators import SEPARATORS
from lcplm_graph.files.tables import find_separator, rows
from lcplm_graph.heads.names import ADVICE, KnownProteins, leave_out_unknown, refuse_unknown
from lcplm_graph.proteins.name_lists import names_in
from lcplm_graph.proteins.store import SequenceStore

_LABELS = {"0": False, "1": True, "0.0": False, "1.0": True}


class Question(NamedTuple):
    """Proteins that are asked about, pairs of them, and how many these are.

    `typed` is whether names are typed, of which a short one may be a sequence.
    """

    proteins: list[str]
    pairs: Iterable[tuple[str, str]]
    total: int
    typed: bool = False


def file_of(text: str) -> str:
    """Return the FASTA file of an embedded dataset of sequences by its name, and else the text."""
    card = None if os.path.isfile(text) else _sequence_cards().get(text)
    return text if card is None else str(fetch_card_file(card, "sequences"))


@cache
def _sequence_cards() -> dict[str, Card]:
    return {card.name: card for card in list_cards() if card.kind == "sequences" and card.embedded}


def is_fasta(text: str) -> bool:
    """Tell whether a text is the path of a file that is no list of names."""
    return os.path.isfile(text) and names_in(text) is None


def all_pairs(a: str, b: str) -> Question:
    """Ask for each protein of one with each of the other; of equal files for each pair once.

    Parameters
    ----------
    a, b : str
        Names, sequences, FASTA files, or lists of names.

    Raises
    ------
    ConfigError
        If one is a name, and a record of the other; if a file with itself has one protein.
    DataError
        If a file is faulty.
    """
    files = [os.path.isfile(text) for text in (a, b)]
    first, second = _proteins(a), _proteins(b)
    for text, is_file, other, records in ((a, files[0], second, b), (b, files[1], first, a)):
        # A name of the embedded data is the same protein there and here.
        embedded = Path(records).is_relative_to(card_folder())
        if not is_file and text in other and is_fasta(records) and not embedded:
            raise ConfigError(
                f"{text!r} is a record of the FASTA file, too; call that otherwise, or give its "
                "sequence"
            )
    # A word of a list that nobody knows is a name, not a sequence.
    typed = all(is_fasta(text) or not is_file for text, is_file in zip((a, b), files, strict=True))
    if all(files) and first == second:
        # All against all: a pair has one answer in either order, and few ask of a protein itself.
        if len(first) == 1:
            raise ConfigError(f"{a} holds one protein; a pair needs two")
        count = len(first) * (len(first) - 1) // 2
        return Question(first, itertools.combinations(first, 2), count, typed)
    count = len(first) * len(second)
    return Question([*first, *second], itertools.product(first, second), count, typed)


def _proteins(text: str) -> list[str]:
    if not os.path.isfile(text):
        return [text]
    names = names_in(text)
    return list(SequenceStore.from_fasta(text).ids) if names is None else names


def of_known(
    question: Question, known: KnownProteins, given: SequenceStore, skip: bool
) -> Question:
    """Look all names up: refuse those that stand for no protein, or leave their pairs out.

    Parameters
    ----------
    question : Question
    known : KnownProteins
        Proteins of the training data.
    given : SequenceStore
        Those of the caller, whose names come first.
    skip : bool
        Leave out, with a warning that lists the names.

    Raises
    ------
    UnknownNameError
        If names are unknown and not left out, or all are.
    DataError
        If no pair is left.
    """
    own = KnownProteins.of(given) if len(given) else None
    found, unknown = known.read(question.proteins, own, question.typed)
    if not unknown:
        return question
    total = len(found) + len(unknown)
    if not skip:
        refuse_unknown(unknown, total, ADVICE)
    leave_out_unknown(unknown, total)
    pairs = [(a, b) for a, b in question.pairs if a in found and b in found]
    if not pairs:
        raise DataError("no pair is left without the names that stand for no protein")
    return Question(list(found), pairs, len(pairs), question.typed)


def pairs_of_table(
    path: Path, given: Collection[str], labels: Collection[tuple[str, str]] | None = None
) -> Question:
    """Ask for the pairs of a table, see `read_pairs`, or for those that were read with labels."""
    found = read_pairs(path, given) if labels is None else list(labels)
    return Question(list(itertools.chain.from_iterable(found)), found, len(found))


def read_labels(path: Path, column: str) -> dict[tuple[str, str], bool]:
    """Read two proteins a line, and 0 or 1 from a named column of a table with a header.

    The proteins are the columns that `id_columns` finds, else the first two.

    Raises
    ------
    DataError
        With file and line: no such column, a label that is neither 0 nor 1, a pair with both.
    """
    separator = find_separator(path, COMMENT)
    table = rows(path, COMMENT, separator)
    line, header = next(table)
    if column not in header:
        raise DataError(
            f"no column {column!r}; the header has {', '.join(header)}", path=path, line=line
        )
    a, b = id_columns(header) or (0, 1)
    place = header.index(column)
    found: dict[tuple[str, str], bool] = {}
    for line, cells in table:
        if len(cells) != len(header) or cells[place] not in _LABELS:
            what = f"0 or 1 in the column {column!r}, and as many columns as the header"
            raise DataError(f"a line has {what}; this one has not", path=path, line=line)
        pair, label = (cells[a], cells[b]), _LABELS[cells[place]]
        if found.setdefault(pair, label) != label:
            raise DataError("this pair was there with the other label", path=path, line=line)
    if not found:
        raise DataError("the table has no pair", path=path)
    return found


def read_pairs(path: Path, given: Collection[str]) -> list[tuple[str, str]]:
    """Read two proteins a line; what looks like a header is none if it names a protein of `given`.

    Raises
    ------
    DataError
        With file and line, if one has fewer than two proteins; if there is no pair.
    """
    refuse_interactions(path)
    found, columns = [], (0, 1)
    separator = find_separator(path, COMMENT)
    for number, (line, cells) in enumerate(rows(path, COMMENT, separator)):
        header = id_columns(cells) if number == 0 else None
        if header is not None and cells[header[0]] not in given:
            columns = header
            continue
        names = [cells[place] for place in columns if place < len(cells)]
        if len(names) < 2 or not all(names):
            raise DataError(
                f"a line is two proteins with {SEPARATORS[separator]} between; this one is not",
                path=path,
                line=line,
            )
        found.append((names[0], names[1]))
    if not found:
        raise DataError("the table has no pair", path=path)
    return found

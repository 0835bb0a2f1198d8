"""The proteins that a command line asks about: of FASTA files, by their names, or as sequences."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lcplm_graph.errors import DataError
from lcplm_graph.files.compressed import COMPRESSED_SUFFIXES
from lcplm_graph.files.open import check_is_file
from lcplm_graph.io import warn_once

if TYPE_CHECKING:
    import numpy as np

    from lcplm_graph.datasets.base import PPIDataset
    from lcplm_graph.heads.names import KnownProteins
    from lcplm_graph.proteins.store import SequenceStore

_FILES = {".fasta", ".fa", ".faa", ".txt", ".tsv", ".csv", *COMPRESSED_SUFFIXES}


def asked_proteins(
    texts: Sequence[str], known: Callable[[], KnownProteins], skip_unknown: bool = False
) -> SequenceStore:
    """Return records of files first, then what is named, under its name, or given as a sequence.

    A protein that is asked for again under another name is left out, with a warning.

    Parameters
    ----------
    texts : sequence of str
        FASTA files, lists of names, names, sequences.
    known : callable
        Makes the proteins that may be named; called where something is named.
    skip_unknown : bool
        Leave out, with a warning, names that stand for no protein.

    Raises
    ------
    DataError
        If a text looks like a file and there is none, or a file is faulty.
    UnknownNameError
        If a text is neither file, name nor sequence.
    """
    from lcplm_graph.heads.names import ADVICE, leave_out_unknown, refuse_unknown
    from lcplm_graph.proteins.store import SequenceStore, read_fasta_files

    files, others = _files_and_names(texts)
    store = read_fasta_files(files)
    if not others:
        return store
    names = known()
    own, unknown = names.read(others, names)
    if skip_unknown:
        leave_out_unknown(unknown, len(others) + len(store))
    else:
        refuse_unknown(unknown, len(others), ADVICE)
    sequences = dict(zip(store.ids, store, strict=True))
    again: dict[str, str] = {}
    for text, sequence in own.items():
        if (before := _same_protein(text, sequence, sequences, names)) is not None:
            again[text] = before
            continue
        if sequences.setdefault(text, sequence) != sequence:
            raise DataError(
                f"{text!r} is a protein that is known here, and a record of another sequence; call "
                "the record otherwise, or ask for one of the two",
                path=", ".join(files),
                record=text,
            )
    names.warn_of_aliases(others)
    if again:
        warn_once(
            "asked for once more and answered once: "
            + ", ".join(f"{text[:40]!r} is {name}" for text, name in again.items())
        )
    return SequenceStore.from_records(sequences.keys(), sequences.values())


def _files_and_names(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the FASTA files, and what is named: on the command line, or in lists of names.

    Raises
    ------
    DataError
        If a text looks like a file and there is none, or a list is faulty.
    """
    from lcplm_graph.proteins.name_lists import names_in

    lists = {text: names_in(text) for text in texts if os.path.isfile(text)}
    files = [text for text, names in lists.items() if names is None]
    others: list[str] = []
    for text in texts:
        if text not in lists:
            _refuse_missing_file(text)
        others += lists.get(text, [text]) or []
    return files, list(dict.fromkeys(others))


def _refuse_missing_file(text: str) -> None:
    if os.path.exists(text) and not os.path.isdir(text):
        check_is_file(text)  # a pipe, which it says
    if Path(text).suffix.lower() in _FILES:
        raise DataError("no such file; check the path", path=text)


def nodes_of(dataset: PPIDataset, asked: SequenceStore) -> np.ndarray:
    """Return which protein of the graph has each sequence, -1 for none.

    Genes may make the same protein and have other partners: the one of this name counts.
    """
    import numpy as np

    nodes: dict[int, list[int]] = {}
    for node, digest in enumerate(dataset.sequences.digests().tolist()):
        nodes.setdefault(digest, []).append(node)
    found, alike = [], []
    for name, digest in zip(asked.ids, asked.digests().tolist(), strict=True):
        same = nodes.get(digest, [-1])
        named = [node for node in dataset.names.find(name) if node in same] if same[1:] else []
        found.append((named or same)[0])
        if len(same) > 1 and not named:
            alike.append(f"{name}: {', '.join(dataset.sequences.ids[node] for node in same)}")
    if alike:
        warn_once(
            f"{len(alike):,} of {len(asked):,} sequences are of several proteins of the graph, for "
            f"example {alike[0]}; the edges of the first count; ask by name to choose"
        )
    return np.array(found, np.int64)


def _same_protein(
    text: str, own: str, asked: Mapping[str, str], names: KnownProteins
) -> str | None:
    """Return under which other name a protein is asked for already.

    Genes of one sequence are several proteins: of those, a name tells which.
    """
    alike = [name for name, sequence in asked.items() if sequence == own and name != text]
    if not alike or text in asked:
        return None
    rows = set(names.names.find(text))
    of_one = sum(sequence == own for sequence in names.store) <= 1
    for name in alike:
        if of_one or rows & set(names.names.find(name)):
            return name
    return None

"""Labels for maps of proteins: from a table, or from the annotations that ship."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lcplm_graph.errors import DataError
from lcplm_graph.files.catalog import load_card
from lcplm_graph.files.tables import first_columns, rows
from lcplm_graph.proteins.names import NameIndex

#: What ``lcplm map --labels`` takes besides a table, and in words.
SHIPPED = {
    "pfam": "Pfam family",
    "MF": "molecular function",
    "BP": "biological process",
    "CC": "cellular component",
}
_DATA = "string_human_core"
# "binding" says nothing of proteins that nearly all bind; a term must tell some from the others.
_LARGEST_SHARE = 0.3
_EXCLUDED = ("GO:0005515",)


class ProteinLabels(NamedTuple):
    """Labels of proteins, in their order.

    Attributes
    ----------
    labels : list of set of str
        To choose colours from.
    texts : list of str
        What is known of each protein, in words.
    note : str
        What was read, and how many proteins it tells of.
    """

    labels: list[set[str]]
    texts: list[str]
    note: str


def read_labels(path: str | os.PathLike[str], ids: Sequence[str]) -> ProteinLabels:
    """Read a table whose first column is an id, and whose second is its label.

    Several labels stand on several lines, or in one cell with ``;`` between, as in UniProt's
    tables.  Lines of other proteins, a header among them, are counted.

    Parameters
    ----------
    path : path-like
        Tab-separated text, plain or compressed.
    ids : sequence of str
        Proteins of the map; ids are found in any usual spelling.

    Raises
    ------
    DataError
        If a line has one column, or no line names a protein of the map.
    """
    path, index = Path(path), NameIndex(ids)
    labels: list[set[str]] = [set() for _ in ids]
    others, last = 0, ""
    for line, cells in rows(path):
        if len(cells) < 2:
            message = "a line is a protein's id and its label with a tab between; this one is not"
            raise DataError(message, path=path, line=line)
        found = index.find(cells[0])
        for row in found:
            labels[row].update(part for text in cells[1].split(";") if (part := text.strip()))
        if not found:
            others, last = others + 1, cells[0]
    if not any(labels):
        raise DataError(
            f"no line gives a label to a protein of the map; ids are {last[:40]!r} here, "
            f"{ids[0][:40]!r} there",
            path=path,
        )
    note = f"{path}: labels of {sum(map(bool, labels)):,} of {len(ids):,} proteins"
    note += f"; {others:,} lines name other proteins or none" if others else ""
    return ProteinLabels(labels, ["; ".join(sorted(own)) for own in labels], note)


def shipped_labels(kind: str, ids: Sequence[str]) -> ProteinLabels:
    """Take Pfam families or Gene Ontology terms of the human proteins that ship.

    Parameters
    ----------
    kind : {"pfam", "MF", "BP", "CC"}
    ids : sequence of str
        STRING ids, UniProt accessions or gene names; other proteins have no label.

    Raises
    ------
    DataError
        If none of them is one of these proteins.
    """
    card = load_card(_DATA)
    info, pfam = card.file("info").path, card.file("families").path
    assert info is not None
    assert pfam is not None
    table = first_columns(info, ("protein", "symbol", "accession")).to_pandas().fillna("")
    index = NameIndex(list(table["protein"]), list(table["symbol"]), list(table["accession"]))
    row_of = [next(iter(index.find(name)), -1) for name in ids]
    if max(row_of, default=-1) < 0:
        raise DataError(
            f"none of the {len(ids):,} proteins, for example {ids[0][:40]!r}, is one of {_DATA}, "
            "whose labels these are; give a table of labels instead"
        )
    proteins = ["" if row < 0 else table["protein"][row] for row in row_of]
    if kind == "pfam":
        families = first_columns(pfam, ("protein", "pfam")).to_pandas()
        of = families.groupby("protein")["pfam"].agg(set).to_dict()
        labels = [set(of.get(protein, ())) for protein in proteins]
        texts = ["; ".join(sorted(own)) for own in labels]
    else:
        labels, texts = _terms(kind, proteins)
    symbols = ["" if row < 0 else table["symbol"][row] for row in row_of]
    texts = [": ".join(filter(None, both)) for both in zip(symbols, texts, strict=True)]
    what = "Pfam families" if kind == "pfam" else f"{kind} terms of any evidence"
    known = sum(map(bool, labels))
    note = f"{what} of {_DATA}: labels of {known:,} of {len(ids):,} proteins"
    return ProteinLabels(labels, texts, note)


def _terms(aspect: str, proteins: Sequence[str]) -> tuple[list[set[str]], list[str]]:
    """Return the names of the terms of each protein: all that tell, and in words its own."""
    from lcplm_graph.go.annotations import read_annotations
    from lcplm_graph.go.labels import label_matrix
    from lcplm_graph.go.ontology import Ontology

    card = load_card(_DATA)
    annotations, obo = card.file("annotations").path, card.file("ontology").path
    assert annotations is not None
    assert obo is not None
    ontology, read = Ontology.from_obo(obo), read_annotations(annotations)
    asked = pd.Index([name for name in proteins if name]).unique()
    own = read.table[read.table["protein"].isin(asked)]
    read = type(read)(own, read.counts)
    matrix, _ = label_matrix(read, ontology, asked, exclude=_EXCLUDED)
    inside = ontology.in_aspect(aspect)
    size = matrix.sum(axis=0)
    telling = inside & (size <= max(_LARGEST_SHARE * len(asked), 1))
    by_protein = {
        name: {ontology.names[i] for i in matrix.indices[start:stop] if telling[i]}
        for name, start, stop in zip(asked, matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    }
    said: dict[str, set[str]] = {}
    terms, _ = ontology.resolve(own["go_id"])
    for name, term in zip(own["protein"], terms.tolist(), strict=True):
        if term >= 0 and inside[term]:
            said.setdefault(name, set()).add(ontology.names[term])
    labels = [by_protein.get(name, set()) for name in proteins]
    return labels, ["; ".join(sorted(said.get(name, ()))) for name in proteins]

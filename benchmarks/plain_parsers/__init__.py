"""Slow and plain parsers of the text formats, which the toolkit's own must agree with."""

from plain_parsers.annotations import annotations
from plain_parsers.ontology import obo
from plain_parsers.pairs import clusters, interactions, labelled, links, names, pairs
from plain_parsers.proteins import fasta
from plain_parsers.tables import aliases, map_labels, symbols, table, variants

__all__ = [
    "aliases",
    "annotations",
    "clusters",
    "fasta",
    "interactions",
    "labelled",
    "links",
    "map_labels",
    "names",
    "obo",
    "pairs",
    "symbols",
    "table",
    "variants",
]

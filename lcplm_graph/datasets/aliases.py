"""Names that other databases give to STRING's proteins, and gene symbols."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.files.tables import first_columns
from lcplm_graph.proteins.store import SequenceStore

_COLUMNS = ("protein_id", "alias", "source")


def read_aliases(path: Path) -> pa.Table:
    """Read STRING's ``protein.aliases`` file; columns `protein_id`, `alias`, `source`."""
    return first_columns(path, _COLUMNS)


def embedded_aliases(info: Path) -> pa.Table:
    """Make the same table for the embedded data: symbols, UniProt accessions, Entrez numbers."""
    table = first_columns(info, ("protein_id", "symbol", "UniProt_AC", "Entrez"))
    parts = [
        [table["protein_id"], table[source], pa.array([source] * len(table))]
        for source in table.column_names[1:]
    ]
    return pa.concat_tables(pa.table(part, names=_COLUMNS) for part in parts)


def find_aliases(table: pa.Table, names: Iterable[str]) -> pd.DataFrame:
    """Take the rows of some names; what was found by similarity (``BLAST_...``) does not count.

    Returns
    -------
    pandas.DataFrame
        Columns `alias`, `protein_id`, each pair once.
    """
    wanted = pc.is_in(table["alias"], pa.array(list(names), pa.string()))
    guessed = pc.starts_with(table["source"], "BLAST_")
    found = table.filter(pc.and_not(wanted, guessed)).select(["alias", "protein_id"])
    return found.to_pandas().drop_duplicates(ignore_index=True)


def read_symbols(info: Path, store: SequenceStore) -> list[str]:
    """Return gene symbols in node order; the id where STRING gives none."""
    table = first_columns(info, ("protein", "symbol"))
    ids = store.table["id"].cast(pa.string())
    symbols = table["symbol"].take(pc.index_in(ids, value_set=table["protein"]))
    symbols = pc.if_else(pc.equal(symbols, ""), None, symbols)
    return pc.coalesce(symbols, ids).to_pylist()

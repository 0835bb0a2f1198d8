"""Find the proteins of an embedding file that are most like a query.

The query is embedded as the file was; a query may also be an embedding file itself.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lcplm_graph.command import run_command
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.names import Pool, Precision
from lcplm_graph.option_parser import positional
from lcplm_graph.options import check_counts, options_given

if TYPE_CHECKING:
    from lcplm_graph.features.precomputed import Precomputed
    from lcplm_graph.numeric import Float32Array


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options of ``lcplm search``.

    Parameters
    ----------
    query
        FASTA, - for standard input, or embeddings (.h5, .npz, .parquet).
    db
        Embeddings to search in: FILE.h5, .npz or .parquet of lcplm embed, or STRING's network or
        sequence embeddings.
    out
        FILE.tsv, with the columns query, rank, protein, cosine.
    top
        Neighbours of each query.
    engine
        exact; faiss (exact too) and usearch (approximate) if they are installed.
    encoder
        Default: the one that the file names.
    pool
        Default: the one that the file names.
    precision
        What the encoder computes with, see lcplm embed; default: as the file was made.
    species
        Taxon, in STRING's file of all species.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    query: str = positional(metavar="QUERY.fasta", stdin=True)
    db: str
    out: str
    top: int = 10
    engine: Literal["exact", "faiss", "usearch"] = "exact"
    encoder: str | None = None
    pool: Pool | None = None
    precision: Precision | None = None
    species: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        check_counts(self, "top", typed=True)


def search(options: SearchOptions) -> None:
    """Search, write and say where."""
    from lcplm_graph.io import atomic_path, checked_suffix
    from lcplm_graph.tasks.search import EmbeddingIndex

    checked_suffix(options.out, (".tsv",))
    _check_species(options)
    db = _read(options.db, options.species)
    index = EmbeddingIndex(db.values, options.engine)
    names, queries = _queries(options, db.info)
    neighbours, cosine = index.search(queries, options.top)
    with (
        atomic_path(options.out) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("query", "rank", "protein", "cosine"))
        for name, found, values in zip(names, neighbours.tolist(), cosine.tolist(), strict=True):
            for rank, (i, value) in enumerate(zip(found, values, strict=True), 1):
                writer.writerow((name, rank, db.ids[i], f"{value:.6f}"))
    print(f"{len(names):,} queries in {len(db.ids):,} proteins; written: {options.out}")


def _read(path: str, species: str | None) -> Precomputed:
    """Read embeddings; of the two files either may be the one of several species."""
    from lcplm_graph.features.precomputed import has_species, read_embeddings

    several = species is not None and has_species(path)
    return read_embeddings(path, species if several else None)


def _queries(options: SearchOptions, info: dict[str, Any]) -> tuple[list[str], Float32Array]:
    if _is_embeddings(options.query):
        _refuse_encoder_options(options)
        given = _read(options.query, options.species)
        _check_same(options.query, given.info, options.db, info)
        return given.ids, given.values
    return _embedded(options, info)


def _embedded(options: SearchOptions, info: dict[str, Any]) -> tuple[list[str], Float32Array]:
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.process import chosen_device
    from lcplm_graph.proteins.store import SequenceStore

    name, pool = options.encoder or info.get("encoder"), options.pool or info.get("pool")
    if name is None or pool is None:
        raise ConfigError(f"{options.db} does not say how it was made; give --encoder and --pool")
    precision = options.precision or info.get("precision") or "float32"
    encoder = load_in_precision(name, precision, chosen_device(options.device))
    made_by = info.get("encoder_fingerprint")
    if made_by is not None and made_by != encoder.fingerprint():
        raise ConfigError(
            f"{options.db} was made by another encoder than {name} in {encoder.precision}; embed "
            "it again, or give the encoder and the precision it was made by"
        )
    pool = encoder.chosen_pool(pool)
    _check_same("the query", {"pool": pool}, options.db, info)
    store = SequenceStore.from_fasta(options.query)
    return store.ids, encoder.embed(list(store), pool, progress=True).numpy()


def _is_embeddings(path: str) -> bool:
    from lcplm_graph.features.formats import WRITERS, format_of

    return format_of(path) in WRITERS


def _check_species(options: SearchOptions) -> None:
    from lcplm_graph.features.precomputed import has_species

    files = [options.db, *([options.query] if _is_embeddings(options.query) else [])]
    if options.species is not None and not any(map(has_species, files)):
        raise ConfigError(
            f"--species {options.species} means nothing here: there is no file of several species; "
            "leave it out"
        )


def _refuse_encoder_options(options: SearchOptions) -> None:
    if given := options_given(options, ("encoder", "pool", "precision", "device")):
        raise ConfigError(
            f"{', '.join(given)} means nothing where the query is an embedding file; leave it out"
        )


def _check_same(one: str, own: dict[str, Any], other: str, theirs: dict[str, Any]) -> None:
    """Refuse to compare what was made in different ways, as far as both files say how."""
    for key, what in (("encoder_fingerprint", "encoders"), ("pool", "pools")):
        a, b = own.get(key), theirs.get(key)
        if a is not None and b is not None and a != b:
            named = (own.get("encoder"), theirs.get("encoder")) if what == "encoders" else (a, b)
            raise ConfigError(
                f"{one} and {other} are of different {what} ({named[0]} and {named[1]}), so their "
                "cosines mean nothing; embed one of them again"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("search", SearchOptions, search, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

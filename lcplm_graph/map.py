"""Draw a map of an embedding file, coloured by family, term or any label.

The first two principal components of the standardised embeddings; the seven most frequent labels
have a colour.  Beside the picture stands a web page, which needs no network, that says which
protein is which.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lcplm_graph.command import run_command
from lcplm_graph.option_parser import positional

_SUFFIXES = (".png", ".svg")


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """Options of ``lcplm map``.

    Parameters
    ----------
    embeddings
        FILE.h5, .npz or .parquet of lcplm embed, or STRING's network or sequence embeddings.
    out
        FILE.png or FILE.svg; the page is FILE.html beside it.
    labels
        Table of id and label with a tab between, such as Pfam families; or pfam, MF, BP or CC for
        the families and Gene Ontology terms of the human proteins that ship.
    title
        Default: the encoder that the file names.
    species
        Taxon, in STRING's file of all species.
    """

    embeddings: str = positional(metavar="EMBEDDINGS.h5")
    out: str
    labels: str | None = None
    title: str | None = None
    species: str | None = None


def draw(options: MapOptions) -> None:
    """Draw the map, write its page, and say what the colours are."""
    from lcplm_graph.evaluation.map_labels import SHIPPED, read_labels, shipped_labels
    from lcplm_graph.evaluation.maps import EmbeddingMap
    from lcplm_graph.features.precomputed import read_embeddings
    from lcplm_graph.io import checked_suffix

    checked_suffix(options.out, _SUFFIXES)
    given = read_embeddings(options.embeddings, options.species)
    name = str(given.info.get("encoder", Path(options.embeddings).stem))
    labels, texts, title = [set[str]() for _ in given.ids], None, options.title or name
    if options.labels is not None:
        kind = {name.lower(): name for name in SHIPPED}.get(options.labels.lower())
        labels, texts, note = (
            shipped_labels(kind, given.ids) if kind else read_labels(options.labels, given.ids)
        )
        print(note)
        what = SHIPPED[kind] if kind else Path(options.labels).stem
        title = options.title or f"{name}, by {what}"
    made = EmbeddingMap.of(given.values, labels, title, given.ids, texts)
    made.draw(options.out)
    page = made.write_page(Path(options.out).with_suffix(".html"))
    for _, label, _, count in made.legend() if made.names else ():
        print(f"  {count:6,}  {label}")
    print(f"{len(given.ids):,} proteins; {', '.join(made.axes)}")
    print(f"written: {options.out}, {page}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("map", MapOptions, draw, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

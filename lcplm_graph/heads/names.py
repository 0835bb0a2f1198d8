"""Names that may stand for proteins: ids, accessions and gene names of an embedded dataset."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from lcplm_graph.errors import UnknownNameError
from lcplm_graph.files.catalog import load_card
from lcplm_graph.files.tables import rows
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.store import SequenceStore

# A shorter word that no one knows is more likely a mistyped gene name than a protein.
_SHORT = 20


@dataclass(frozen=True)
class KnownProteins:
    """Proteins with their names.

    Attributes
    ----------
    store : SequenceStore
    place : dict of str to int
        Where in it the protein of a name is.
    """

    store: SequenceStore
    place: dict[str, int]

    @classmethod
    def embedded(cls, name: str) -> KnownProteins:
        """Read sequences and names of an embedded dataset, without its graph."""
        card = load_card(name)
        sequences, info = (card.file(role).path for role in ("sequences", "info"))
        assert sequences is not None
        assert info is not None
        store = SequenceStore.from_fasta(sequences)
        place = {name: i for i, name in enumerate(store.ids)}
        table = rows(info)
        next(table)
        for _, (protein, symbol, accession, *_) in table:
            at = place[protein]
            for alias in (symbol, accession, protein.partition(".")[2]):
                place.setdefault(alias, at)
        return cls(store, place)

    def sequence(self, text: str, more: Mapping[str, str] | None = None) -> str:
        """Return the sequence that a text stands for: a name, or itself.

        Raises
        ------
        UnknownNameError
            If it is neither.
        """
        word = text.strip()
        if more is not None and word in more:
            return more[word]
        if word in self.place:
            return self.store[self.place[word]]
        if word.upper() in self.place:
            return self.store[self.place[word.upper()]]
        letters = "".join(word.split()).upper().removesuffix("*")
        if not (letters.isascii() and letters.isalpha()):
            close = difflib.get_close_matches(word.upper(), self.place, n=1)
            near = f", did you mean {close[0]}?," if close else ""
            raise UnknownNameError(
                f"{word[:40]!r} is neither a protein known here (an id, an accession, a gene "
                f"name){near} nor a sequence of letters"
            )
        if len(letters) < _SHORT:
            warn_once(f"{word!r} is no name known here and is taken as a sequence")
        return letters

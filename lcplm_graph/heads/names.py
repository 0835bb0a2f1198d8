"""Names that may stand for proteins: ids, accessions and gene names of an embedded dataset."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import UnknownNameError
from lcplm_graph.files.catalog import list_cards, load_card
from lcplm_graph.files.tables import first_columns
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import IntArray, is_in, pair_hashes
from lcplm_graph.proteins.fasta import warn_of_strange
from lcplm_graph.proteins.mappings import as_store
from lcplm_graph.proteins.names import NameIndex
from lcplm_graph.proteins.store import SequenceStore, read_fasta_files

# A shorter word that no one knows is more likely a mistyped gene name than a protein.
_SHORT = 20
_SHOWN = 5
# Embedded names and sequences of all genes of an organism, by its taxon.
_PROTEOMES = {9606: "human_proteome"}
#: What commands can do about unknown names.
ADVICE = "; --skip-unknown leaves out what is not known"


@dataclass(frozen=True)
class KnownProteins:
    """Proteins with their names.

    Attributes
    ----------
    store : SequenceStore
    names : NameIndex
        Of the proteins, in the order of the store.
    title : str
        What the proteins are, for messages.
    links : ndarray, dtype=uint64, shape=(m,)
        `pair_hashes` of their known interactions, ascending.
    organism : tuple of int
        NCBI taxa.  Names that these proteins lack are looked up in the embedded proteome of the
        organism, where there is one (human): gene symbols, their aliases, accessions.
    """

    store: SequenceStore
    names: NameIndex
    title: str = "the sequences given"
    links: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    organism: tuple[int, ...] = ()

    @classmethod
    def embedded(cls, name: str) -> KnownProteins:
        """Read sequences, names and links of an embedded dataset, without making its graph."""
        card = load_card(name)
        if card.kind == "sequences" and card.embedded:
            return read_proteome(name)
        sequences, info, links = (card.file(x).path for x in ("sequences", "info", "links"))
        if sequences is None or info is None or links is None:
            raise UnknownNameError(f"{name!r} is no dataset whose proteins ship with this package")
        store = SequenceStore.from_fasta(sequences)
        symbols, accessions = _columns(info, store.ids, ("protein", "symbol", "accession"))
        ends = first_columns(links, ("protein1", "protein2"))
        pairs = np.stack([store.index_of(column.to_pylist()) for column in ends.columns], axis=1)
        known = np.sort(pair_hashes(store.digests(), pairs))
        names = NameIndex(store.ids, symbols, accessions)
        return cls(store, names, name, known, card.organism)

    @classmethod
    def of(cls, sequences: Mapping[str, str] | SequenceStore) -> KnownProteins:
        """Take names with their sequences: a mapping, a Series indexed by name, or a store.

        Of a store the gene names in UniProt's headers are names, too.

        Raises
        ------
        InputError
            If it is something else.
        """
        store = as_store(sequences)
        return cls(store, NameIndex(store.ids, store.gene_names))

    def known(self, name: str) -> str | None:
        """Return the sequence of a name; None if no protein has it.

        Raises
        ------
        UnknownNameError
            If proteins of different sequences have it.
        """
        rows = self.names.find(name)
        if len({self.store[row] for row in rows}) > 1:
            self.names.row(name)
        if rows:
            return self.store[rows[0]]
        # What is longer is a sequence, which is no reason to read the proteome.
        if len(name.strip()) >= _SHORT or self.proteome is None:
            return None
        return self.proteome.known(name)

    @cached_property
    def proteome(self) -> KnownProteins | None:
        """All proteins of the organism, read when a name is looked for that these lack."""
        # Among several species a name does not say which one is meant.
        name = _PROTEOMES.get(self.organism[0]) if len(self.organism) == 1 else None
        return None if name is None else read_proteome(name)

    def near(self, name: str) -> str:
        """Return ``", did you mean X?"`` with the most similar name, or nothing."""
        in_proteome = self.proteome.names.near(name) if self.proteome else ""
        return in_proteome or self.names.near(name)

    def warn_of_aliases(self, names: Collection[str], given: KnownProteins | None = None) -> None:
        """Count and name those that only the aliases of a gene explain."""
        genes = {name: gene for name in names if (gene := self._gene_of_alias(name, given))}
        if genes:
            shown = ", ".join(f"{name} is {gene}" for name, gene in list(genes.items())[:_SHOWN])
            shown += ", ..." if len(genes) > _SHOWN else ""
            warn_once(f"{len(genes):,} of {len(names):,} names are other names of genes: {shown}")

    def _gene_of_alias(self, name: str, given: KnownProteins | None) -> str:
        if len(name.strip()) >= _SHORT or (given and given.known(name) is not None):
            return ""
        if self.names.find(name) or self.proteome is None:
            return ""
        names = self.proteome.names
        return names.ids[names.find(name)[0]] if names.is_alias(name) else ""

    def linked(self, digests: npt.NDArray[np.uint64], ends: IntArray) -> npt.NDArray[np.bool_]:
        """Tell which pairs of sequences are known to interact.

        Parameters
        ----------
        digests : ndarray, dtype=uint64, shape=(m,)
            `sequence_digests`.
        ends : ndarray, dtype=int64, shape=(n, 2)
            Places in them.
        """
        return is_in(pair_hashes(digests, ends), self.links)

    def sequences(
        self, texts: Iterable[str], given: KnownProteins | None = None, short: bool = True
    ) -> dict[str, str]:
        """Return the sequence that each text stands for, see `sequence`.

        Names that the caller's proteins lack are counted and named: once if they are known here,
        since a gene of another organism may have the same name, else in the error.

        Raises
        ------
        UnknownNameError
            If texts are neither, or names of several proteins.
        """
        distinct = list(dict.fromkeys(texts))
        found, unknown = self.read(distinct, given, short)
        refuse_unknown(unknown, len(distinct))
        lent = [] if given is None else [
            text for text in distinct if given.known(text) is None and self.known(text) is not None
        ]  # fmt: skip
        if given is not None and lent:
            own = set(given.store)
            lent = [text for text in lent if found[text] not in own]
        if lent:
            titles = [self.title, *([self.proteome.title] if self.proteome else [])]
            warn_once(
                f"taken as proteins of {' and '.join(titles)}, as the sequences that were given "
                f"lack them: {_some(lent)} ({len(lent):,} of {len(distinct):,} names); give their "
                "sequences if other proteins are meant"
            )
        self.warn_of_aliases(found, given)
        return found

    def read(
        self, texts: Iterable[str], given: KnownProteins | None = None, short: bool = True
    ) -> tuple[dict[str, str], dict[str, UnknownNameError]]:
        """Return the sequence that each text stands for, and why others stand for none."""
        found: dict[str, str] = {}
        unknown: dict[str, UnknownNameError] = {}
        for text in dict.fromkeys(texts):
            try:
                found[text] = self.sequence(text, given, short)
            except UnknownNameError as error:
                unknown[text] = error
        return found, unknown

    def sequence(self, text: str, given: KnownProteins | None = None, short: bool = True) -> str:
        """Return the sequence that a text stands for: a name, or itself.

        Parameters
        ----------
        text : str
        given : KnownProteins, optional
            Proteins of the caller, whose names come first.  Where there are some, a short word is
            a name: one that nobody knows is refused, though it may be made of amino acids.
        short : bool
            Whether a short word may be a sequence where there are none.

        Raises
        ------
        UnknownNameError
            If it is neither, or a name of several proteins.
        """
        own = given.known(text) if given else None
        if own is not None:
            return own
        word = text.strip()
        found = self.known(word)
        if found is not None:
            return found
        letters = "".join(word.split()).upper().removesuffix("*")
        if not (letters.isascii() and letters.isalpha()):
            raise UnknownNameError(
                f"{word[:40]!r} is neither a protein known here (an id, an accession, a gene "
                f"name) nor a sequence of letters{self.near(word)}"
            )
        if len(letters) < _SHORT:
            near = (given.near(word) if given else "") or self.near(word)
            if given:
                raise UnknownNameError(
                    f"{word!r} is neither among the sequences that were given nor a name known "
                    f"here{near}; check the id, or give its sequence under this id"
                )
            if not short:
                raise UnknownNameError(
                    f"{word!r} is not a name known here{near}; check it, or give its sequence"
                )
            warn_once(f"{word!r} is not a name known here{near}; taken as a sequence")
        warn_of_strange(letters, f"the sequence {word[:20]}...")
        return letters


@cache
def read_proteome(name: str) -> KnownProteins:
    """Read an embedded proteome, with gene symbols as ids, and accessions and aliases as names."""
    files = (load_card(name).file(role).path for role in ("sequences", "info"))
    sequences, info = (path for path in files if path is not None)
    store = SequenceStore.from_fasta(sequences)
    header = ("protein", "symbol", "accession", "entrez", "aliases")
    _, accessions, _, aliases = _columns(info, store.ids, header)
    rows: dict[str, list[int]] = {}
    for row, several in enumerate(aliases):
        for alias in filter(None, several.split("|")):
            rows.setdefault(alias.upper(), []).append(row)

    def find(words: Sequence[str]) -> dict[str, list[int]]:
        return {word: rows[word.upper()] for word in words if word.upper() in rows}

    return KnownProteins(store, NameIndex(store.ids, store.ids, accessions, more=find), name)


def _columns(info: Path, ids: Sequence[str], header: Sequence[str]) -> list[list[str]]:
    """Read the columns behind the first, which is an id, in the order of ids; "" where none is."""
    table = first_columns(info, header)
    rows = pc.index_in(pa.array(ids, pa.string()), value_set=table[header[0]])
    return [pc.coalesce(table[name].take(rows), "").to_pylist() for name in header[1:]]


def sequences_of(sources: Sequence[str]) -> SequenceStore:
    """Join FASTA files and datasets that ship, such as ``string_human_core``.

    Of a dataset the gene names are those of `SequenceStore.gene_names`.

    Raises
    ------
    DataError
        As `read_fasta_files`.
    """
    shipped = {
        card.name for card in list_cards() if card.embedded and card.kind in ("ppi", "sequences")
    }
    names = [text for text in sources if text in shipped and not os.path.isfile(text)]
    store = read_fasta_files([text for text in sources if text not in names])
    for name in names:
        known = KnownProteins.embedded(name)
        genes = [f"GN={gene}" if gene else "" for gene in known.names.names]
        ours = SequenceStore.from_records(known.store.ids, known.store, genes)
        more = ours.select(np.isin(ours.ids, store.ids, invert=True))
        store = SequenceStore(pa.concat_tables([store.table, more.table]))
    return store


def refuse_unknown(unknown: Mapping[str, UnknownNameError], total: int, advice: str = "") -> None:
    """Raise what is wrong with names that stand for no protein, if there are some.

    Parameters
    ----------
    unknown : mapping of str to UnknownNameError
        Of `KnownProteins.read`.
    total : int
        How many names there were.
    advice : str
        What to do, behind the sentence.

    Raises
    ------
    UnknownNameError
    """
    if not unknown:
        return
    first = next(iter(unknown.values()))
    if len(unknown) == 1:
        # One of two or three is looked up again; one of many is left out.
        advice = advice if total > _SHOWN else ""
        raise UnknownNameError(f"{first}{advice}")
    raise UnknownNameError(
        f"{len(unknown):,} of {total:,} names stand for no protein: {_some(unknown)}; the first: "
        f"{first}{advice}"
    )


def leave_out_unknown(unknown: Mapping[str, UnknownNameError], total: int) -> None:
    """Name in a warning all that stand for no protein, which the caller leaves out.

    Raises
    ------
    UnknownNameError
        If nothing else was asked for.
    """
    if unknown and len(unknown) == total:
        refuse_unknown(unknown, total)
    if unknown:
        names = ", ".join(name[:40] for name in unknown)
        warn_once(f"left out, as they stand for no protein: {len(unknown):,} of {total:,}: {names}")


def _some(names: Collection[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in list(names)[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")

"""Which protein a name means: an id, a gene name, an accession, or what other databases say."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.proteins.ids import Accession, accession_of

Alias = Callable[[Sequence[str]], Mapping[str, Sequence[int]]]

_SHOWN = 5


class NameIndex:
    """Names of proteins, in an order of trust: ids, gene names, other names, accessions.

    A name is looked for as it is, then without regard to case.  What a stronger kind of name
    knows is not asked of a weaker one, so ``TP53`` is the gene, whatever else is called so.

    Parameters
    ----------
    ids : sequence of str
        Of the proteins, in their order.
    *kinds : sequence of str
        Other names in the same order, strongest first; an empty one says nothing.
    more : callable, optional
        Asked last, with spellings of one name: gives the rows of each it knows.

    Examples
    --------
    >>> index = NameIndex(["9606.ENSP1", "9606.ENSP2"], ["TP53", "MDM2"])
    >>> index.row("tp53"), index.row("ENSP2"), index.find("nobody")
    (0, 1, [])
    >>> index.row("TP35")
    Traceback (most recent call last):
    lcplm_graph.errors.UnknownNameError: no protein 'TP35' here, did you mean TP53?
    """

    def __init__(
        self, ids: Sequence[str], *kinds: Sequence[str], more: Alias | None = None
    ) -> None:
        self.ids, self.names, self._more = ids, kinds[0] if kinds else ids, more
        self._kinds = [_Kind(names) for names in (ids, *kinds)]

    # Made when they are asked for: most names are an id or a gene name as it stands.
    @cached_property
    def _accessions(self) -> list[Accession]:
        return [accession_of(name) for name in self.ids]

    @cached_property
    def _by_accession(self) -> _Kind:
        return _Kind([accession.core for accession in self._accessions])

    def find(self, name: str) -> list[int]:
        """Return the rows of all proteins that a name may mean; none if it is unknown.

        Raises
        ------
        InputError
            If the name is no text.
        """
        if not isinstance(name, str):
            raise InputError(
                f"a protein is named by a text, not by {type(name).__name__} {name!r:.60}"
            )
        word = name.strip()
        asked = accession_of(word)
        if rows := self._in_lists(word, asked):
            return rows
        spelt = [word, *([asked.core] if not asked.taxon else [])]
        if self._more is None:
            return []
        known = self._more(list(dict.fromkeys([*spelt, word.upper()])))
        return next((sorted(set(known[w])) for w in (*spelt, word.upper()) if w in known), [])

    def is_alias(self, name: str) -> bool:
        """Whether only `more` knows a name."""
        word = name.strip()
        return not self._in_lists(word, accession_of(word)) and bool(self.find(name))

    def _in_lists(self, word: str, asked: Accession) -> list[int]:
        for kind in self._kinds:
            if rows := kind.find(word):
                return rows
        if rows := self._by_accession.find(asked.core):
            fits = [i for i in rows if not asked._replace(version="").contradicts(
                self._accessions[i])]  # fmt: skip
            if fits:
                return fits
        for kind in self._kinds[1:] if asked.core != word and not asked.taxon else []:
            if rows := kind.find(asked.core):
                return rows
        return []

    def row(self, name: str, what: str = "here") -> int:
        """Return the row of the one protein that a name means.

        Parameters
        ----------
        name : str
        what : str
            Where it was looked for, for the error.

        Raises
        ------
        InputError
            If the name is no text.
        UnknownNameError
            If no protein has the name (the nearest one is in the message), or several have it.
        """
        rows = self.find(name)
        if len(rows) == 1:
            return rows[0]
        if not rows:
            raise UnknownNameError(f"no protein {name[:40]!r} {what}{self.near(name)}")
        shown = ", ".join(self.ids[i] for i in rows[:_SHOWN])
        more = ", ..." if len(rows) > _SHOWN else ""
        raise UnknownNameError(
            f"{name[:40]!r} is a name of {len(rows)} proteins {what}: {shown}{more}; give the id "
            "of one"
        )

    def near(self, name: str) -> str:
        """Return ``", did you mean X?"`` with the most similar gene name or id, or nothing."""
        word = name.strip()[:40].upper()
        known = {text.upper(): text for text in (*self.ids, *self.names)}
        close = difflib.get_close_matches(word, known, n=10)
        # A family shares its first letter; fingers slip later.
        close.sort(key=lambda text: (text[:1] != word[:1], _edits(text, word)))
        return f", did you mean {known[close[0]]}?" if close else ""


def _edits(one: str, other: str) -> int:
    """Return how many letters were left out, put in, mistaken, or swapped with the next one."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
                least = min(least, last[j - 2] + 1)
            row.append(least)
    return row[-1]


class _Kind:
    """Rows by name, exact and folded."""

    def __init__(self, names: Iterable[str]) -> None:
        self.exact: dict[str, list[int]] = {}
        self.folded: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            if name:
                self.exact.setdefault(name, []).append(row)
                self.folded.setdefault(name.casefold(), []).append(row)

    def find(self, word: str) -> list[int]:
        return self.exact.get(word) or self.folded.get(word.casefold(), [])

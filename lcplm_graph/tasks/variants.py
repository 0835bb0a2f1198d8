"""Zero-shot effects of variants: substitutions by marginals, other changes by likelihood.

A substitution scores ``log p(new) - log p(old)`` at its position, several score their sum; an
insertion or deletion scores the pseudo-log-likelihood of the new protein minus that of the old
(Brandes et al. 2023).  Higher is better tolerated; 0 is like the wild type.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, get_args

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.models.encoder import MAX_TOKENS
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array
from lcplm_graph.pairs import IntArray
from lcplm_graph.strings import one_of
from lcplm_graph.tasks.marginals import (
    check_length,
    log_likelihood,
    masked_marginals,
    own,
    wild_type_marginals,
)
from lcplm_graph.tasks.parts import Parts
from lcplm_graph.tokens.vocabulary import RESIDUES, STANDARD_RESIDUES

Method = Literal["masked", "wild-type", "pseudo-perplexity"]
METHODS: tuple[str, ...] = get_args(Method)

# Python reads no whole number of more than 4,300 digits, and no protein has a position of 19.
_SPAN = r"(?P<a>[A-Z])(?P<i>\d{1,18})(?:_(?P<b>[A-Z])(?P<j>\d{1,18}))?"
_FORMS = (
    re.compile(r"(?P<a>[A-Z])(?P<i>\d{1,18})(?P<new>[A-Z=])"),
    re.compile(_SPAN + r"(?P<what>delins|ins)(?P<new>[A-Z]+)"),
    re.compile(_SPAN + r"(?P<what>del|dup)"),
)


_THREE = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G",
    "His": "H", "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Ser": "S",
    "Thr": "T", "Trp": "W", "Tyr": "Y", "Val": "V", "Sec": "U", "Pyl": "O", "Xaa": "X",
}  # fmt: skip
_CODE = re.compile("|".join(_THREE))
# What ends a protein early or late, which a likelihood of the rest says nothing about.
_TRUNCATES = re.compile(r"Ter|\*|fs|ext")


class Edit(NamedTuple):
    """Residues `start` to ``stop - 1``, counted from 0, become `new`."""

    start: int
    stop: int
    new: str


class Variant(NamedTuple):
    """A changed protein, as a name and as edits in ascending order."""

    name: str
    edits: tuple[Edit, ...]

    @property
    def substitutes(self) -> bool:
        """Whether it only replaces residues, so that positions stay what they are."""
        return all(edit.stop - edit.start == len(edit.new) == 1 for edit in self.edits)

    def apply(self, sequence: str) -> str:
        """Return the changed sequence."""
        for edit in reversed(self.edits):
            sequence = sequence[: edit.start] + edit.new + sequence[edit.stop :]
        return sequence


def parse_variant(text: str, sequence: str) -> Variant:
    """Read a variant and check it against the wild type.

    Parameters
    ----------
    text : str
        ``A123V``; several joined by ``:`` as in ProteinGym, ``A1P:D2N``; and HGVS's forms,
        ``A23del``, ``A23_K27del``, ``A23_K24insGH``, ``A23_K27delinsGH``, ``A23_K27dup``, with one
        or three letters, ``p.Ala123Val``, ``p.(Ala123Val)``.  Positions count from 1.
    sequence : str
        The wild type.

    Raises
    ------
    DataError
        If it cannot be read, names a residue that the wild type does not have there, a position
        beyond the end, or an unknown letter, or changes a position twice.
    InputError
        If one of the two is no text.

    Examples
    --------
    >>> parse_variant("K2R:T3V", "MKTAY").apply("MKTAY")
    'MRVAY'
    >>> parse_variant("K2_T3insGG", "MKTAY").apply("MKTAY")
    'MKGGTAY'
    >>> parse_variant("p.(Lys2Arg)", "MKTAY").apply("MKTAY")
    'MRTAY'
    """
    for what, value in (("a variant", text), ("the wild type", sequence)):
        if not isinstance(value, str):
            raise InputError(f"{what} is a text, not {type(value).__name__} {value!r:.60}")
    sequence = sequence.upper()
    edits = [_parse_edit(_in_letters(part.strip()), sequence) for part in text.split(":")]
    edits.sort()
    for left, right in itertools.pairwise(edits):
        if right.start < left.stop or right.start == left.start:
            raise DataError(f"variant {text!r} changes position {right.start + 1} twice")
    variant = Variant(text, tuple(edits))
    if not variant.apply(sequence):
        raise DataError(f"variant {text!r} leaves no residue")
    return variant


def _in_letters(text: str) -> str:
    """Return HGVS's form of a change with one letter for each residue, without its marks."""
    text = text.removeprefix("p.")
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return _CODE.sub(lambda code: _THREE[code[0]], text)


def _parse_edit(text: str, sequence: str) -> Edit:
    found = next((m for form in _FORMS if (m := form.fullmatch(text))), None)
    if found is None:
        _refuse_form(text)
    part = found.groupdict()
    first, last = int(part["i"]), int(part.get("j") or part["i"])
    for letter, position in ((part["a"], first), (part.get("b") or part["a"], last)):
        _check_residue(text, letter, position, sequence)
    new, what = part.get("new") or "", part.get("what")
    if unknown := set(new) - set(RESIDUES) - {"="}:
        raise DataError(
            f"variant {text!r} puts in {min(unknown)!r}, which is not an amino acid; the "
            f"letters are {STANDARD_RESIDUES}"
        )
    if new == "=":
        new = part["a"]
    if what == "ins":
        if last != first + 1:
            raise DataError(f"variant {text!r} must name two neighbours, as in A23_K24insGH")
        return Edit(first, first, new)
    if last < first:
        raise DataError(f"variant {text!r} ends before it begins")
    if what == "dup":
        return Edit(last, last, sequence[first - 1 : last])
    return Edit(first - 1, last, new)


def _refuse_form(text: str) -> NoReturn:
    if text.startswith(("c.", "g.", "n.", "m.")):
        raise DataError(
            f"variant {text!r} is of DNA or RNA; write what it changes in the protein, as A123V"
        )
    if _TRUNCATES.search(text):
        raise DataError(
            f"variant {text!r} ends the protein elsewhere, which is not scored; leave it out"
        )
    raise DataError(
        f"variant {text!r} is not understood; write A123V or p.Ala123Val, A23del, A23_K27del, "
        "A23_K24insGH, A23_K27delinsGH or A23_K27dup, and join several with ':'"
    )


def _check_residue(text: str, letter: str, position: int, sequence: str) -> None:
    if not 1 <= position <= len(sequence):
        raise DataError(
            f"variant {text!r} is at position {position}, but the protein has {len(sequence)} "
            "residues; positions count from 1"
        )
    if sequence[position - 1] != letter:
        raise DataError(
            f"variant {text!r} does not match the sequence: position {position} is "
            f"{sequence[position - 1]}, not {letter}; check numbering and isoform"
        )


def score_variants(
    lm: MaskedLM,
    sequence: str,
    variants: Iterable[Variant | str],
    method: Method = "masked",
    *,
    max_tokens: int = MAX_TOKENS,
    bar: tqdm | None = None,
    parts: Parts | None = None,
) -> Float32Array:
    """Score variants of one protein.

    Parameters
    ----------
    lm : MaskedLM
    sequence : str
        The wild type.
    variants : iterable of Variant or str
        Strings are read by `parse_variant`.
    method : {"masked", "wild-type", "pseudo-perplexity"}
        ``masked``: substitutions by masked marginals, one pass for each changed position;
        insertions and deletions by pseudo-log-likelihood with one pass for each residue of each.
        ``wild-type``: both from passes without a mask, one for all substitutions and one for each
        other variant.  ``pseudo-perplexity``: every variant by ``log PPPL(wild type) -
        log PPPL(variant)``, one pass for each residue of each; it does not favour short proteins.
    max_tokens, bar, parts
        As in `masked_marginals`.

    Returns
    -------
    ndarray, dtype=float32, shape=(n,)

    Raises
    ------
    UnknownNameError
        If there is no such method.
    DataError
        If a variant does not fit the wild type, see `parse_variant`.
    InputError
        If `variants` are something else, or a protein is too long for the model.
    """
    one_of(method, "method", METHODS)
    check_length(lm, sequence)
    listed = _listed(variants, sequence)
    masked = method != "wild-type"
    scores = np.zeros(len(listed), np.float32)
    by_marginals = _by_marginals(listed, method)
    chosen = _among(listed, by_marginals)
    if chosen:
        wanted = _positions(chosen)
        if masked:
            rows = masked_marginals(
                lm, sequence, wanted, max_tokens=max_tokens, bar=bar, parts=parts
            )
        else:
            rows = wild_type_marginals(lm, sequence)[wanted]
            _tick(bar, len(sequence) + 2)
        row_of = {int(p): row for p, row in zip(wanted, rows, strict=True)}
        scores[by_marginals] = [_difference(row_of, v, sequence) for v in chosen]
    rest = _among(listed, ~by_marginals)
    if rest:
        proteins = [sequence, *(variant.apply(sequence) for variant in rest)]
        check_length(lm, *proteins)
        totals = [
            log_likelihood(lm, p, masked=masked, max_tokens=max_tokens, bar=bar, parts=parts)
            for p in proteins
        ]
        if method == "pseudo-perplexity":
            totals = [t / len(p) for t, p in zip(totals, proteins, strict=True)]
        scores[~by_marginals] = np.array(totals[1:]) - totals[0]
    return scores


def _listed(variants: Any, sequence: str) -> list[Variant]:
    if isinstance(variants, str | bytes | Mapping) or not isinstance(variants, Iterable):
        kind = type(variants).__name__
        raise InputError(f"variants: expected a list of them, got {kind} {variants!r:.60}")
    listed = [parse_variant(v, sequence) if isinstance(v, str) else v for v in variants]
    for number, variant in enumerate(listed):
        if not isinstance(variant, Variant):
            raise InputError(f"variants: number {number} (from 0) is {variant!r:.60}, no variant")
    return listed


def single_scores(table: Float32Array, sequence: str) -> Float32Array:
    """Return the scores of all single substitutions, from the marginals of all positions.

    Parameters
    ----------
    table : ndarray, dtype=float32, shape=(L, 25)
    sequence : str

    Returns
    -------
    ndarray, dtype=float32, shape=(L, 20)
        Columns in the order of `STANDARD_RESIDUES`.  0 at the residue itself; NaN where the wild
        type is not one of the 20.
    """
    scores = table[:, : len(STANDARD_RESIDUES)] - own(table, sequence)[:, None]
    scores[[letter not in STANDARD_RESIDUES for letter in sequence.upper()]] = np.nan
    return scores


def single_substitutions(sequence: str) -> list[str]:
    """Name all single substitutions of the residues that are among the 20.

    Examples
    --------
    >>> names = single_substitutions("XM")
    >>> len(names), names[0]
    (19, 'M2L')
    """
    return [
        f"{old}{position}{new}"
        for position, old in enumerate(sequence, 1)
        if old in STANDARD_RESIDUES
        for new in STANDARD_RESIDUES
        if new != old
    ]


def tokens_needed(sequence: str, variants: Sequence[Variant] | None, method: Method) -> int:
    """Count the tokens that scoring runs through the model; None means all singles."""
    one_of(method, "method", METHODS)
    length = len(sequence)
    if variants is None:
        if method == "wild-type":
            return length + 2
        passes = length * (length + 2)
        if method == "masked":
            return passes
        changed = len(single_substitutions(sequence))
        return (changed + 1) * passes if changed else 0
    by_marginals = _by_marginals(variants, method)
    total = 0
    if by_marginals.any():
        passes = len(_positions(_among(variants, by_marginals)))
        total += (1 if method == "wild-type" else passes) * (length + 2)
    rest = _among(variants, ~by_marginals)
    if rest:
        gained = [sum(len(e.new) - (e.stop - e.start) for e in v.edits) for v in rest]
        lengths = [length, *(length + more for more in gained)]
        total += sum((1 if method == "wild-type" else n) * (n + 2) for n in lengths)
    return total


def _among(variants: Sequence[Variant], chosen: npt.NDArray[np.bool_]) -> list[Variant]:
    return [variant for variant, yes in zip(variants, chosen, strict=True) if yes]


def _by_marginals(variants: Sequence[Variant], method: Method) -> npt.NDArray[np.bool_]:
    wanted = [v.substitutes and method != "pseudo-perplexity" for v in variants]
    return np.array(wanted, bool)


def _positions(variants: Sequence[Variant]) -> IntArray:
    return np.array(sorted({edit.start for v in variants for edit in v.edits}), np.int64)


def _difference(row_of: dict[int, Float32Array], variant: Variant, sequence: str) -> float:
    """Sum of ``log p(new) - log p(old)`` over the edits."""
    return sum(
        float(row_of[e.start][RESIDUES.index(e.new)])
        - float(row_of[e.start][RESIDUES.index(_known(sequence[e.start], e.start))])
        for e in variant.edits
    )


def _known(letter: str, position: int) -> str:
    if letter.upper() not in RESIDUES:
        raise InputError(f"position {position + 1} of the sequence is {letter!r}, no amino acid")
    return letter.upper()


def _tick(bar: tqdm | None, tokens: int) -> None:
    if bar is not None:
        bar.update(tokens)

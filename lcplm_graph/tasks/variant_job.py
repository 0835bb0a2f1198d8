"""Score the variants of many proteins into one table, with pictures; resumable."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.models.encoder import MAX_TOKENS
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tasks.marginals import check_length, masked_marginals, wild_type_marginals
from lcplm_graph.tasks.parts import Parts
from lcplm_graph.tasks.pictures import draw_heat_map
from lcplm_graph.tasks.variants import (
    Method,
    Variant,
    parse_variant,
    score_variants,
    single_scores,
    single_substitutions,
    tokens_needed,
)
from lcplm_graph.tokens.vocabulary import STANDARD_RESIDUES


@dataclass(frozen=True, kw_only=True)
class VariantJob:
    """Scores of variants of the proteins of a store.

    Parameters
    ----------
    lm : MaskedLM
    proteins : SequenceStore
    variants : mapping of int to list of Variant, optional
        By number of the protein; default: all single substitutions of every protein.
    method : str
        See `lcplm_graph.tasks.variants.score_variants`.
    max_tokens : int
    """

    lm: MaskedLM
    proteins: SequenceStore
    variants: Mapping[int, Sequence[Variant]] | None = None
    method: Method = "masked"
    max_tokens: int = MAX_TOKENS

    @property
    def tokens(self) -> int:
        """Tokens that will run through the model."""
        return sum(
            tokens_needed(self.proteins[i], self._wanted(i), self.method) for i in self._numbers()
        )

    def __str__(self) -> str:
        numbers = self._numbers()
        if self.variants is None:
            rows = sum(len(single_substitutions(text)) for text in self.proteins)
        else:
            rows = sum(map(len, self.variants.values()))
        return (
            f"{rows:,} variants of {len(numbers):,} protein(s) by {self.method} marginals of "
            f"{self.lm.name}: {self.tokens:,} tokens through the model"
        ).replace("pseudo-perplexity marginals", "pseudo-perplexity")

    def run(
        self,
        out: str | os.PathLike[str],
        pictures: Mapping[int, Path] | None = None,
        *,
        progress: bool = True,
    ) -> list[Path]:
        """Write a table with the columns `protein`, `variant`, `score`, whole or not at all.

        An interrupted run goes on where it stopped when the same job is given again.

        Parameters
        ----------
        out : path-like
            FILE.tsv.
        pictures : mapping of int to Path, optional
            Where to draw a heat map of a protein's single substitutions.
        progress : bool
            Show a progress bar in tokens.

        Returns
        -------
        list of Path
            The pictures that were drawn; a protein without a single substitution has none.
        """
        for number in self._numbers():
            check_length(self.lm, self.proteins[number])
        parts = Parts(out, f"{self.lm.fingerprint()} marginals")
        bar = tqdm(total=self.tokens, unit="tok", unit_scale=True, disable=not progress)
        with (
            atomic_path(out) as temporary,
            bar,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(("protein", "variant", "score"))
            drawn: list[Path] = []
            for number in self._numbers():
                grid = self._write(writer, number, bar, parts)
                if pictures and number in pictures and np.isfinite(grid).any():
                    self._draw(pictures[number], number, grid)
                    drawn.append(pictures[number])
        parts.remove()
        return drawn

    def _write(self, writer: Any, number: int, bar: tqdm, parts: Parts) -> Float32Array:
        name, sequence = self.proteins.ids[number], self.proteins[number]
        variants = self._wanted(number)
        if variants is None:
            grid = self._all_singles(sequence, bar, parts)
            rows = _single_rows(sequence, grid)
        else:
            scores = score_variants(
                self.lm, sequence, variants, self.method,
                max_tokens=self.max_tokens, bar=bar, parts=parts,
            )  # fmt: skip
            grid = _grid(sequence, variants, scores)
            rows = ((v.name, float(s)) for v, s in zip(variants, scores, strict=True))
        writer.writerows((name, variant, f"{score:.6g}") for variant, score in rows)
        return grid

    def _all_singles(self, sequence: str, bar: tqdm, parts: Parts) -> Float32Array:
        if self.method == "pseudo-perplexity":
            names = single_substitutions(sequence)
            variants = [parse_variant(name, sequence) for name in names]
            scores = score_variants(
                self.lm, sequence, variants, self.method,
                max_tokens=self.max_tokens, bar=bar, parts=parts,
            )  # fmt: skip
            return _grid(sequence, variants, scores)
        if self.method == "wild-type":
            table = wild_type_marginals(self.lm, sequence)
            bar.update(len(sequence) + 2)
        else:
            table = masked_marginals(
                self.lm, sequence, max_tokens=self.max_tokens, bar=bar, parts=parts
            )
        return single_scores(table, sequence)

    def _draw(self, path: Path, number: int, grid: Float32Array) -> None:
        title = f"{self.proteins.ids[number]}, {self.method}, {self.lm.name}"
        draw_heat_map(path, self.proteins[number], grid, title)

    def _numbers(self) -> list[int]:
        return list(range(len(self.proteins))) if self.variants is None else list(self.variants)

    def _wanted(self, number: int) -> Sequence[Variant] | None:
        return None if self.variants is None else self.variants[number]


def _single_rows(sequence: str, grid: Float32Array) -> Iterator[tuple[str, float]]:
    skipped = 0
    for position, (letter, row) in enumerate(zip(sequence, grid, strict=True), 1):
        if letter not in STANDARD_RESIDUES:
            skipped += 1
            continue
        for new, score in zip(STANDARD_RESIDUES, row.tolist(), strict=True):
            if new != letter:
                yield f"{letter}{position}{new}", score
    if skipped:
        warn_once(
            f"{skipped} positions with a residue other than the 20 (such as X) have no single "
            "substitutions and are left out"
        )


def _grid(sequence: str, variants: Sequence[Variant], scores: Float32Array) -> Float32Array:
    """Scores of the single substitutions among some variants, NaN elsewhere."""
    grid = np.full((len(sequence), len(STANDARD_RESIDUES)), np.nan, np.float32)
    for variant, score in zip(variants, scores, strict=True):
        edit = variant.edits[0]
        if variant.substitutes and len(variant.edits) == 1 and edit.new in STANDARD_RESIDUES:
            grid[edit.start, STANDARD_RESIDUES.index(edit.new)] = score
    return grid

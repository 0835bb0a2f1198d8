"""The pairs that link prediction is measured on: positives and negatives of a split, by class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.heads.fit_link import by_large_class, validation
from lcplm_graph.options import check_counts
from lcplm_graph.pairs import IntArray
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.classes import FEWEST
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.split import Labelled, Split


@dataclass(frozen=True)
class LinkOptions:
    """What is measured.

    Attributes
    ----------
    negatives : {"stub_matched", "uniform", "hard", "published"}
        Kind drawn, or those that come with a file of pairs.
    ratio : float
        Negatives drawn per positive; published ones are taken as they are.
    ap_ratios : tuple of float
        Negatives per positive that average precision is stated for, by re-weighting; the first
        one is, for a published split, that of its test file.
    ranked : int
        Held-out pairs per class whose partners are ranked among all proteins; 0 for none.
    resamples : int
        Of the bootstrap over proteins.
    seed : int
        Of negatives, bootstrap and the choice of ranked pairs.
    """

    negatives: str = "stub_matched"
    ratio: float = 1.0
    ap_ratios: tuple[float, ...] = (1, 10, 100)
    ranked: int = 100
    resamples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise ConfigError(f"ratio must be a number above 0, not {self.ratio}")
        check_counts(self, "ranked", least=0)
        check_counts(self, "resamples", least=2)


class ClassPairs(NamedTuple):
    """Labelled pairs of one class."""

    name: str
    pairs: IntArray
    labels: npt.NDArray[np.bool_]

    @property
    def positives(self) -> IntArray:
        """The pairs that interact."""
        return self.pairs[self.labels]

    @property
    def ratio(self) -> float:
        """Negatives per positive."""
        return float((~self.labels).sum() / self.labels.sum())

    @property
    def facts(self) -> dict[str, Any]:
        """Counts, for every row."""
        return {
            "positives": int(self.labels.sum()),
            "negatives_count": int((~self.labels).sum()),
            "proteins": len(np.unique(self.pairs)),
        }


def labelled_pairs(
    split: Split, options: LinkOptions, published: IntArray | None = None
) -> list[ClassPairs]:
    """Draw the negatives of the test part and divide all pairs by class.

    Parameters
    ----------
    split : Split
    options : LinkOptions
    published : ndarray, dtype=int64, shape=(k, 2), optional
        Negatives that come with the data; the test part gets its share of them.

    Raises
    ------
    InputError
        If there is no test pair, or no class has enough pairs to be measured.
    """
    if isinstance(split, PublishedSplit):
        return _published_classes(split)
    positives = split.positives("test")
    if not len(positives):
        raise InputError(f"this {split.kind} split holds no test pair out; make it with test > 0")
    if options.negatives == "published":
        negatives = _share_of(published, len(positives) / len(split.known), options.seed)
    else:
        negatives = split.negatives("test", options.negatives, options.ratio, options.seed)
    pairs = np.concatenate([positives, negatives])
    labels = np.arange(len(pairs)) < len(positives)
    # What others report for published pairs is one number over all of them.
    classes = [ClassPairs("all", pairs, labels)] if options.negatives == "published" else []
    classes += _by_class(split, Labelled(pairs, labels))
    if not classes:
        raise InputError(
            f"no class of test pairs has {FEWEST} positives and {FEWEST} negatives (there are "
            f"{len(positives)} and {len(negatives)} in all); hold out more, or use a larger graph"
        )
    return classes


def _published_classes(split: PublishedSplit) -> list[ClassPairs]:
    part = split.labelled("test")
    found = _by_class(split, part)
    every = ClassPairs("all", part.pairs, part.labels)
    # One class that is the whole file would be the same row twice.
    return [every] if any(len(one.pairs) == len(part.pairs) for one in found) else [every, *found]


def _by_class(split: Split, part: Labelled) -> list[ClassPairs]:
    return [ClassPairs(f"C{n}", *own) for n, own in by_large_class(split, part).items()]


def _share_of(published: IntArray | None, share: float, seed: int) -> IntArray:
    if published is None or not len(published):
        raise InputError(
            "this graph comes without published negatives; draw stub_matched, uniform or hard ones"
        )
    order = np.random.default_rng([checked_seed(seed), 23]).permutation(len(published))
    return published[order[: round(share * len(published))]]


def calibration_pairs(
    split: Split, classes: list[ClassPairs], options: LinkOptions
) -> Labelled | None:
    """Return validation pairs with negatives like those of the test part; None without any."""
    kind, ratio = options.negatives, options.ratio
    if kind == "published":  # with the pairs of a graph: there are none of the validation part
        kind, ratio = "stub_matched", classes[0].ratio
    parts = validation(split, options.seed, kind, ratio)
    return Labelled(*map(np.concatenate, zip(*parts, strict=True))) if parts else None

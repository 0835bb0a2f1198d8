"""One model against others on the very same items: values, and intervals of paired differences.

Two intervals that overlap do not say that two models are equal, for both models find the same
items hard.  Here the difference itself is resampled, both models on the same items each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.evaluation.bootstrap import Interval, bootstrap_pairs, bootstrap_proteins
from lcplm_graph.io import write_json
from lcplm_graph.seeds import checked_seed

Table = dict[str, dict[str, Interval]]
Bootstrap = Callable[[Callable[..., float]], Interval]


@dataclass
class Comparison:
    """Values of all models by measure, and by how much the subject is better than each other.

    Attributes
    ----------
    title : str
    subject : str
        The model in question.
    higher_is_better : bool
    values : dict
        Measure to model to `Interval`.
    differences : dict
        Measure to other model to the `Interval` of subject minus other.
    facts : dict
        What one must know to repeat it: data, counts, seeds, options.
    notes : list of str
        Sentences below the table.
    """

    title: str
    subject: str
    higher_is_better: bool = True
    values: Table = field(default_factory=dict)
    differences: Table = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        measure: str,
        answers: Mapping[str, Any],
        metric: Callable[..., float],
        bootstrap: Bootstrap,
    ) -> None:
        """Measure every model, and the subject's difference to each.

        Parameters
        ----------
        measure : str
            Heading of the column.
        answers : mapping
            Model to its answers; the subject is among them.
        metric : callable
            ``metric(answers of one model, *what bootstrap gives)``.
        bootstrap : callable
            Resamples items and returns the interval of a function of them; `over_items` or
            `over_pairs`.

        Raises
        ------
        InputError
            If the subject has no answers.
        """
        if self.subject not in answers:
            raise InputError(f"{self.subject!r} is not among {', '.join(answers)}")
        own = answers[self.subject]
        self.values[measure] = {
            name: bootstrap(partial(metric, answer)) for name, answer in answers.items()
        }
        self.differences[measure] = {
            name: bootstrap(partial(_difference, metric, own, answer))
            for name, answer in answers.items()
            if name != self.subject
        }

    def beats(self, measure: str, other: str) -> bool:
        """Whether the interval of the difference to `other` lies wholly on the better side."""
        found = self.differences[measure][other]
        return found.low > 0 if self.higher_is_better else found.high < 0

    def unbeaten(self) -> dict[str, list[str]]:
        """Other models the subject does not beat outside the interval, by measure."""
        missed = {
            measure: [other for other in others if not self.beats(measure, other)]
            for measure, others in self.differences.items()
        }
        return {measure: others for measure, others in missed.items() if others}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, whole or not at all."""
        content = asdict(self) | {
            "values": _plain(self.values),
            "differences": _plain(self.differences),
        }
        write_json(path, content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Comparison:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file is neither.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            content |= {key: _intervals(content[key]) for key in ("values", "differences")}
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"no saved comparison ({error})", path=path) from error


def over_items(number: int, *, resamples: int = 500, seed: int = 0) -> Bootstrap:
    """Resample `number` independent items.

    The metric gets the numbers of those drawn, with repeats, and a generator for `over_members`.
    """

    def bootstrap(metric: Callable[..., float]) -> Interval:
        generators = _generators(seed)
        return bootstrap_proteins(
            lambda rows: metric(rows, next(generators)), number, resamples=resamples, seed=seed
        )

    return bootstrap


def over_pairs(labels: Any, pairs: Any, *, resamples: int = 200, seed: int = 0) -> Bootstrap:
    """Resample the proteins of labelled pairs.

    The metric gets the labels of the pairs drawn, their numbers, their weights, and a generator
    for `over_members`.
    """

    def bootstrap(metric: Callable[..., float]) -> Interval:
        generators = _generators(seed)

        def of_pairs(drawn_labels: Any, numbers: Any, weights: Any) -> float:
            return metric(drawn_labels, numbers.astype(np.int64), weights, next(generators))

        numbers = np.arange(len(labels))
        return bootstrap_pairs(of_pairs, labels, numbers, pairs, resamples=resamples, seed=seed)

    return bootstrap


def over_members(metric: Callable[..., float]) -> Callable[..., float]:
    """Make a metric of one trained head that of several, which differ in their seed alone.

    It is the mean over them.  They are drawn with replacement, too, so that the intervals hold
    what the seed does.

    Parameters
    ----------
    metric : callable
        ``metric(answer of one, *items drawn)``.

    Returns
    -------
    callable
        ``metric(answers of all, *items drawn, generator)``.
    """

    def of_all(each: Any, *drawn: Any) -> float:
        *items, generator = drawn
        members = np.arange(len(each))
        if generator is not None:
            members = generator.integers(len(each), size=len(each))
        own, times = np.unique(members, return_counts=True)
        return float(np.average([metric(each[m], *items) for m in own], weights=times))

    return of_all


def _generators(seed: int) -> Iterator[np.random.Generator | None]:
    """None for the value itself, which comes first; then one for each resample."""
    yield None
    for k in count():
        yield np.random.default_rng([checked_seed(seed), k, 1])


def group_sums(values: Any, groups: Any) -> np.ndarray:
    """Sum per-item values by group, so that groups of dependent items can be resampled.

    Returns
    -------
    ndarray, dtype=float64, shape=(distinct groups,)

    Examples
    --------
    >>> group_sums([1.0, 2.0, 4.0], ["b", "a", "b"]).tolist()
    [2.0, 5.0]
    """
    numbers = np.unique(groups, return_inverse=True)[1].ravel()
    return np.bincount(numbers, weights=np.asarray(values, np.float64))


def _difference(metric: Callable[..., float], own: Any, other: Any, *drawn: Any) -> float:
    return metric(own, *drawn) - metric(other, *drawn)


def _plain(table: Table) -> dict[str, dict[str, dict[str, float]]]:
    return {k: {name: v._asdict() for name, v in row.items()} for k, row in table.items()}


def _intervals(table: Any) -> Table:
    return {k: {name: Interval(**v) for name, v in row.items()} for k, row in table.items()}

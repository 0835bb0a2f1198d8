"""From log-odds to probabilities that mean what they say (Platt 1999), class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.callers import callers_random
from lcplm_graph.errors import InputError
from lcplm_graph.numeric import FloatArray, finite, numbers, one_each

_CLASSES = 3
# A class with fewer pairs of either label is calibrated as all pairs together.
_FEW = 100
# Where nothing was calibrated.
_SUREST = 50.0


@dataclass(frozen=True)
class Calibration:
    """A slope and an offset for each of the classes C1, C2, C3.

    A model is surer of proteins it was trained on, so one temperature for all pairs would be
    right for none.

    Attributes
    ----------
    slope, offset : tuple of float
        One for each class.
    low, high : tuple of float
        Least and largest calibrated log-odds of the validation pairs of each class; probabilities
        are never surer, since no pair tells whether they would be right.

    References
    ----------
    .. [1] Platt, Advances in Large Margin Classifiers (1999).
    .. [2] Guo et al., On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> sure = Calibration((1.0, 1.0, 0.5), (0.0, 0.0, 0.0))
    >>> sure.probability(np.array([2.0, 2.0]), np.array([1, 3])).round(2).tolist()
    [0.88, 0.73]
    """

    slope: tuple[float, ...] = (1.0,) * _CLASSES
    offset: tuple[float, ...] = (0.0,) * _CLASSES
    low: tuple[float, ...] = (-_SUREST,) * _CLASSES
    high: tuple[float, ...] = (_SUREST,) * _CLASSES

    @classmethod
    def fit(cls, scores: Any, labels: Any, classes: Any) -> Calibration:
        """Choose slopes and offsets by likelihood on validation pairs.

        Parameters
        ----------
        scores : array_like, float, shape=(n,)
            Log-odds, or any score that rises with them.
        labels : array_like, bool, shape=(n,)
        classes : array_like, int, shape=(n,)
            1, 2 or 3.

        Raises
        ------
        InputError
            If a score is not a finite number, or the shapes differ.
        """
        score, label = finite(scores, "scores"), one_each(labels, "labels").astype(bool)
        of_class = one_each(classes, "classes")
        if not score.shape == label.shape == of_class.shape == (len(label),):
            raise InputError(
                f"scores, labels and classes have shapes {score.shape}, {label.shape} and "
                f"{of_class.shape}; give one of each for every pair"
            )
        found = [
            (*_platt(score[own], label[own]), score[own]) for own in class_masks(label, of_class)
        ]
        slope, offset, _ = zip(*found, strict=True)
        ends = [
            np.clip(a * np.array([s.min(), s.max()]) + b, -_SUREST, _SUREST).tolist()
            for a, b, s in found
        ]
        low, high = zip(*ends, strict=True)
        return cls(slope, offset, low, high)

    def log_odds(self, scores: Any, classes: Any) -> FloatArray:
        """Return calibrated log-odds; `scores` may have leading axes."""
        at = np.asarray(classes, np.int64) - 1
        score = numbers(scores, "scores")
        if score.shape[-at.ndim :] != at.shape:
            raise InputError(f"scores of shape {score.shape} for classes of shape {at.shape}")
        return score * np.array(self.slope)[at] + np.array(self.offset)[at]

    def probability(self, scores: Any, classes: Any) -> FloatArray:
        """Return probabilities at the share of positives of the validation pairs, as sure as those.

        Far from the validation pairs several scores have one probability; rank by `log_odds`.
        """
        at = np.asarray(classes, np.int64) - 1
        low, high = np.array(self.low)[at], np.array(self.high)[at]
        return 1 / (1 + np.exp(-np.clip(self.log_odds(scores, classes), low, high)))

    def as_dict(self) -> dict[str, list[float]]:
        """Return what JSON can hold; `from_dict` takes it back."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Undo `as_dict`; models of 0.2 have no `low` and `high`."""
        ends = {name: tuple(values[name]) for name in ("low", "high") if name in values}
        return cls(tuple(values["slope"]), tuple(values["offset"]), **ends)


def class_masks(
    label: npt.NDArray[np.bool_], of_class: npt.NDArray[Any]
) -> list[npt.NDArray[np.bool_]]:
    """Tell for C1, C2 and C3 which pairs speak for it: its own, or all if those are too few."""
    masks = [of_class == number for number in range(1, _CLASSES + 1)]
    return [
        own if min(label[own].sum(), (~label[own]).sum()) >= _FEW else np.ones_like(own)
        for own in masks
    ]


def _platt(score: FloatArray, label: npt.NDArray[np.bool_]) -> tuple[float, float]:
    spread = float(score.std())
    prior = float(np.log(max(label.sum(), 1) / max((~label).sum(), 1)))
    if spread == 0 or label.all() or not label.any():
        return 0.0, prior
    # Imported here: a model that is only used is not calibrated again.
    with callers_random():
        from sklearn.linear_model import LogisticRegression

    middle = float(score.mean())
    model = LogisticRegression(C=1e6).fit((score[:, None] - middle) / spread, label)
    slope = float(model.coef_[0, 0]) / spread
    # A score that ranks the wrong way says nothing; it is not turned round.
    return (slope, float(model.intercept_[0]) - slope * middle) if slope > 0 else (0.0, prior)

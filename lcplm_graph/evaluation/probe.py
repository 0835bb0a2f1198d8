"""A linear probe: what a linear classifier can read out of fixed features."""

from __future__ import annotations

import copy
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from lcplm_graph.errors import InputError
from lcplm_graph.numeric import FloatArray, finite, one_each
from lcplm_graph.seeds import checked_seed

#: Weights of the penalty, from strong to weak; tried in turn until one is worse than the best.
STRENGTHS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
# A largest derivative of this times the penalty leaves each weight about so far from the optimum.
_TOLERANCE, _MOST_STEPS = 0.03, 5000


class Probe(NamedTuple):
    """A fitted probe, with how its penalty was chosen.

    Attributes
    ----------
    model : LogisticRegression
        Fitted to all training rows.
    strength : float
        The penalty's weight: ``mean cross-entropy + strength / 2 * |W|^2`` is minimised.
    accuracy : dict of float to float
        Of each strength tried, on the training rows held out for the choice.
    held_out : int
        How many rows those were.
    """

    model: LogisticRegression
    strength: float
    accuracy: dict[float, float]
    held_out: int

    def scores(self, features: npt.NDArray[np.floating]) -> FloatArray:
        """Log-odds of the classes ``model.classes_``, shape (n, classes)."""
        scores = np.asarray(self.model.decision_function(features), np.float64)
        return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def fit_probe(
    features: npt.NDArray[np.floating],
    classes: npt.NDArray[np.int64],
    *,
    strengths: tuple[float, ...] = STRENGTHS,
    seed: int = 0,
    progress: bool = False,
) -> Probe:
    """Fit multinomial logistic regression, its L2 penalty chosen on a tenth of the rows given.

    Rows of validation and test parts do not count: a tenth of the rows, never the last one of its
    class, is held out.  From the strongest on, penalties are fitted to the others, each starting
    from the one before, until one is less accurate on the tenth than the best (the stronger one if
    equal), which is then fitted to all rows.  Every fit runs until it has converged (L-BFGS,
    largest derivative below 0.03 of the penalty).

    Parameters
    ----------
    features : ndarray, shape=(n, d)
        Standardised, so that one penalty suits all; float32 is twice as fast as float64.
    classes : ndarray, dtype=int64, shape=(n,)
    strengths : tuple of float
        Falling.
    seed : int
        Of the tenth.
    progress : bool

    Raises
    ------
    InputError
        If there is one class only, no class has two rows, a feature is not finite, or a fit does
        not converge.

    Examples
    --------
    >>> x = np.repeat([[-1.0], [1.0]], 20, axis=0)
    >>> probe = fit_probe(x, np.repeat([3, 7], 20))
    >>> probe.model.predict(x[[0, -1]]).tolist(), probe.held_out
    ([3, 7], 4)
    """
    features, classes = np.asarray(features), one_each(classes, "classes")
    finite(features, "features")
    if len(np.unique(classes)) < 2:
        raise InputError("a probe needs rows of at least two classes")
    rest, tenth = _without_a_tenth(classes, seed)
    model, accuracy = _at_the_prior(features[rest], classes[rest]), dict[float, float]()
    bar = tqdm(strengths, disable=not progress, desc="fitting probe", unit="fit")
    for strength in bar:
        _fit(model, features[rest], classes[rest], strength)
        accuracy[strength] = float((model.predict(features[tenth]) == classes[tenth]).mean())
        bar.set_postfix_str(f"penalty {strength:g}: {accuracy[strength]:.3f}")
        # The first of equals, the stronger one, stays.
        if max(accuracy, key=accuracy.__getitem__) == strength:
            best = copy.deepcopy(model)
        if accuracy[strength] < max(accuracy.values()):
            break
    bar.close()
    strength = max(accuracy, key=accuracy.__getitem__)
    _fit(best, features, classes, strength)
    return Probe(best, strength, accuracy, len(tenth))


def _at_the_prior(
    features: npt.NDArray[np.floating], classes: npt.NDArray[np.int64]
) -> LogisticRegression:
    """Make a model that starts as the frequencies of the classes.

    Fits are long where most of the way is that of a thousand intercepts from zero.
    """
    model = LogisticRegression(warm_start=True, max_iter=_MOST_STEPS)
    model.classes_, counts = np.unique(classes, return_counts=True)
    rows = len(counts) if len(counts) > 2 else 1
    prior = np.log(counts).astype(features.dtype)
    model.coef_ = np.zeros((rows, features.shape[1]), features.dtype)
    model.intercept_ = prior - prior.mean() if rows > 1 else prior[1:] - prior[:1]
    return model


def _without_a_tenth(
    classes: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split the rows at random; every class keeps a row in the first part."""
    order = np.random.default_rng(checked_seed(seed)).permutation(len(classes))
    _, kept = np.unique(classes[order], return_index=True)
    spare = np.delete(order, kept)
    if not len(spare):
        raise InputError("no class has two rows; the probe's penalty cannot be chosen")
    tenth = np.sort(spare[: max(1, len(classes) // 10)])
    return np.setdiff1d(order, tenth), tenth


def _fit(
    model: LogisticRegression,
    features: npt.NDArray[np.floating],
    classes: npt.NDArray[np.int64],
    strength: float,
) -> None:
    model.C = 1 / (strength * len(features))  # scikit-learn weighs the sum of losses instead
    model.tol = _TOLERANCE * strength
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(features, classes)
        except ConvergenceWarning:
            raise InputError(
                f"the probe has not converged after {_MOST_STEPS} steps with penalty {strength}; "
                "are the features standardised?"
            ) from None

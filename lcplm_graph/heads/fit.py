"""Train a head: every step is taken, and the state that did best on validation is kept.

Torch computes in one thread here, so that a seed gives the same head on any number of cores.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from lcplm_graph.callers import callers_random, for_training
from lcplm_graph.errors import ConfigError, InputError, TrainingError
from lcplm_graph.heads.dropout import seeded_dropout
from lcplm_graph.heads.edges import checked_edges
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homology import HomologyClassifier
from lcplm_graph.heads.trainable import check_trainable, trained_on
from lcplm_graph.numeric import real_number
from lcplm_graph.options import check_count
from lcplm_graph.process import on_cpu, one_thread, without_autocast
from lcplm_graph.seeds import checked_seed

Model = TypeVar("Model", bound=nn.Module)
# Of the steps; then the rate falls to nothing as a half cosine.
_WARM_UP = 0.05


@dataclass(frozen=True)
class FitOptions:
    """How a head is trained.

    Attributes
    ----------
    steps : int
        All are taken: a schedule that is cut off leaves a head half trained.
    batch_size : int
        Pairs of a step, of both labels; or labelled proteins of a step.
    every : int
        Steps between checks on the validation part; the best state is kept.
    lr, weight_decay : float
        Of AdamW; the rate rises for a twentieth of the steps and then falls as a half cosine.
    isolate : float
        Share of the proteins that lose all their message edges in a step, so that a head with
        convolutions knows proteins without any.
    seed : int
        Of initialisation, dropout, negatives and isolation.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ConfigError
        If a number is none, or outside of what it may be.
    """

    steps: int = 300
    batch_size: int = 1024
    every: int = 25
    lr: float = 5e-3
    weight_decay: float = 1e-2
    isolate: float = 0.3
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        checked_seed(self.seed)
        for name in ("steps", "batch_size", "every"):
            check_count(getattr(self, name), name)
        try:
            for name in ("lr", "weight_decay", "isolate"):
                real_number(getattr(self, name), name)
        except InputError as error:
            raise ConfigError(str(error)) from None
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf):
            raise ConfigError(
                f"lr must be above 0 and weight_decay not negative, not "
                f"{self.lr} and {self.weight_decay}"
            )
        if not 0 <= self.isolate <= 1:
            raise ConfigError(f"isolate is a share from 0 to 1, not {self.isolate}")

    def shown(self, steps: int | None, seed: int) -> FitOptions:
        """Return these options with a progress bar, another seed, and other steps if given."""
        steps = self.steps if steps is None else steps
        return replace(self, steps=steps, seed=seed, progress=True)


@for_training()
def fit_function(
    model: FunctionPredictor,
    x: Tensor,
    edge_index: Tensor,
    labels: Tensor,
    train: Tensor,
    valid: Tensor,
    options: FitOptions = FitOptions(),
) -> FunctionPredictor:
    """Train on labelled proteins; keep the state with the best micro AP on `valid`.

    Parameters
    ----------
    model : FunctionPredictor
    x : Tensor, shape=(n, d)
    edge_index : Tensor, dtype=int64, shape=(2, m)
    labels : Tensor, dtype=bool, shape=(n, terms)
    train, valid : Tensor, dtype=bool, shape=(n,)
        Masks; `valid` may be all False.

    Raises
    ------
    InputError
        If `train` or `valid` is no mask over the proteins, nothing is in `train`, labels there are
        not true or false for each term, an edge names a protein that does not exist, or features
        are on a device that heads are not trained on.
    TrainingError
        If the loss is not finite.
    """
    _check_masks(len(x), train, valid)
    if not bool(train.any()):
        raise InputError("no protein is in the training part")
    edge_index = checked_edges(trained_on(edge_index, "edges"), len(x))
    x = trained_on(x)
    _check_labels(labels, (len(x), model.out.out_features), train | valid, 1, "labels")
    batches = _row_batches(train, options)

    def logits(rows: Tensor) -> Tensor:
        # Without edges a protein's row needs no other one.
        if not edge_index.numel():
            return model(x[rows], edge_index)
        return model(x, edge_index, rows=rows)

    def loss(_step: int) -> Tensor:
        rows = next(batches)
        return F.binary_cross_entropy_with_logits(logits(rows), labels[rows].float())

    valid_rows = valid.nonzero()[:, 0]

    def score() -> float:
        with callers_random():
            from sklearn.metrics import average_precision_score

        predicted = finite_logits(logits(valid_rows)).sigmoid().numpy()
        return float(average_precision_score(labels[valid].numpy().ravel(), predicted.ravel()))

    return fit_head(model, loss, score if bool(valid.any()) else None, options, "validation AP")


@for_training()
def fit_homology(
    model: HomologyClassifier,
    x: Tensor,
    classes: Tensor,
    train: Tensor,
    valid: Tensor,
    options: FitOptions = FitOptions(),
) -> HomologyClassifier:
    """Train on classified domains; keep the state with the best accuracy on `valid`.

    Parameters
    ----------
    model : HomologyClassifier
    x : Tensor, shape=(n, d)
    classes : Tensor, dtype=int64, shape=(n,)
    train, valid : Tensor, dtype=bool, shape=(n,)

    Raises
    ------
    InputError, TrainingError
        As `fit_function`.
    """
    _check_masks(len(x), train, valid)
    if not bool(train.any()):
        raise InputError("no domain is in the training part")
    x = trained_on(x)
    _check_labels(classes, (len(x),), train | valid, model.out.out_features - 1, "classes")
    classes = classes.long()

    def loss(_step: int) -> Tensor:
        return F.cross_entropy(model(x[train]), classes[train])

    def score() -> float:
        found = finite_logits(model(x[valid]))
        return float((found.argmax(1) == classes[valid]).float().mean())

    return fit_head(
        model, loss, score if bool(valid.any()) else None, options, "validation accuracy"
    )


def _check_masks(count: int, train: Tensor, valid: Tensor) -> None:
    """Refuse indices, which would be taken for a mask of the wrong rows."""
    for name, mask in (("train", train), ("valid", valid)):
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (count,):
            found = type(mask).__name__
            if isinstance(mask, Tensor):
                found = f"{mask.dtype} of shape {tuple(mask.shape)}"
            raise InputError(
                f"{name} must be a mask, bool of shape ({count},), not {found}; set a mask at the "
                "indices to True"
            )


def _check_labels(
    labels: Tensor, shape: tuple[int, ...], used: Tensor, highest: int, what: str
) -> None:
    """Refuse labels that are not whole numbers from 0 to `highest` where they are used."""
    if not isinstance(labels, Tensor) or tuple(labels.shape) != shape:
        found = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise InputError(f"{what} must be a tensor of shape {shape}, not {found}")
    own = labels[used]
    wrong = (own < 0) | (own > highest) | (own != own.long())
    if bool(wrong.any()):
        raise InputError(
            f"{what} of training and validation are whole numbers from 0 to {highest}, not "
            f"{own[wrong][0].item():g}; take rows without one out of both masks"
        )


def _row_batches(train: Tensor, options: FitOptions) -> Iterator[Tensor]:
    """Yield rows of the mask, epoch after epoch, each in an order of its own."""
    rows, rng = train.nonzero()[:, 0], np.random.default_rng(options.seed)
    count = -(-len(rows) // options.batch_size)
    while True:
        order = torch.from_numpy(rng.permutation(len(rows)))
        yield from rows[order].tensor_split(count)


def fit_head(
    model: Model,
    loss: Callable[[int], Tensor],
    score: Callable[[], float] | None,
    options: FitOptions,
    what: str,
) -> Model:
    """Take all steps with one loss each; keep the state with the best score, or the last one.

    Parameters
    ----------
    model : nn.Module
    loss : callable
        Of the number of the step.
    score : callable or None
        Validation value of the model as it is, higher is better.
    options : FitOptions
    what : str
        Name of that value.

    Returns
    -------
    nn.Module
        The same object, in evaluation mode.

    Raises
    ------
    TrainingError
        If the loss, or what is learned, is not finite.
    """
    check_trainable(model)
    with for_training(), seeded_dropout(options.seed), one_thread(), on_cpu(), without_autocast():
        _loop(model, loss, score, options, what)
    return model.eval()


def _loop(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    score: Callable[[], float] | None,
    options: FitOptions,
    what: str,
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.lr, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(options.steps))
    best, state = -np.inf, None
    bar = tqdm(range(options.steps), disable=not options.progress, desc="training", unit="step")
    for step in bar:
        model.train()
        optimizer.zero_grad()
        value = loss(step)
        if not bool(torch.isfinite(value)):
            raise _not_finite(f"the loss is {float(value.detach())} at step {step + 1}")
        value.backward()
        optimizer.step()
        schedule.step()
        last = step + 1 == options.steps
        if score is None or ((step + 1) % options.every and not last):
            continue
        model.eval()
        with torch.inference_mode():
            reached = score()
        bar.set_postfix_str(f"loss {float(value.detach()):.3f}, {what} {reached:.3f}")
        if reached > best:
            best, state = reached, copy.deepcopy(model.state_dict())
    if state is not None:
        model.load_state_dict(state)
    elif not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
        raise _not_finite("weights are not finite after the last step")


def finite_logits(logits: Tensor) -> Tensor:
    """Return logits of validation as they are.

    Raises
    ------
    TrainingError
        If one is not finite.
    """
    if not bool(torch.isfinite(logits).all()):
        raise _not_finite("logits of the validation part are not finite")
    return logits


def _not_finite(what: str) -> TrainingError:
    return TrainingError(f"{what}; look for features that are not finite, or lower lr")


def _rate(steps: int) -> Callable[[int], float]:
    """Return the share of the full learning rate at a step."""
    rising = max(1, round(_WARM_UP * steps))
    return lambda step: (
        min(1.0, (step + 1) / rising) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    )

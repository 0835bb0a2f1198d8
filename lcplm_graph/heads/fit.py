"""Train a head on the whole graph at once: a plain loop with early stopping.

Torch computes in one thread here, so that a seed gives the same head on any number of cores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from lcplm_graph.errors import InputError
from lcplm_graph.heads.dropout import own_generators
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homology import HomologyClassifier
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.pairs import IntArray, is_in, pair_keys
from lcplm_graph.process import one_thread
from lcplm_graph.splits.split import Split

# A class of validation pairs counts if it has so many positives and negatives.
_FEW = 20

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class FitOptions:
    """How a head is trained.

    Attributes
    ----------
    steps : int
        At most so many.
    batch_size : int
        Positive pairs of a step, with as many negatives; or labelled proteins of a step.
    every : int
        Steps between checks on the validation part.
    patience : int
        Stop after so many checks in a row without a better value.
    lr, weight_decay : float
        Of AdamW.
    seed : int
        Of initialisation, dropout and negatives.
    progress : bool
        Show a progress bar.
    """

    steps: int = 300
    batch_size: int = 4096
    every: int = 5
    patience: int = 8
    lr: float = 5e-3
    weight_decay: float = 1e-2
    seed: int = 0
    progress: bool = False


def message_graph(split: Split) -> tuple[Tensor, Tensor | None]:
    """Message edges in both directions and their weights, as convolutions take them."""
    both = np.concatenate([split.message, split.message[:, ::-1]])
    weight = split.message_weight
    edge_weight = None if weight is None else torch.from_numpy(np.concatenate([weight, weight]))
    return torch.from_numpy(np.ascontiguousarray(both.T)), edge_weight


def fit_link(
    model: LinkPredictor,
    x: Tensor,
    split: Split,
    options: FitOptions = FitOptions(),
) -> LinkPredictor:
    """Train on the supervision pairs of a split and stub-matched negatives, new in every epoch.

    Where supervision pairs are message edges too, a step's own pairs are taken out of the graph
    it sees: an edge that is both message and answer gives itself away.  The state with the best
    average precision on the validation pairs (1 : 1, stub-matched) is kept, the mean over the
    classes C1, C2, C3 there: with convolutions C1 goes on to rise while the others fall.
    Without validation pairs the last state is kept.

    Parameters
    ----------
    model : LinkPredictor
        Made for features.
    x : Tensor, shape=(num_nodes, d)
    split : Split
    options : FitOptions

    Returns
    -------
    LinkPredictor
        The same object, in evaluation mode.

    Raises
    ------
    InputError
        If `x` has not one row per protein, or there is nothing to train on.
    """
    if len(x) != split.num_nodes:
        raise InputError(f"{len(x)} rows of features for a graph of {split.num_nodes} proteins")
    if not len(split.supervision):
        raise InputError("the split has no supervision pairs to train on")
    edge_index, edge_weight = message_graph(split)
    message = pair_keys(split.message, split.num_nodes)
    batches = _pair_batches(split, options)
    valid = _validation(split, options.seed)

    def loss(_step: int) -> Tensor:
        positives, negatives = next(batches)
        own = is_in(message, np.sort(pair_keys(positives, split.num_nodes)))
        keep = torch.from_numpy(~own).repeat(2)
        weights = None if edge_weight is None else edge_weight[keep]
        pairs = torch.from_numpy(np.concatenate([positives, negatives]))
        labels = (torch.arange(len(pairs)) < len(positives)).float()
        logits = model(x, edge_index[:, keep], pairs, weights)
        return F.binary_cross_entropy_with_logits(logits, labels)

    def score() -> float:
        h = model.embed(x, edge_index, edge_weight)
        reached = [
            average_precision_score(labels, model.decode(h, torch.from_numpy(pairs)).numpy())
            for pairs, labels in valid
        ]
        return float(np.mean(reached))

    return _fit(model, loss, score if valid else None, options, "validation AP")


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
        Masks; `valid` may be empty.
    """
    if not bool(train.any()):
        raise InputError("no protein is in the training part")
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
        predicted = logits(valid_rows).sigmoid().numpy()
        return float(average_precision_score(labels[valid].numpy().ravel(), predicted.ravel()))

    return _fit(model, loss, score if bool(valid.any()) else None, options, "validation AP")


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
    """
    if not bool(train.any()):
        raise InputError("no domain is in the training part")

    def loss(_step: int) -> Tensor:
        return F.cross_entropy(model(x[train]), classes[train])

    def score() -> float:
        return float((model(x[valid]).argmax(1) == classes[valid]).float().mean())

    return _fit(model, loss, score if bool(valid.any()) else None, options, "validation accuracy")


def _pair_batches(split: Split, options: FitOptions) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield positives and as many negatives, epoch after epoch, each in an order of its own."""
    rng = np.random.default_rng(options.seed)
    positives, epoch = split.positives("train"), 0
    while True:
        drawn = split.negatives("train", seed=options.seed * 1_000_003 + epoch)
        left, right = (part[rng.permutation(len(part))] for part in (positives, drawn))
        for start in range(0, len(left), options.batch_size):
            chosen = slice(start, start + options.batch_size)
            if len(right[chosen]):
                yield left[chosen], right[chosen]
        epoch += 1


def _row_batches(train: Tensor, options: FitOptions) -> Iterator[Tensor]:
    """Yield rows of the mask, epoch after epoch, each in an order of its own."""
    rows, rng = train.nonzero()[:, 0], np.random.default_rng(options.seed)
    count = -(-len(rows) // options.batch_size)
    while True:
        order = torch.from_numpy(rng.permutation(len(rows)))
        yield from rows[order].tensor_split(count)


def _validation(split: Split, seed: int) -> list[tuple[IntArray, npt.NDArray[np.bool_]]]:
    """Return validation pairs and labels, class by class where a class has enough of both."""
    positives = split.positives("valid")
    if not len(positives):
        return []
    pairs = np.concatenate([positives, split.negatives("valid", seed=seed)])
    labels = np.arange(len(pairs)) < len(positives)
    classes = [split.classify(pairs) == number for number in (1, 2, 3)]
    large = [own for own in classes if min(labels[own].sum(), (~labels[own]).sum()) >= _FEW]
    return [(pairs[own], labels[own]) for own in large] or [(pairs, labels)]


def _fit(
    model: Model,
    loss: Callable[[int], Tensor],
    score: Callable[[], float] | None,
    options: FitOptions,
    what: str,
) -> Model:
    with own_generators(options.seed), one_thread():
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
    best, state, worse = -np.inf, None, 0
    bar = tqdm(range(options.steps), disable=not options.progress, desc="training", unit="step")
    for step in bar:
        model.train()
        optimizer.zero_grad()
        value = loss(step)
        value.backward()
        optimizer.step()
        if score is None or (step + 1) % options.every:
            continue
        model.eval()
        with torch.inference_mode():
            reached = score()
        bar.set_postfix_str(f"loss {float(value.detach()):.3f}, {what} {reached:.3f}")
        worse = 0 if reached > best else worse + 1
        if reached > best:
            best, state = reached, copy.deepcopy(model.state_dict())
        if worse >= options.patience:
            break
    if state is not None:
        model.load_state_dict(state)

"""What scores pairs in the table of link prediction: baselines, heads, the encoder's own word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcplm_graph.evaluation.baselines import LINK_BASELINES, LinkBaseline
from lcplm_graph.evaluation.models import random_twin, shown_name
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.heads.fit import FitOptions, message_graph
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.members import fit_link_members
from lcplm_graph.models.encoders import Encoder, load_encoder
from lcplm_graph.pairs import IntArray
from lcplm_graph.process import one_thread
from lcplm_graph.splits.split import Split

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scorer:
    """One row's model.

    Attributes
    ----------
    name : str
    score : callable
        Pairs (n, 2) to scores (n,), or (members, n) of models that differ in their seed alone;
        the row of the table is then their mean.
    rows : callable
        Proteins (b,) to scores against all proteins (b, num_nodes).
    encoder : bool
        Whether it rests on the encoder under test (and so on what that one saw).
    logits : bool
        Whether scores are log-odds.
    """

    name: str
    score: Callable[[IntArray], Scores]
    rows: Callable[[IntArray], Scores]
    encoder: bool = False
    logits: bool = False


def link_scorers(
    dataset: Any,
    split: Split,
    encoder: Encoder,
    *,
    pool: str = "mean",
    conv: str = "GraphSAGE",
    decoder: str = "hadamard-mlp",
    context: str | None = None,
    fit: FitOptions = FitOptions(),  # noqa: B008
    members: int = 3,
) -> Iterator[Scorer]:
    """Yield baselines first, then heads trained on each kind of feature.

    The heads are the same network with the same options and seeds; only the features differ, and
    in the last row the convolutions.

    Parameters
    ----------
    dataset : PPI dataset
    split : Split
    encoder : Encoder
    pool, context
        Of the encoder's features, see `AddProteinFeatures`.
    conv, decoder
        Of `LinkPredictor`; `conv` in the row with a graph network.
    fit : FitOptions
    members : int
        Heads of a row, trained from different seeds; their mean log-odds are the row's score.

    Yields
    ------
    Scorer
        Trained, one after the other.
    """
    for name in LINK_BASELINES:
        baseline = LinkBaseline(name, split.message, split.num_nodes)
        yield Scorer(name.replace("_", " "), baseline.score, baseline.rows)

    def trained(x: Tensor, conv: str = "none") -> Scorer:
        seeds = [fit.seed * members + k for k in range(members)]
        heads = fit_link_members(x, split, seeds, fit, conv=conv, decoder=decoder)
        return head_scorer(heads, x, split)

    for name, key in (
        ("composition", "composition"),
        ("composition + dipeptides", "dipeptide"),
    ):
        x = AddProteinFeatures(load_encoder(key), progress=fit.progress)(dataset).x
        yield replace(trained(x), name=name)
    twin = random_twin(encoder)
    options: dict[str, Any] = {"pool": pool, "progress": fit.progress}
    if twin is not None:
        x = AddProteinFeatures(twin, **options)(dataset).x
        yield replace(trained(x), name="random-init encoder")
    used = AddProteinFeatures(encoder, context=context, split=split, **options)
    x = used(dataset).x
    name = f"encoder {shown_name(encoder)}" + (" in walks" if context else "")
    yield replace(trained(x), name=name, encoder=True)
    yield replace(trained(x, conv), name=f"{name} + {conv}", encoder=True)


def head_scorer(models: Sequence[LinkPredictor], x: Tensor, split: Split) -> Scorer:
    """Let trained heads score pairs over the message edges of a split, one member each."""
    edge_index, edge_weight = message_graph(split)
    with torch.inference_mode(), one_thread():
        states = [model.embed(x, edge_index, edge_weight) for model in models]

    def score(pairs: IntArray) -> Scores:
        ends = torch.from_numpy(pairs)
        with torch.inference_mode(), one_thread():
            return np.stack(
                [m.decode(h, ends).double().numpy() for m, h in zip(models, states, strict=True)]
            )

    def rows(proteins: IntArray) -> Scores:
        some = torch.from_numpy(proteins)
        with torch.inference_mode(), one_thread():
            every = [m.rows(h, some).double() for m, h in zip(models, states, strict=True)]
            return torch.stack(every).mean(0).numpy()

    return Scorer("head", score, rows, logits=True)

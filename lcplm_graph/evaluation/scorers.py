"""What scores pairs in the table of link prediction: baselines, heads, the encoder's own word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from scipy import sparse
from torch import Tensor

from lcplm_graph.evaluation.baselines import LINK_BASELINES, LinkBaseline
from lcplm_graph.evaluation.models import PLAIN, plain_name, random_twin, shown_name
from lcplm_graph.features.relatives import relatives
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.heads.interologs import Interologs
from lcplm_graph.heads.link_model import LinkModel, serves_known_proteins
from lcplm_graph.heads.link_scores import LinkScores
from lcplm_graph.heads.recipe import BASE, Blocks, link_features
from lcplm_graph.models.encoders import Encoder, load_encoder
from lcplm_graph.numeric import FloatArray
from lcplm_graph.pairs import IntArray
from lcplm_graph.splits.split import Split

SHOWN = {
    "common_neighbours": "common neighbours",
    "adamic_adar": "Adamic-Adar",
    "resource_allocation": "resource allocation",
}
INTEROLOGS = "interologs"


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
    """

    name: str
    score: Callable[[IntArray], FloatArray]
    rows: Callable[[IntArray], FloatArray]
    encoder: bool = False


def link_scorers(
    dataset: Any,
    split: Split,
    encoder: Encoder,
    *,
    pool: str | None = None,
    conv: str | None = None,
    decoder: str = "hadamard-mlp",
    head: str = "link",
    context: str | None = None,
    fit: FitOptions = LINK_FIT,
    members: int = 4,
    untrained: bool = True,
    homologues: bool = True,
) -> Iterator[Scorer]:
    """Yield baselines first, then heads trained on each kind of feature, the link model last.

    The heads are the same network with the same options and seeds, only the features differ; the
    link model is what `LinkModel.fit` makes, and with interologs what ``lcplm predict`` uses.

    Parameters
    ----------
    dataset : PPI dataset
    split : Split
    encoder : Encoder
    pool, context
        Of the encoder's features, see `AddProteinFeatures`; features in a context are a row beside
        those of single proteins, and what the link model takes.
    conv, decoder, head
        Of the link model; `decoder` and `head` (see `link_head`) of all heads.
    fit : FitOptions
    members : int
        Heads of a row, trained from different seeds; their mean log-odds are the row's score.
    untrained : bool
        Whether there is a row of the encoder's random twin.
    homologues : bool
        Whether there are rows of what interactions of relatives say, alone and beside the link
        model, for which the proteins are searched among themselves.

    Yields
    ------
    Scorer
        Trained, one after the other.
    """
    yield from _baselines(split)
    near = relatives(dataset.sequences, progress=fit.progress) if homologues else None
    if near is not None:
        evidence = Interologs(near, split.message)
        yield Scorer(INTEROLOGS, evidence.of, evidence.rows)

    def fitted(x: Blocks | Tensor, conv: str | None) -> LinkModel:
        return LinkModel.fit(
            x, split, members=members, options=fit, conv=conv, decoder=decoder, head=head
        )

    def trained(name: str, x: Blocks | Tensor) -> Scorer:
        return replace(model_scorer(fitted(x, "none").on(x, split)), name=name)

    def features(used: Encoder, **options: Any) -> Tensor:
        return AddProteinFeatures(used, progress=fit.progress, **options)(dataset).x

    for name, key in PLAIN.items():
        yield trained(name, features(load_encoder(key)))
    twin = random_twin(encoder) if untrained else None
    if twin is not None:
        yield trained("random-init encoder", features(twin, pool=pool))
    blocks = link_features(
        encoder, dataset.sequences, pool=pool, parts=not serves_known_proteins(split),
        progress=fit.progress,
    )  # fmt: skip
    name = shown_name(encoder)
    if plain_name(encoder, pool) is None:
        yield replace(trained(f"encoder {name}", blocks), encoder=True)
    if context:
        # In walks an encoder has other features, which no other block goes with.
        blocks = {BASE: features(encoder, pool=pool, context=context, split=split)}
        name = f"{name} in {context}"
        yield replace(trained(f"encoder {name}", blocks), encoder=True)
    yield from _link_models(fitted(blocks, conv), blocks, split, near, fit.seed, name)


def _baselines(split: Split) -> Iterator[Scorer]:
    for name in LINK_BASELINES if serves_known_proteins(split) else LINK_BASELINES[:1]:
        baseline = LinkBaseline(name, split.message, split.num_nodes)
        yield Scorer(SHOWN.get(name, name), baseline.score, baseline.rows)


def _link_models(
    model: LinkModel,
    blocks: Blocks,
    split: Split,
    near: sparse.csr_array | None,
    seed: int,
    name: str,
) -> Iterator[Scorer]:
    """Yield the link model, and the same with interologs where relatives were searched."""
    title = f"link model ({name})"
    yield replace(model_scorer(model.on(blocks, split)), name=title, encoder=True)
    if near is not None:
        scores = model.judged(blocks, split, near, seed).on(blocks, split, near)
        yield replace(model_scorer(scores), name=f"{title} + {INTEROLOGS}", encoder=True)


def model_scorer(scores: LinkScores) -> Scorer:
    """Let a trained link model be a row of the table."""
    return Scorer("link model", scores.log_odds, scores.rows)

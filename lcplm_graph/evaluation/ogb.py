"""OGB's link benchmark of proteins, by its own split, negatives and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lcplm_graph.datasets.ogb import OGBLPPA
from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluation.baselines import LINK_BASELINES, LinkBaseline
from lcplm_graph.evaluation.metrics import hits_at_k
from lcplm_graph.evaluation.models import shown_name
from lcplm_graph.evaluation.report import Report
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.recipe import WITH_GRAPH, link_features
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.pairs import IntArray, distinct_pairs
from lcplm_graph.splits.parts import Part
from lcplm_graph.splits.sets import PUBLISHED
from lcplm_graph.splits.split import Split

#: OGB's K of ogbl-ppa.
HITS = 100

Score = Callable[[IntArray], npt.NDArray[np.float64]]


def evaluate_ogb(
    dataset: OGBLPPA,
    encoder: Encoder | None = None,
    *,
    k: int = HITS,
    fit: FitOptions = LINK_FIT,
    members: int = 2,
) -> Report:
    """Measure baselines, and with an encoder a link model, on ogbl-ppa's valid and test pairs.

    The metric is OGB's: the share of positives that score above the k-th best of one pool of
    published negatives.  With OGB's package installed its own evaluator computes it.

    Parameters
    ----------
    dataset : OGBLPPA
    encoder : Encoder, optional
        Every protein of the graph is embedded: half a million in the real one.
    k : int
        100 in OGB.
    fit : FitOptions
    members : int
        Heads without convolutions whose mean is the score; a whole-graph step of convolutions
        over 30 million edges does not fit here.

    Returns
    -------
    Report
    """
    data = dataset[0]
    hits = _metric(dataset, k)
    columns = {"model": "model", "valid": f"valid Hits@{k}", "test": f"test Hits@{k}"}
    report = Report("ogbl-ppa", columns)
    for name, score in _scorers(dataset, encoder, fit, members):
        row: dict[str, Any] = {"model": name, "k": k}
        for part in ("valid", "test"):
            positive, negative = (
                score(_pairs(data[f"{part}_{kind}"])) for kind in ("edge", "edge_neg")
            )
            row[part] = hits(positive, negative)
        report.rows.append(row)
    report.facts = {
        "split": "OGB's, by throughput of the evidence",
        **{part: f"{len(data[f'{part}_edge']):,} links" for part in ("train", "valid", "test")},
        **dataset.report,
    }
    report.notes = [
        f"Hits@{k}: share of positives above the {k}th best of the published negatives, as OGB "
        "defines it."
    ]
    return report


def _scorers(
    dataset: OGBLPPA, encoder: Encoder | None, fit: FitOptions, members: int
) -> Iterator[tuple[str, Score]]:
    split = _split(dataset)
    for name in LINK_BASELINES:
        baseline = LinkBaseline(name, split.message, split.num_nodes)
        yield name.replace("_", " "), baseline.score
    if encoder is not None:
        blocks = link_features(encoder, dataset.sequences, progress=True)
        model = LinkModel.fit(blocks, split, members=members, options=fit, kinds=(WITH_GRAPH[1],))
        scores = model.on(blocks, split)
        name = f"link model ({shown_name(encoder)}), without convolutions"
        yield name, lambda pairs: scores.log_odds(pairs).mean(axis=0)


def _split(dataset: OGBLPPA) -> Split:
    """Return OGB's split; its valid links serve to choose, and no test link is in it."""
    data = dataset[0]
    train = distinct_pairs(np.sort(_pairs(data.train_edge), axis=1))
    valid = distinct_pairs(np.sort(_pairs(data.valid_edge), axis=1))
    test = distinct_pairs(np.sort(_pairs(data.test_edge), axis=1))
    return Split(
        PUBLISHED, int(data.num_nodes), train, train, np.concatenate([valid, test]),
        np.repeat([Part.VALID, Part.TEST], [len(valid), len(test)]).astype(np.int8),
    )  # fmt: skip


def _pairs(edges: Tensor) -> IntArray:
    return np.ascontiguousarray(edges.numpy(), np.int64).reshape(-1, 2)


def _metric(dataset: OGBLPPA, k: int) -> Callable[[Any, Any], float]:
    try:
        evaluator = dataset.evaluator()
    except ConfigError:
        return lambda positive, negative: hits_at_k(positive, negative, k)
    evaluator.K = k

    def hits(positive: Any, negative: Any) -> float:
        # OGB calls every positive a hit where there are fewer negatives than K; ours refuses.
        own = hits_at_k(positive, negative, k)
        found = evaluator.eval({"y_pred_pos": positive, "y_pred_neg": negative})[f"hits@{k}"]
        return float(found) if found is not None else own

    return hits

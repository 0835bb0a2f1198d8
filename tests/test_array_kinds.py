"""Labels, scores, classes and node values from any kind of array give what a list gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph.errors import LcPlmError
from lcplm_graph.evaluation import metrics, ranking
from lcplm_graph.evaluation.baselines import nearest_neighbour_transfer
from lcplm_graph.evaluation.bootstrap import bootstrap_mean, bootstrap_pairs
from lcplm_graph.evaluation.go_metrics import fmax, micro_aupr
from lcplm_graph.evaluation.probe import fit_probe
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.ops.random_walk.tables import make_graph
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

ODD = [5, 0, 5, 2, 9, 1]
KINDS = {
    "tuple": tuple,
    "array": np.array,
    "array of objects": lambda v: np.array(v, dtype=object),
    "array of a view": lambda v: np.repeat(np.array(v), 2)[::2],
    "series, odd index": lambda v: pd.Series(v, index=ODD[: len(v)]),
    "series, index of names": lambda v: pd.Series(v, index=list("fedcba")[: len(v)]),
    "pandas array": pd.array,
    "pandas index": pd.Index,
    "arrow": pa.array,
    "arrow chunks": lambda v: pa.chunked_array([v[:1], v[1:]]),
    "tensor": lambda v: torch.tensor(v, dtype=torch.float64 if isinstance(v[0], float) else None),
    "dict view": lambda v: dict(enumerate(v)).values(),
    "generator": lambda v: (one for one in v),
}
#: Those that only show what they hold when they are walked through: taken or refused, not misread.
LAZY = {"dict view", "generator"}
LABELS, SCORES = [1, 0, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]
CLASSES = [1, 2, 3, 1, 2, 3]
PAIRS = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [0, 5]])
X = np.repeat([[-1.0], [1.0]], 3, axis=0)
RING = Data(
    edge_index=torch.from_numpy(np.concatenate([PAIRS, PAIRS[:, ::-1]]).T.copy()), num_nodes=6
)


def split_of(weight):
    return Split("random", 6, PAIRS, PAIRS, [], [], message_weight=weight)


def species(taxon):
    return make_split(RING, "species", taxon=taxon, valid_taxa=[2], test_taxa=[3], valid=0, test=0)


DOORS = {
    "auroc, labels": (LABELS, lambda v: metrics.auroc(v, SCORES)),
    "auroc, scores": (SCORES, lambda v: metrics.auroc(LABELS, v)),
    "auroc, weights": (CLASSES, lambda v: metrics.auroc(LABELS, SCORES, v)),
    "average_precision": (LABELS, lambda v: metrics.average_precision(v, SCORES, 10)),
    "precision_at_recall": (LABELS, lambda v: metrics.precision_at_recall(v, SCORES, 0.5)),
    "hits_at_k": (SCORES, lambda v: metrics.hits_at_k(v, [0.5, 0.1], 1)),
    "calibration_error": (SCORES, lambda v: metrics.calibration_error(LABELS, v)),
    "reliability_bins": (LABELS, lambda v: metrics.reliability_bins(v, SCORES)),
    "bootstrap_mean": (SCORES, lambda v: bootstrap_mean(v, resamples=5)),
    "bootstrap_mean, groups": (CLASSES, lambda v: bootstrap_mean(SCORES, v, resamples=5)),
    "bootstrap_pairs": (
        LABELS, lambda v: bootstrap_pairs(metrics.auroc, v, SCORES, PAIRS, resamples=5)
    ),
    "Calibration.fit, scores": (SCORES, lambda v: Calibration.fit(v, LABELS, CLASSES)),
    "Calibration.fit, labels": (LABELS, lambda v: Calibration.fit(SCORES, v, CLASSES)),
    "Calibration.fit, classes": (CLASSES, lambda v: Calibration.fit(SCORES, LABELS, v)),
    "Calibration.probability": (
        SCORES, lambda v: Calibration().probability(v, CLASSES).tolist()
    ),
    "fit_probe": (
        [3, 3, 3, 7, 7, 7], lambda v: fit_probe(X, v).model.predict(X).tolist()
    ),
    "top_k_hits, truth": (
        CLASSES, lambda v: ranking.top_k_hits(np.eye(6), CLASSES[::-1], v).tolist()
    ),
    "top_k_hits, reference": (
        CLASSES, lambda v: ranking.top_k_hits(np.eye(6), v, CLASSES[::-1]).tolist()
    ),
    "sensitivity": (
        CLASSES,
        lambda v: ranking.sensitivity_to_first_false_positive(
            np.arange(36).reshape(6, 6), v, CLASSES
        ).tolist(),
    ),
    "Split, weights": (SCORES, lambda v: split_of(v).message_weight.tolist()),
    "Split, parts": (
        [0, 1, 0, 1, 0, 1],
        lambda v: Split("random", 6, [], [], PAIRS, v).held_out_part.tolist(),
    ),
    "make_graph": (SCORES, lambda v: make_graph(6, PAIRS, v).weight.tolist()),
    "species, taxon": ([1, 1, 2, 2, 3, 3], lambda v: species(v).fingerprint),
    "temporal, time": (
        list(range(6)),
        lambda v: make_split(
            Data(edge_index=torch.from_numpy(PAIRS.T.copy()), num_nodes=6), "temporal",
            time=v, valid_from=3, test_from=5,
        ).fingerprint,
    ),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_every_kind_of_array_gives_what_a_list_gives(door):
    values, call = DOORS[door]
    want = call(list(values))
    for kind, make in KINDS.items():
        try:
            found = call(make(list(values)))
        except LcPlmError:
            assert kind in LAZY, kind
            continue
        assert found == want, kind


MATRIX = [[1, 0], [0, 1], [1, 1]]
GUESS = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.6]]
OF_ROWS = {
    "array": np.array,
    "frame, odd index": lambda v: pd.DataFrame(v, index=[2, 0, 1], columns=["b", "a"]),
    "tensor": lambda v: torch.tensor(np.array(v)),
    "tuple": lambda v: tuple(map(tuple, v)),
}


@pytest.mark.parametrize("kind", OF_ROWS)
def test_tables_of_labels_from_any_kind(kind):
    make = OF_ROWS[kind]
    assert fmax(make(MATRIX), make(GUESS)) == fmax(np.array(MATRIX), np.array(GUESS))
    assert micro_aupr(make(MATRIX), make(GUESS)) == micro_aupr(np.array(MATRIX), np.array(GUESS))
    found = nearest_neighbour_transfer(make(GUESS), make(MATRIX), make(GUESS))
    want = nearest_neighbour_transfer(np.array(GUESS), np.array(MATRIX), np.array(GUESS))
    np.testing.assert_allclose(found, want)

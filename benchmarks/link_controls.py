"""Is a high AUROC on pairs of known proteins (C1) real?  Controls for `evaluate link`.

    python benchmarks/link_controls.py

Three questions about `string_human_core`, split ``node``: what the graph alone says, without any
feature; what it says when every protein keeps its degree but has other partners; and where in the
real graph the answer comes from (degree, common neighbours, relatives of the pair in training).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from lcplm_graph import StringPPI
from lcplm_graph.evaluation.baselines import LinkBaseline
from lcplm_graph.evaluation.bootstrap import bootstrap_pairs
from lcplm_graph.evaluation.link_pairs import LinkOptions, labelled_pairs
from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.evaluation.report import Report
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.recipe import BASE, Recipe
from lcplm_graph.heads.structure import PairStructure
from lcplm_graph.pairs import IntArray, is_in, pair_keys
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

COLUMNS = {
    "graph": "graph", "pairs": "test pairs", "model": "model", "count": "positives",
    "negatives": "negatives", "auroc": "AUROC [95 %]", "ap_10": "AP 1:10",
}  # fmt: skip


def rewired(edges: IntArray, num_nodes: int, seed: int, rounds: int = 20) -> IntArray:
    """Swap partners at random: every protein keeps its degree, no edge is doubled.

    Parameters
    ----------
    edges : ndarray, dtype=int64, shape=(m, 2)
        i < j.
    num_nodes, seed : int
    rounds : int
        Every edge is proposed for a swap so many times.

    Returns
    -------
    ndarray, dtype=int64, shape=(m, 2)
    """
    rng = np.random.default_rng(seed)
    edges = edges.copy()
    for _ in range(rounds):
        order = rng.permutation(len(edges))
        half = len(edges) // 2
        first, second = order[:half], order[half : 2 * half]
        turn = rng.random(half) < 0.5
        other = np.where(turn[:, None], edges[second][:, ::-1], edges[second])
        new = np.concatenate([
            np.stack([edges[first, 0], other[:, 1]], 1), np.stack([other[:, 0], edges[first, 1]], 1)
        ])  # fmt: skip
        new.sort(axis=1)
        keys, old = pair_keys(new, num_nodes), np.sort(pair_keys(edges, num_nodes))
        _, at, times = np.unique(keys, return_index=True, return_counts=True)
        single = np.zeros(len(keys), bool)
        single[at] = times == 1
        good = single & (new[:, 0] != new[:, 1]) & ~is_in(keys, old)
        both = good[:half] & good[half:]
        edges[first[both]], edges[second[both]] = new[:half][both], new[half:][both]
    return edges


def structure_only(split: Split, members: int, steps: int, seed: int) -> Any:
    """Train the branch over `PairStructure` alone: features are one constant number."""
    nothing = {BASE: torch.zeros(split.num_nodes, 1)}
    options = replace(LINK_FIT, seed=seed, steps=steps)
    kinds = [Recipe(structure=True)]
    model = LinkModel.fit(nothing, split, members=members, options=options, kinds=kinds)
    return model.on(nothing, split)


def rows(graph: str, split: Split, members: int, steps: int, seed: int) -> list[dict[str, Any]]:
    """Measure C1, whole and in parts."""
    (part,) = [p for p in labelled_pairs(split, LinkOptions(seed=seed)) if p.name == "C1"]
    structure = PairStructure(split.message, split.num_nodes)
    numbers = structure.of(part.pairs).numpy()
    degree = structure.degree[part.pairs].min(axis=1)
    common = np.expm1(numbers[:, 0]).round()
    parts = {
        "all": np.ones(len(degree), bool),
        "a protein of degree 1": degree == 1,
        "both of degree 2 or more": degree > 1,
        "both of degree 10 or more": degree >= 10,
        "no common neighbour": common == 0,
        "no common neighbour, no path of length 3": (common == 0) & (numbers[:, 4] == 0),
    }
    trained = structure_only(split, members, steps, seed).log_odds(part.pairs)
    models = {
        "degree": LinkBaseline("degree", split.message, split.num_nodes).score(part.pairs)[None],
        "common neighbours": common[None],
        "structure alone": trained,
    }
    found = []
    for name, own in parts.items():
        label = part.labels[own]
        if min(label.sum(), (~label).sum()) < 20:
            continue
        for model, each in models.items():
            found.append({
                "graph": graph, "pairs": name, "model": model, "count": int(label.sum()),
                "negatives": int((~label).sum()),
                "auroc": bootstrap_pairs(auroc, label, each[:, own], part.pairs[own], resamples=50),
                "ap_10": average_precision(label, each[:, own].mean(0), 10),
            })  # fmt: skip
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="outputs/link-controls")
    options = parser.parse_args()
    dataset = StringPPI("string_human_core")
    split = make_split(dataset, "node", seed=options.seed)
    edges = rewired(split.known, split.num_nodes, options.seed)
    old = np.sort(pair_keys(split.known, split.num_nodes))
    kept = is_in(pair_keys(edges, split.num_nodes), old)
    other = Data(edge_index=torch.from_numpy(edges.T).contiguous(), num_nodes=split.num_nodes)
    report = Report("Controls of link prediction, C1", COLUMNS)
    report.facts = {
        "seed": options.seed,
        "edges that are the same after rewiring": f"{int(kept.sum()):,} of {len(kept):,}",
    }
    report.rows = rows("real", split, options.members, options.steps, options.seed)
    shuffled = make_split(other, "node", seed=options.seed, sequences=dataset.sequences)
    report.rows += rows("rewired", shuffled, options.members, options.steps, options.seed)
    print(report)
    report.save(options.out)


if __name__ == "__main__":
    main()

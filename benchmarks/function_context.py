"""Show whether what stands beside a protein in a walk says more of its function than itself.

    python benchmarks/function_context.py --encoder lcplm-1m --lengths 4 8 --graph-sage

The part of `string_human_core` whose proteins are short: heads of equal shape and seeds on states
of single proteins, and on states inside walks of so many proteins over its edges.  Fmax of all test
proteins, of those with neighbours and of those without; intervals over proteins, differences to
single proteins paired.  Annotations are held out, edges are not.  ``--graph-sage`` adds what a
GraphSAGE over the same edges makes of states of single proteins.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch
from quality_parts.function import _fmax, _predictions, head_scores
from relation_control import shown
from torch_geometric.data import Data

from lcplm_graph import AddProteinFeatures, GOFunction, StringPPI, load_encoder
from lcplm_graph.evaluation.comparison import Comparison, over_items, over_members
from lcplm_graph.evaluation.go_metrics import FmaxCurve
from lcplm_graph.pairs import degrees, pair_graph
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split

GRAPH, ALONE = "string_human_core", "single proteins"


def main() -> None:
    options = _parse()
    whole = StringPPI(GRAPH)
    short = np.flatnonzero(whole.sequences.lengths <= options.longest)
    store = whole.sequences.select(short)
    edges = inside(pair_graph(whole[0]).pairs, short, len(whole.sequences))
    degree = degrees(edges, len(short))
    print(f"{len(short):,} proteins, {(degree > 0).sum():,} with edges, {len(edges):,} edges")
    x = features(store, edges, options)
    for aspect in options.aspect:
        dataset = GOFunction(GRAPH, aspect=aspect, split=options.split, seed=1)
        if list(dataset.sequences.ids) != list(whole.sequences.ids):
            raise SystemExit("graph and annotations do not number the proteins alike")
        compare(aspect, dataset, short, edges, x, options)


def inside(edges: np.ndarray, nodes: np.ndarray, num_nodes: int) -> np.ndarray:
    """Edges between some nodes, in the numbers of these."""
    number = np.full(num_nodes, -1)
    number[nodes] = np.arange(len(nodes))
    renamed = number[edges]
    return renamed[(renamed >= 0).all(axis=1)]


def features(
    store: SequenceStore, edges: np.ndarray, options: argparse.Namespace
) -> dict[str, torch.Tensor]:
    """States of all proteins, by where they stand."""
    encoder = load_encoder(options.encoder)
    data = Data(edge_index=torch.from_numpy(edges.T.copy()), num_nodes=len(store))
    split = Split("random", len(store), edges, edges, edges[:0], np.empty(0, np.int8))
    found = {ALONE: AddProteinFeatures(encoder, sequences=store)(data).x}
    for length in options.lengths:
        produce = AddProteinFeatures(
            encoder, context="walks", split=split, sequences=store, walk_length=length,
            walks_per_protein=options.walks, walk_tokens=length * (options.longest + 3) + 1,
        )  # fmt: skip
        found[f"in walks of {length}"] = produce(data).x
    return found


def compare(
    aspect: str,
    dataset: GOFunction,
    short: np.ndarray,
    edges: np.ndarray,
    x: dict[str, torch.Tensor],
    options: argparse.Namespace,
) -> None:
    """Print Fmax of heads on every kind of features."""
    data, rows = dataset[0], torch.from_numpy(short)
    masks = [data[f"{part}_mask"][rows] for part in ("train", "val", "test")]
    used = torch.stack(masks).any(0)
    raised = partial(dataset.ontology.propagate_scores, terms=data.go_terms)
    scores = {}
    if options.graph_sage:
        both = torch.from_numpy(np.concatenate([edges, edges[:, ::-1]]).T.copy())
        scores["single proteins + GraphSAGE"] = head_scores(
            x[ALONE], both, data.y[rows], masks, raised, options, conv="GraphSAGE"
        )
    labels, masks = data.y[rows][used], [mask[used] for mask in masks]
    for name, own in x.items():
        scores[name] = _predictions(own[used], labels, masks, raised, options)["head"]
    degree = degrees(edges, len(short))
    true, with_edges = labels[masks[2]].numpy(), degree[used.numpy()][masks[2].numpy()] > 0
    comparison = Comparison(f"{aspect}, {int(masks[0].sum())} training proteins", ALONE)
    for name, chosen in {
        "all": np.ones(len(true), bool), "with edges": with_edges, "without": ~with_edges,
    }.items():  # fmt: skip
        chosen = chosen & true.any(axis=1)
        curves = {k: [FmaxCurve(true[chosen], m[chosen]) for m in v] for k, v in scores.items()}
        comparison.add(
            f"{name} ({chosen.sum()})", curves, over_members(_fmax),
            over_items(int(chosen.sum()), resamples=options.resamples),
        )  # fmt: skip
    shown(comparison, "Fmax")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--encoder", default="lcplm-1m")
    add("--aspect", nargs="+", choices=("MF", "BP", "CC"), default=["MF", "BP", "CC"])
    add("--split", choices=("random", "cluster"), default="cluster", help="of the annotations")
    add("--lengths", nargs="+", type=int, default=[4, 8], help="proteins of a walk")
    add("--walks", type=int, default=1, help="walks that start at each protein")
    add("--longest", type=int, default=200, help="residues of a protein")
    add("--members", type=int, default=2, help="heads of different seeds that are averaged")
    add("--steps", type=int, default=150, help="training steps of a head at most")
    add("--graph-sage", action="store_true", help="a row of heads over the graph, too")
    add("--resamples", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()

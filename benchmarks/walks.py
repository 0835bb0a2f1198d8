"""Random walks and token streams side by side with pecanpy and a networkx loop.

    pip install pecanpy        # optional; without it that column is empty
    python benchmarks/walks.py --edges 1000000 12000000

Every competitor runs in this one process, in turn with ours, and medians are compared.  Compile
times are left out on both sides; so is pecanpy's translation of node numbers to names.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from statistics import median

import networkx as nx
import numba
import numpy as np

from lcplm_graph.splits.split import Split
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

NODES, LENGTH = 19_600, 81
LAWS: dict[str, dict] = {
    "uniform": {},
    "weighted": {"weighted": True},
    "node2vec p=1 q=0.5": {"p": 1.0, "q": 0.5},
    "node2vec p=0.25 q=4": {"p": 0.25, "q": 4.0},
}


def heavy_tailed_split(edges: int, seed: int = 0) -> Split:
    """Graph the size of a proteome; `edges` counts both directions, as STRING's files do."""
    rng = np.random.default_rng(seed)
    weight = np.arange(1, NODES + 1) ** -0.6
    cumulative = np.cumsum(weight / weight.sum())
    draws = np.searchsorted(cumulative, rng.random((int(edges * 0.7), 2)))
    pairs = np.sort(draws[draws[:, 0] != draws[:, 1]].clip(max=NODES - 1), axis=1)
    keys = np.unique(pairs[:, 0] * NODES + pairs[:, 1])
    keys = np.sort(rng.permutation(keys)[: edges // 2])
    # A ring leaves nobody without a neighbour, which the loops below could not take.
    ring = np.sort(np.stack([np.arange(NODES), (np.arange(NODES) + 1) % NODES], 1), axis=1)
    keys = np.union1d(keys, ring[:, 0] * NODES + ring[:, 1])
    pairs = np.stack([keys // NODES, keys % NODES], axis=1)
    scores = rng.integers(150, 1000, len(pairs)).astype(np.float32) / 1000
    return Split("random", NODES, pairs, pairs, [], [], scores)


def rate(run: Callable[[], int]) -> float:
    """Return walks (or tokens) per second of one call, which returns how many it made."""
    start = time.perf_counter()
    return run() / (time.perf_counter() - start)


def ours(split: Split, options: dict, count: int = 49_000) -> Callable[[], int]:
    sampler = WalkSampler(split, LENGTH, **options)
    return lambda: len(sampler.walks(0, count))


def pecanpy(split: Split, options: dict, seconds: float = 1.0) -> Callable[[], int] | None:
    """Return pecanpy's walker of the same law, sized to take about `seconds`."""
    give_numpy_its_old_names()
    try:
        from pecanpy import pecanpy as module
    except ImportError:
        return None
    weighted = options.get("weighted", False)
    if "p" in options:
        graph = module.SparseOTF(options["p"], options["q"], workers=2, verbose=False)
    elif weighted:
        graph = module.PreCompFirstOrder(1, 1, workers=2, verbose=False)
    else:
        graph = module.FirstOrderUnweighted(1, 1, workers=2, verbose=False)
    tables = WalkSampler(split, 2, weighted=True).graph
    graph.set_node_ids(None, implicit_ids=True, num_nodes=NODES)
    graph.indptr = tables.indptr.astype(np.uint32)
    graph.indices = tables.indices.astype(np.uint32)
    graph.data = tables.weight.copy() if weighted else np.ones_like(tables.weight)
    graph._preprocess_transition_probs()
    move, has_neighbours = graph.get_move_forward(), graph.get_has_nbrs()
    starts = np.random.default_rng(0).permutation(NODES).astype(np.uint32)

    def run(count: int) -> int:
        chosen = np.resize(starts, count)
        with module.ProgressBar(total=count, disable=True) as bar:
            graph._random_walks(count, LENGTH - 1, 0, chosen, has_neighbours, move, bar)
        return count

    run(2)
    count = max(50, int(rate(lambda: run(200)) * seconds))
    return lambda: run(count)


def give_numpy_its_old_names() -> None:
    """Let nptyping 2.5, which pecanpy imports, find names that NumPy 2 dropped."""
    old = {
        "bool8": "bool_", "object0": "object_", "int0": "intp", "uint0": "uintp", "void0": "void",
        "bytes0": "bytes_", "str0": "str_", "float_": "float64", "complex_": "complex128",
        "cfloat": "complex128", "singlecomplex": "complex64", "longfloat": "longdouble",
        "longcomplex": "clongdouble", "clongfloat": "clongdouble", "string_": "bytes_",
        "unicode_": "str_",
    }  # fmt: skip
    for name, new in old.items():
        if name not in vars(np):
            setattr(np, name, getattr(np, new))


def networkx_loop(split: Split, options: dict, count: int) -> Callable[[], int]:
    graph = nx.Graph()
    edges = zip(split.message.tolist(), split.message_weight.tolist(), strict=True)
    graph.add_weighted_edges_from((a, b, weight) for (a, b), weight in edges)
    p, q = options.get("p", 1.0), options.get("q", 1.0)

    def step(rng: random.Random, before: int | None, here: int) -> int:
        row = list(graph.neighbors(here))
        if not options:
            return rng.choice(row)
        weights = [graph[here][x]["weight"] if "weighted" in options else 1.0 for x in row]
        if before is not None and "p" in options:
            bias = (1 / p if x == before else 1.0 if graph.has_edge(before, x) else 1 / q
                    for x in row)  # fmt: skip
            weights = [w * b for w, b in zip(weights, bias, strict=True)]
        return rng.choices(row, weights)[0]

    def run() -> int:
        rng = random.Random(0)
        for start in range(count):
            before, here = None, start
            for _ in range(LENGTH - 1):
                before, here = here, step(rng, before, here)
        return count

    return run


def compare(edges: int, repeats: int) -> None:
    split = heavy_tailed_split(edges)
    print(f"\n{NODES} proteins, {2 * len(split.message):,} edges, walks of {LENGTH}\n")
    print("| law | ours, walks/s | pecanpy | ours / pecanpy | networkx | ours / networkx |")
    print("|---|---|---|---|---|---|")
    for name, options in LAWS.items():
        runs = {"ours": ours(split, options), "pecanpy": pecanpy(split, options)}
        if edges <= 1_000_000:
            runs["networkx"] = networkx_loop(split, options, 20 if options else 400)
        runs["ours"]()
        rates: dict[str, list[float]] = {who: [] for who, run in runs.items() if run is not None}
        for _ in range(repeats):
            for who, seen in rates.items():
                seen.append(rate(runs[who]))
        mid = {who: median(seen) for who, seen in rates.items()}
        cells = [f"{mid['ours']:,.0f}"]
        for who in ("pecanpy", "networkx"):
            known = who in mid
            cells += [f"{mid[who]:,.0f}", f"{mid['ours'] / mid[who]:,.1f}"] if known else ["", ""]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def stream_rate(repeats: int) -> None:
    """Tokens per second of the whole input pipeline, on one thread."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(6.0, 0.7, NODES)).astype(np.int64).clip(40, 8000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    residues = ResidueTable(rng.integers(4, 24, offsets[-1]).astype(np.uint8), offsets)
    sampler = WalkSampler(heavy_tailed_split(1_000_000), 8, p=1.0, q=0.5, weighted=True)
    stream = WalkStream(sampler, residues, max_tokens=4096, negative_rate=0.2)

    def run() -> int:
        return sum(len(stream.batch(b, 65_536).input_ids) for b in range(200))

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    run()
    middle = median(rate(run) for _ in range(repeats))
    numba.set_num_threads(before)
    print(
        f"\ntoken streams (walks of 8, batches of 65,536): {middle / 1e6:,.1f} M tokens/s, 1 thread"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    stream_rate(arguments.repeats)
    for size in arguments.edges:
        compare(size, arguments.repeats)

"""Gene Ontology to ancestor sets: `Ontology.from_obo` against plain obonet and NetworkX.

Prints medians of interleaved runs in one process for time, and the peak memory of each way in
a process of its own.  The competitor does what users of obonet write: read the graph, keep is_a
and part_of edges, and ask NetworkX for the ancestors (descendants along the arrows) of each term.

    python benchmarks/data_obo.py go-basic.obo
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import networkx
import numpy as np
import obonet
from scipy import sparse

from lcplm_graph.go.obo import RELATIONS
from lcplm_graph.go.ontology import Ontology


def ours(path: Path) -> Ontology:
    """Read and close by sparse products."""
    return Ontology.from_obo(path)


def plain(path: Path) -> dict[str, set[str]]:
    """Read by obonet, close by NetworkX."""
    graph = obonet.read_obo(str(path))
    kept = networkx.DiGraph()
    kept.add_nodes_from(graph.nodes)
    kept.add_edges_from(
        (a, b) for a, b, relation in graph.edges(keys=True) if relation in RELATIONS
    )
    # obonet's edges point from child to parent.
    return {term: networkx.descendants(kept, term) for term in kept}


def read_only(path: Path) -> object:
    """Obonet's parser alone: the part both ways share."""
    return obonet.read_obo(str(path))


def propagate_ours(ontology: Ontology, annotations: sparse.csr_array) -> int:
    return ontology.propagate(annotations).nnz


def propagate_plain(sets: dict[str, set[str]], terms: list[str], rows: list[np.ndarray]) -> int:
    total = 0
    for row in rows:
        closed: set[str] = set()
        for term in row:
            closed |= sets[terms[term]] | {terms[term]}
        total += len(closed)
    return total


def timed(call: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def peak_memory(way: str, path: Path) -> float:
    """Peak resident MB of a process of its own."""
    command = [sys.executable, __file__, str(path), "--only", way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("obo", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--proteins", type=int, default=20_000)
    parser.add_argument("--only", choices=["ours", "plain", "nothing"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        held = {"ours": ours, "plain": plain, "nothing": lambda _: None}[options.only](options.obo)
        # Not getrusage: its peak is that of the parent process before exec, if that is higher.
        status = Path("/proc/self/status").read_text()
        print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        del held
        return
    compare(options.obo, options.repeats, options.proteins)


def compare(path: Path, repeats: int, proteins: int) -> None:
    ontology, sets = ours(path), plain(path)
    same = all(set(ontology.ancestors_of(term)) == sets[term] for term in ontology.terms[::50])
    rng = np.random.default_rng(0)
    rows = list(rng.integers(len(ontology), size=(proteins, 5)))
    matrix = ontology.annotate(np.repeat(np.arange(proteins), 5), np.concatenate(rows), proteins)
    totals = {
        propagate_ours(ontology, matrix),
        propagate_plain(sets, ontology.terms, rows),
    }
    print(f"{len(ontology)} terms; same ancestors: {same}; same annotations: {len(totals) == 1}")
    ways: dict[str, Callable[[], object]] = {
        "load + closure, ours": lambda: ours(path),
        "load + closure, obonet + networkx": lambda: plain(path),
        "obonet's parser alone": lambda: read_only(path),
        f"propagate {proteins} proteins, ours": lambda: propagate_ours(ontology, matrix),
        f"propagate {proteins} proteins, sets": lambda: propagate_plain(sets, ontology.terms, rows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, call in ways.items():
            seconds[name].append(timed(call)[0])
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print("\n| | median s | fastest s | slowest s |\n|---|---|---|---|")
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(f"| {name} | {median:.3f} | {low:.3f} | {high:.3f} |")
    print()
    value = list(medians.values())
    print(f"ratio load + closure {value[1] / value[0]:.2f}, propagate {value[4] / value[3]:.1f}")
    base = peak_memory("nothing", path)
    for way in ("ours", "plain"):
        print(f"peak memory {way}: {peak_memory(way, path) - base:.0f} MB over {base:.0f} MB")


if __name__ == "__main__":
    main()

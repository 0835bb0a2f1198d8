"""Loading links and FASTA: ours against pandas and Biopython, time and peak memory.

    python benchmarks/data.py [--rows 12000000] [--proteins 200000] [--repeats 5]

Every run is its own process, the contenders take turns, and medians are printed; processor time
beside wall time, because it tells more on a shared machine.  The link file
is synthetic in STRING's format (both directions, sorted, gzip -1).  Biopython is needed only
for its own column.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def write_links(path: Path, rows: int, proteins: int = 19_600) -> None:
    """Write a link file of about `rows` rows, and the ids of its proteins beside it."""
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(0)
    names = np.sort(rng.choice(500_000, proteins, replace=False))
    ids = pa.array([f"9606.ENSP{name:011d}" for name in names])
    ends = rng.integers(0, proteins, (rows // 2, 2))
    low, high = ends.min(axis=1), ends.max(axis=1)
    keys = np.unique((low * proteins + high)[low != high])
    low, high = keys // proteins, keys % proteins
    scores = rng.integers(150, 1000, len(keys))
    first, second = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((second, first))
    columns = [ids.take(first[order]), ids.take(second[order]), np.tile(scores, 2)[order]]
    table = pa.table(columns, names=["protein1", "protein2", "combined_score"])
    options = csv.WriteOptions(delimiter=" ", quoting_style="none", quoting_header="none")
    plain = path.with_suffix("")
    csv.write_csv(table, plain, options)
    subprocess.run(["gzip", "-1", "-f", str(plain)], check=True)
    path.with_suffix(".ids").write_text("\n".join(ids.to_pylist()))


def write_fasta(path: Path, ids: list[str]) -> None:
    """Write proteins of Swiss-Prot-like lengths, 60 residues per line."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(5.7, 0.75, len(ids)), 20, 20_000).astype(int)
    residues = rng.choice(np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8), int(lengths.sum()))
    text, stops = residues.tobytes().decode(), np.cumsum(lengths)
    with path.open("w") as file:
        for name, stop, length in zip(ids, stops, lengths, strict=True):
            body = text[stop - length : stop]
            lines = "\n".join(body[i : i + 60] for i in range(0, length, 60))
            file.write(f">{name} a protein\n{lines}\n")


def links_ours(path: Path) -> int:
    """Read with `read_links`, to a sorted edge_index."""
    import pyarrow as pa

    from lcplm_graph.datasets.links import both_directions, read_links

    ids = path.with_suffix(".ids").read_text().split()
    links = read_links(path, pa.chunked_array([pa.array(ids)]), prefix="9606.")
    return both_directions(links, len(ids))[0].shape[1]


def links_pandas(path: Path) -> int:
    """Read with pandas' C parser and factorize."""
    import pandas as pd

    table = pd.read_csv(path, sep=" ", engine="c")
    ends = pd.concat([table["protein1"], table["protein2"]], ignore_index=True)
    codes, _ = pd.factorize(ends, sort=True)
    return codes.reshape(2, -1).shape[1]


def links_pandas_category(path: Path) -> int:
    """Read with pandas' C parser, ids as categories."""
    import pandas as pd

    types = {"protein1": "category", "protein2": "category", "combined_score": "int16"}
    table = pd.read_csv(path, sep=" ", engine="c", dtype=types)
    known = table["protein1"].cat.categories.union(table["protein2"].cat.categories)
    ends = [table[name].cat.set_categories(known).cat.codes for name in ("protein1", "protein2")]
    return np.stack([end.to_numpy(np.int64) for end in ends]).shape[1]


def fasta_ours(path: Path) -> int:
    """Read with `SequenceStore.from_fasta`."""
    from lcplm_graph.proteins.store import SequenceStore

    return len(SequenceStore.from_fasta(path))


def fasta_biopython(path: Path) -> int:
    """Read with Bio.SeqIO, to strings."""
    from Bio import SeqIO

    return len({record.id: str(record.seq) for record in SeqIO.parse(path, "fasta")})


def fasta_biopython_simple(path: Path) -> int:
    """Read with Biopython's fast low-level parser."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    with path.open() as file:
        return len({title.split(None, 1)[0]: text for title, text in SimpleFastaParser(file)})


CONTENDERS: dict[str, dict[str, Callable[[Path], int]]] = {
    "links": {
        "lcplm-graph": links_ours,
        "pandas C, factorize": links_pandas,
        "pandas C, category": links_pandas_category,
    },
    "fasta": {
        "lcplm-graph": fasta_ours,
        "Biopython SimpleFastaParser": fasta_biopython_simple,
        "Biopython SeqIO": fasta_biopython,
    },
}
# Imports are paid before the clock starts.
MODULES = {
    "lcplm-graph": "lcplm_graph.datasets.links pandas",  # pyarrow itself imports pandas
    "pandas C, factorize": "pandas",
    "pandas C, category": "pandas",
    "Biopython SimpleFastaParser": "Bio.SeqIO.FastaIO",
    "Biopython SeqIO": "Bio.SeqIO",
}


def run_once(task: str, name: str, path: Path) -> None:
    """Measure one contender in this process; print JSON."""
    for module in MODULES[name].split():
        importlib.import_module(module)
    start, cpu_start = time.perf_counter(), time.process_time()
    items = CONTENDERS[task][name](path)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    # Not ru_maxrss, which starts at the size of the process that forked this one.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak, "items": items}))


def compare(task: str, path: Path, repeats: int) -> None:
    """Let the contenders take turns and print a table of medians."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS[task]}
    for _ in range(repeats):
        for name, found in runs.items():
            command = [sys.executable, __file__, "--once", task, name, str(path)]
            found.append(json.loads(subprocess.check_output(command)))
    size = path.stat().st_size / 1e6
    print(f"\n{task}: {runs['lcplm-graph'][0]['items']:,.0f} items, {size:.0f} MB on disk\n")
    print(
        "| | wall s | CPU s | items per CPU s | peak MB | wall / ours |\n|---|---|---|---|---|---|"
    )
    for name, found in runs.items():
        middle = {key: statistics.median(run[key] for run in found) for key in found[0]}
        ours = statistics.median(run["seconds"] for run in runs["lcplm-graph"])
        print(
            f"| {name} | {middle['seconds']:.2f} | {middle['cpu']:.2f} "
            f"| {middle['items'] / middle['cpu']:,.0f} | {middle['peak_mb']:.0f} "
            f"| {middle['seconds'] / ours:.1f} |"
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_000_000)
    parser.add_argument("--proteins", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        run_once(options.once[0], options.once[1], Path(options.once[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        links, fasta = Path(folder) / "links.txt.gz", Path(folder) / "proteins.fa"
        write_links(links, options.rows)
        write_fasta(fasta, [f"P{i:08d}" for i in range(options.proteins)])
        compare("links", links, options.repeats)
        compare("fasta", fasta, options.repeats)


if __name__ == "__main__":
    main()

"""Mutated files for every reader: only own errors come out, within bounded time.

    python benchmarks/fuzz.py [--files 10000] [--first 0] [--reader NAME ...] [--seed 0]

Each reader gets files made of good ones by flipping, cutting, doubling and inserting bytes; seed
and number of a file decide it.  Where a format is text, a slow and plain parser reads the same
bytes, and both must agree on what is accepted and what it says.  Each reader runs in a process of
its own, so that one that ends the interpreter is seen and named.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fuzz_caches import CACHES
from fuzz_core import run
from fuzz_files import FILES
from fuzz_graphs import GRAPHS
from fuzz_models import MODELS
from fuzz_tables import TABLES

READERS = {reader.name: reader for reader in (*FILES, *TABLES, *MODELS, *CACHES, *GRAPHS)}


def _job(name: str, files: int, seed: int, first: int) -> None:
    np.seterr(all="ignore")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        counts = run(READERS[name], files, seed, Path(folder), first)
    took = time.perf_counter() - begun
    told = ", ".join(f"{counts[kind]} {kind}" for kind in ("accepted", "refused"))
    print(f"{name}: {files} files from {first}, {told}, {took:.0f} s", flush=True)


def main() -> int:
    """Run the readers one after the other; the exit code counts those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*", choices=READERS, default=list(READERS))
    options = parser.parse_args()
    failed = 0
    for name in options.reader:
        process = multiprocessing.get_context("fork").Process(
            target=_job, args=(name, options.files, options.seed, options.first)
        )
        process.start()
        process.join()
        if process.exitcode:
            failed += 1
            print(f"{name}: FAILED with exit code {process.exitcode}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

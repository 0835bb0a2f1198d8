"""Every reader of files, on mutated files: own errors only, and as the plain parsers say.

`benchmarks/fuzz.py` does the same with 10,000 files per reader.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import fuzz
from fuzz_core import open_stream

# Those that load a model, build a cache, or fork a process for each file.
FILES = {
    "raw files of a dataset": 15, "best state of a run": 40, "options of a command": 40,
    "training pairs of a scorer": 30, "tar": 20, "lmdb": 60, "embeddings, h5": 60,
    "how embeddings were made, h5": 30, "config": 60,
    "weights": 20, "index of shards": 20, "config of ESM-2": 30, "weights of ESM-2": 15,
}  # fmt: skip


@pytest.mark.parametrize("name", fuzz.READERS)
def test_mutated_files(tmp_path, name):
    counts = fuzz.run(fuzz.READERS[name], FILES.get(name, 100), 1, tmp_path)
    assert counts["refused"] > 0
    assert counts.total() == FILES.get(name, 100)


@pytest.mark.parametrize("name", fuzz.READERS)
def test_the_files_they_are_made_of_are_accepted(tmp_path, name):
    reader = fuzz.READERS[name]
    for seed in reader.seeds:
        path = tmp_path / f"x{reader.suffix}"
        path.write_bytes(seed)
        found = reader.read(path)
        if reader.plain is not None:
            with open_stream(path) as stream:
                assert reader.plain(stream.read()) in (found, None)

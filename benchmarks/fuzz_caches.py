"""Readers of what the toolkit keeps for itself: caches, tables of walks, notes of downloads."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from fuzz_apart import forked
from fuzz_core import Reader, Refused
from torch_geometric.data import Data

from lcplm_graph.datasets.cache import DATA, REPORT, SOURCES, Built, DiskCache
from lcplm_graph.evaluation.bootstrap import Interval
from lcplm_graph.evaluation.comparison import Comparison
from lcplm_graph.features.formats import WRITERS, Embeddings, info_of
from lcplm_graph.features.job_folder import JobFolder
from lcplm_graph.features.store import FeatureStore
from lcplm_graph.files.content import is_whole, other_format, rubbish
from lcplm_graph.files.download import read_record
from lcplm_graph.files.transport import Before
from lcplm_graph.proteins.digests import wide_digests
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.tasks.parts import Parts
from lcplm_graph.training.corpus import open_corpus
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.shards import FACTS, WalkShard, is_of

SEQUENCES = ["MKTAYIAK", "MVLSPADK", "MGG"]
STORE = SequenceStore.from_records(["a", "b", "c"], SEQUENCES)
INFO = {"encoder": "composition", "pool": "mean", "precision": "float32"}


def _written(write: Callable[[Path], Any], name: str = "") -> bytes:
    """Return what something writes: to a path, or to a file of that name in a folder."""
    with tempfile.TemporaryDirectory() as base:
        path = Path(base) / "made"
        write(path)
        found = path if path.is_file() else next(path.rglob(name))
        return found.read_bytes()


def _put(path: Path, folder: Path, name: str) -> Path:
    """Put a mutated file into a folder, under the name that it is read by."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(path.read_bytes())
    return folder


def _fill(root: Path) -> None:
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    data = Data(edge_index=edges, num_nodes=3, protein_id=["a", "b", "c"], score="combined")
    DiskCache(root, "x").fill(lambda: Built(data, STORE, {"edges": 2}), [], again=False)


def _graph(path: Path) -> Any:
    cache = DiskCache(path.parent, "x")
    cache.folder.mkdir(parents=True, exist_ok=True)
    _put(path, cache.folder, DATA)
    graph = cache.graph()
    return type(graph).__name__, sorted(map(str, graph.keys()))


def _report(path: Path) -> Any:
    cache = DiskCache(path.parent, "x")
    cache.folder.mkdir(parents=True, exist_ok=True)
    _put(path, cache.folder, REPORT)
    return cache.report


def _sources(path: Path) -> Any:
    """Say whether a list of raw files lets a dataset's cache stay; else the cache is made again."""
    cache, raw = DiskCache(path.parent, "x"), path.with_name("raw")
    raw.touch()
    made: list[Built] = []

    def build() -> Built:
        edges = torch.tensor([[0, 1], [1, 0]])
        made.append(Built(Data(edge_index=edges, num_nodes=3), STORE, {"edges": 1}))
        return made[-1]

    cache.fill(build, [raw], again=not cache.folder.is_dir())
    _put(path, cache.folder, SOURCES)
    made.clear()
    cache.fill(build, [raw], again=False)
    return _known(not made)


def _add_features(root: Path) -> None:
    FeatureStore("some", 2, root).add(wide_digests(SEQUENCES), np.ones((3, 2), np.float32))


def _features(path: Path) -> Any:
    store = FeatureStore("some", 2, path.parent)
    _put(path, store.folder, "shard-a.safetensors")
    return [array.shape for array in store.get(wide_digests(SEQUENCES))]


def _save_walks(folder: Path) -> None:
    split = Split("random", 9, [[0, 1], [1, 2]], [[0, 1], [1, 2]], [[3, 4], [5, 6]], [0, 1])
    WalkSampler(split, 1).save(folder)


def _walks(name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        folder = path.parent / "walks"
        if not folder.is_dir():
            folder.mkdir()
            _save_walks(folder)
        _put(path, folder, name)
        return WalkSampler.open(folder, 1).num_nodes

    return read


def _residues(name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        folder = path.parent / "residues"
        if not folder.is_dir():
            folder.mkdir()
            ResidueTable.from_store(STORE).save(folder)
        _put(path, folder, name)
        return ResidueTable.open(folder).tokens.shape

    return read


def _shard(path: Path) -> Any:
    folder = _put(path, path.parent / "shard", FACTS)
    return is_of(folder, {"x.gz": [1, 2, 3]}), WalkShard(folder).facts


def _make_part(path: Path) -> None:
    path.mkdir()
    Parts(path / "o", "key").put("a", np.arange(12.0).reshape(4, 3))


def _part(path: Path) -> Any:
    parts = Parts(path.with_name("o"), "key")
    parts.put("a", np.arange(3))
    _put(path, parts.folder, next(parts.folder.iterdir()).name)
    return _known(parts.get("a") is not None)


def _job(name: str) -> Callable[[Path], Any]:
    """Read the notes of an unfinished job; damaged ones count as none."""

    def read(path: Path) -> Any:
        job = JobFolder(path.with_name("e.h5"))
        job.path.mkdir(exist_ok=True)
        STORE.save(job.sequences_path)
        job.values_path.write_bytes(b"12345678")
        for other, content in (("job.json", _JOB), ("done.json", _DONE)):
            (job.path / other).write_bytes(content)
        _put(path, job.path, name)
        return _known(job.identity()), _known(job.progress([0, 4, 8]).batches)

    return read


def _known(found: Any) -> Any:
    """Count as refused what a reader takes for nothing."""
    if not found:
        raise Refused("nothing")
    return found


def _note(path: Path) -> Any:
    _put(path, path.parent, "x.gz.json")
    return read_record(path.with_name("x.gz"))


def _partial(path: Path) -> Any:
    return _known(Before.read(path) != Before())


def _kind(path: Path) -> Any:
    names = ("x.gz", "x.zip", "x.json", "x.h5", "x.html")
    found = [(rubbish(path, n), other_format(path, n), is_whole(path, n)) for n in names]
    return _known(not found[2][0])


def _corpus(path: Path) -> Any:
    base = path.parent / "corpora"
    fasta = path.with_name("c.fasta")
    with patch.dict(os.environ, {"LCPLM_DATA": str(base)}):
        if not base.is_dir():
            fasta.write_text("".join(f">p{i}\nM{'KT' * (5 + i % 7)}\n" for i in range(40)))
            open_corpus(f"fasta:{fasta}", eval_tokens=20)
        (facts,) = base.rglob("facts.json")
        facts.write_bytes(path.read_bytes())
        return open_corpus(f"fasta:{fasta}", eval_tokens=20).facts


def _write_embeddings(suffix: str, path: Path) -> None:
    values = np.ones((2, 3), np.float32)
    WRITERS[suffix](path, Embeddings(["a", "b"], values, np.arange(2), None, INFO))


def _made_by(path: Path) -> Any:
    with forked():
        return _known(info_of(path))


def _compared(path: Path) -> Any:
    return Comparison.load(path).unbeaten()


def _compare(path: Path) -> None:
    interval = Interval(0.5, 0.25, 0.75, 9)
    Comparison(
        "title", "a", True, {"x": {"a": interval, "b": interval}}, {"x": {"b": interval}}, {"n": 3}
    ).save(path)


_SEEN = json.dumps({"url": "https://x.org/x.gz", "sha256": "0" * 64, "bytes": 12}).encode()
_SEQUENCES = _written(STORE.save)
_STATE = [len(_SEQUENCES), zlib.crc32(_SEQUENCES)]
_JOB = json.dumps({"layout": 3, "id": "a", "sequences": _STATE, "encoder": "x"}).encode()
_DONE = json.dumps({"job": "a", "batches": 1, "size": 4, "crc32": zlib.crc32(b"1234")}).encode()
_FACTS = json.dumps({"name": "string:7", "taxon": 7, "proteins": 3, "split": {"kind": "c3"}})
_MADE_OF = json.dumps({"/data/raw/x.gz": [12, 1700000000000000000, 1700000000000000000]})
_PART = json.dumps({"validator": '"abc"', "total": 12})
CACHES = (
    Reader("processed graph", (_written(_fill, DATA),), _graph),
    Reader("report of a dataset", (_written(_fill, REPORT),), _report),
    Reader("raw files of a dataset", (_MADE_OF.encode(),), _sources),
    Reader("cached features", (_written(_add_features, "shard-*"),), _features),
    Reader("rows of a walk", (_written(_save_walks, "indptr.npy"),), _walks("indptr.npy")),
    Reader("neighbours of a walk", (_written(_save_walks, "indices.npy"),), _walks("indices.npy")),
    Reader(
        "residues", (_written(ResidueTable.from_store(STORE).save, "tokens.npy"),),
        _residues("tokens.npy"),
    ),
    Reader("facts of a shard", (_FACTS.encode(),), _shard),
    Reader("facts of a corpus", (_FACTS.encode(),), _corpus),
    Reader("part of an answer", (_written(_make_part, "*.npy"),), _part),
    Reader("job of embed", (_JOB,), _job("job.json")),
    Reader("progress of embed", (_DONE,), _job("done.json")),
    Reader("note of a download", (_SEEN,), _note),
    Reader("note of a partial download", (_PART.encode(),), _partial),
    Reader("kind of a download", (_SEEN, gzip.compress(_SEEN, mtime=0)), _kind),
    Reader("comparison", (_written(_compare),), _compared),
    *(
        Reader(
            f"how embeddings were made, {suffix[1:]}",
            (_written(partial(_write_embeddings, suffix)),),
            _made_by,
            suffix=suffix,
        )
        for suffix in (".h5", ".npz", ".parquet")
    ),
)  # fmt: skip

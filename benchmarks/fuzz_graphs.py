"""Readers of graphs of others: OGB's archives and tables; and of scorers of pairs."""

from __future__ import annotations

import gzip
import io
import shutil
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from fuzz_core import Reader
from safetensors.numpy import save

from lcplm_graph.datasets.ogb import OGBLPPA, OGBNProteins
from lcplm_graph.heads import ppi_scorer
from lcplm_graph.heads.names import KnownProteins
from lcplm_graph.heads.ppi_scorer import SCORERS_DIR, TRAINING, PPIScorer
from lcplm_graph.models.precision import load_in_precision

_embedded, _encoder = cache(KnownProteins.embedded), cache(load_in_precision)
IDS = ["9606.P1", "9606.P2", "4932.Y1", "4932.Y2"]
_PAIRS = np.array([[0, 2], [1, 3]])


def _saved(content: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    torch.save(content, sink)
    return sink.getvalue()


@cache
def _home() -> dict[str, bytes]:
    """Files of both graphs of OGB, as small as they can be."""
    text = {
        "mapping/nodeidx2proteinid": "node idx,protein id\n"
        + "".join(f"{i},{name}\n" for i, name in enumerate(IDS)),
        "raw/edge": "0,1\n2,3\n1,2\n",
        "raw/edge-feat": "0.1,0.2\n0.3,0.4\n0.5,0.6\n",
        "raw/node-label": "1,0\n0,0\n1,1\n0,1\n",
        "raw/node_species": "9606\n9606\n4932\n4932\n",
        "raw/node-feat": "1,0\n1,0\n0,1\n0,1\n",
        "split/species/train": "0\n1\n",
        "split/species/valid": "2\n",
        "split/species/test": "3\n",
    }
    files = {f"{name}.csv.gz": content.encode() for name, content in text.items()}
    split = {"edge": _PAIRS, "edge_neg": _PAIRS}
    return files | {f"split/throughput/{p}.pt": _saved(split) for p in ("train", "valid", "test")}


def _dataset(kind: Any, source: Path) -> Any:
    fasta = source.with_name("o.fasta")
    fasta.write_text("".join(f">{name}\nMKT\n" for name in IDS))
    # Without the cache, which is a reader of its own.
    dataset = kind.__new__(kind)
    dataset.inputs = {"archive": [source], "sequences": [fasta]}
    data = dataset.build().data
    return {key: str(getattr(data[key], "shape", data[key])) for key in data.keys()}  # noqa: SIM118


def _ogb(kind: Any, name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        home = path.parent / "home"
        if not home.is_dir():
            for other, content in _home().items():
                (home / other).parent.mkdir(parents=True, exist_ok=True)
                (home / other).write_bytes(content)
        shutil.copyfile(path, home / name)
        return _dataset(kind, home)

    return read


def _archive() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _home().items():
            archive.writestr(zipfile.ZipInfo(f"ogb/{name}"), gzip.compress(content, mtime=0))
    return sink.getvalue()


def _scorer(path: Path) -> Any:
    folder = path.parent / "scorer"
    if not folder.is_dir():
        shutil.copytree(SCORERS_DIR / "lcplm-2m-human", folder)
    shutil.copyfile(path, folder / TRAINING)
    # What does not depend on the file is loaded once.
    with (
        patch.object(ppi_scorer.KnownProteins, "embedded", _embedded),
        patch.object(ppi_scorer, "load_in_precision", _encoder),
    ):
        return PPIScorer.from_pretrained(str(folder)).nearest.names


def _training() -> bytes:
    ids = np.frombuffer(b'["9606.ENSP00000269305", "9606.ENSP00000258149"]', np.uint8)
    return save({"ids": ids, "pairs": np.array([[0, 1]], np.int32)})


_TABLES = {
    "edges": "raw/edge", "channels": "raw/edge-feat", "labels": "raw/node-label",
    "species": "raw/node_species", "proteins": "mapping/nodeidx2proteinid",
    "part": "split/species/test",
}  # fmt: skip
GRAPHS = (
    *(
        Reader(
            f"{what} of OGB",
            (_home()[f"{name}.csv.gz"],),
            _ogb(OGBNProteins, f"{name}.csv.gz"),
        )
        for what, name in _TABLES.items()
    ),
    Reader(
        "split of OGB",
        (_home()["split/throughput/test.pt"],),
        _ogb(OGBLPPA, "split/throughput/test.pt"),
    ),
    Reader(
        "archive of OGB", (_archive(),), lambda path: _dataset(OGBNProteins, path), suffix=".zip"
    ),
    Reader("training pairs of a scorer", (_training(),), _scorer),
)

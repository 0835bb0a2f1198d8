"""Which encoders are compared, and answers that are kept so that no part computes them twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import lcplm_graph
from lcplm_graph import load_encoder
from lcplm_graph.evaluation.models import random_twin
from lcplm_graph.files.download import data_root
from lcplm_graph.io import atomic_path, sha256_of
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.shipped import shipped_folder

Answers = dict[str, NDArray]
COMPOSITION = "composition"


class Model(NamedTuple):
    """A row of every table."""

    name: str
    encoder: Encoder
    pool: str


def folder_of(name: str) -> Path:
    """Folder of a model that ships, or that `lcplm release` made elsewhere."""
    return Path(name) if (Path(name) / "training.json").is_file() else shipped_folder(name)


def weights_of(folder: Path) -> str:
    """Sha256 of the weights, by which a card knows what was measured."""
    return json.loads((folder / "training.json").read_text())["weights"]["sha256"]


def compared(folder: Path, against: Path | None) -> list[Model]:
    """Return baselines, random weights of the same shape, the other model, and the subject last."""
    subject = load_encoder(folder)
    models = [
        Model(COMPOSITION, load_encoder("composition"), "mean"),
        Model("composition + dipeptides", load_encoder("dipeptide"), "mean"),
        Model("random initialisation", random_twin(subject), subject.pool),
    ]
    if against is not None:
        other = load_encoder(against)
        models.append(Model(against.name, other, other.pool))
    return [*models, Model(folder.name, subject, subject.pool)]


def kept(what: str, compute: Callable[[], Answers]) -> Answers:
    """Return what the same code computed under this description before, or compute and keep it."""
    key = hashlib.sha256(f"{what} {_code()}".encode()).hexdigest()[:32]
    path = Path(data_root()) / "quality" / f"{key}.npz"
    if not path.is_file():
        answers = compute()
        with atomic_path(path) as temporary:
            np.savez(temporary, **answers)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _code() -> str:
    """Sha256 of the files that decide an answer: an improved head must not meet old answers."""
    package = Path(lcplm_graph.__file__).parent
    files = [
        *sorted((package / "heads").glob("*.py")),
        package / "evaluation" / "probe.py",
        *sorted(Path(__file__).parent.glob("*.py")),
    ]
    return " ".join(sha256_of(path) for path in files)

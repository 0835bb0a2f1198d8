"""Arrays kept beside an output that is being made, so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np

from lcplm_graph.errors import DataError
from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.numeric import map_array


class Parts:
    """A folder ``OUT.parts`` of computed arrays by what they were computed from.

    Parameters
    ----------
    out : path-like
        The output they are for.
    key : str
        Everything that holds for all arrays, such as the fingerprint of the model.  Arrays of
        another key are never found.

    Examples
    --------
    >>> import tempfile
    >>> parts = Parts(tempfile.mkdtemp() + "/scores.tsv", "some model")
    >>> parts.get("protein 1") is None
    True
    >>> parts.put("protein 1", np.arange(3))
    >>> parts.get("protein 1").tolist()
    [0, 1, 2]
    """

    def __init__(self, out: str | os.PathLike[str], key: str) -> None:
        self.folder = Path(f"{os.fspath(out)}.parts")
        self.key = key

    def get(self, name: str) -> np.ndarray | None:
        """Return an array, or None if it is still to be computed, or damaged."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            return np.array(map_array(path, "it is computed again"))
        except DataError as error:
            warn_once(str(error))
            return None

    def put(self, name: str, array: np.ndarray) -> None:
        """Keep an array, whole or not at all."""
        with atomic_path(self._path(name)) as temporary:
            np.save(temporary, array, allow_pickle=False)

    def remove(self) -> None:
        """Remove the folder; the output is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(f"{self.key}\0{name}".encode()).hexdigest()[:32]
        return self.folder / f"{digest}.npy"

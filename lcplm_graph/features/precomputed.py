"""Read embeddings that were computed before, from HDF5, NumPy archives and Parquet.

Besides the layouts that `lcplm embed` writes, that of STRING's network and sequence embeddings
(SPACE, Hu et al. 2025): ``proteins`` and ``embeddings`` in one file a species, or in
``species/<taxon>`` of the file of all.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from lcplm_graph.apart import try_elsewhere
from lcplm_graph.errors import ConfigError, DataError, InputError, LcPlmError
from lcplm_graph.features.formats import format_of, info_of
from lcplm_graph.files.open import check_is_file
from lcplm_graph.strings import as_path, string_list

_MOST_COMPRESSED = 1000


class Precomputed(NamedTuple):
    """Embeddings by id.

    Attributes
    ----------
    ids : list of str
    values : ndarray, dtype=float32, shape=(n, width)
    info : dict
        What the file says of how they were made.
    """

    ids: list[str]
    values: npt.NDArray[np.float32]
    info: dict[str, Any]


def read_embeddings(path: str | os.PathLike[str], species: str | None = None) -> Precomputed:
    """Read one vector for each protein.

    Parameters
    ----------
    path : path-like
        ``.h5``, ``.npz`` or ``.parquet``.
    species : str, optional
        Taxon of STRING's file of all species.

    Raises
    ------
    ConfigError
        If a species is named and the file is not of several.
    DataError
        If the file is missing, damaged or of another layout, or holds residues instead of
        proteins, vectors of different width, or an id twice.
    """
    path = as_path(path)
    check_is_file(path)
    suffix = format_of(path)
    if suffix == ".h5":
        try_elsewhere(__name__, path, species or "")
    readers = {".h5": _read_h5, ".npz": _read_npz, ".parquet": _read_parquet}
    if suffix not in readers:
        raise DataError(f"embeddings are read from {', '.join(readers)}", path=path)
    try:
        found = readers[suffix](path, species)
    except LcPlmError:
        raise
    except Exception as error:  # damaged archives and HDF5 raise nearly anything
        text = " ".join(str(error).split())
        raise DataError(f"not readable as embeddings of proteins ({text})", path=path) from error
    found = found._replace(ids=_names(found.ids, path))
    if found.values.ndim != 2 or len(found.values) != len(found.ids):
        raise DataError(
            f"{len(found.ids)} ids and an array of shape {found.values.shape}; one vector for "
            "each protein is needed, not one for each residue",
            path=path,
        )
    if len(set(found.ids)) < len(found.ids):
        raise DataError("an id occurs twice", path=path)
    if not np.isfinite(found.values).all():
        raise DataError("there are NaN or infinite values", path=path)
    return found


def _names(ids: list[Any], path: Path) -> list[str]:
    """Return ids, of which every one is text that is not empty."""
    try:
        names = string_list([_plain(name) for name in ids], "ids")
    except (InputError, UnicodeDecodeError) as error:
        raise DataError(f"the ids of embeddings are text ({error})", path=path) from error
    if "" in names:
        raise DataError(f"the id of row {names.index('')} is empty", path=path)
    return names


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return floats of an array of numbers; others, which would lose what they mean, raise."""
    if values.dtype.kind not in "fiu" or not values.shape[-1:] or not values.shape[-1]:
        raise ValueError(f"an array of {values.dtype} and shape {values.shape}, not of numbers")
    return values.astype(np.float32)


def _read_h5(path: Path, species: str | None) -> Precomputed:
    with h5py.File(path) as file:
        group: Any = file
        if isinstance(file.get("species"), h5py.Group):
            known = list(file["species"])
            if species not in known:
                raise DataError(
                    f"the file holds {len(known)} species, for example {', '.join(known[:3])}; "
                    "name one of them",
                    path=path,
                )
            group = file["species"][species]
        elif species:
            raise _no_species(path)
        info = {key: _plain(value) for key, value in file.attrs.items()}
        _refuse_promises(group, path)
        if "proteins" in group and "embeddings" in group:
            ids = [_plain(name) for name in group["proteins"][:]]
            return Precomputed(ids, _numbers(group["embeddings"][:]), info)
        ids = list(group)
        if not ids:
            raise DataError("there is no protein in the file", path=path)
        shapes = {group[name].shape for name in ids}
        if len(shapes) > 1 or len(next(iter(shapes))) != 1:
            raise DataError(
                "the proteins have arrays of different shape or one vector for each residue; "
                "write the file without --per-residue",
                path=path,
            )
        return Precomputed(ids, _numbers(np.stack([group[n][:] for n in ids])), info)


def _refuse_promises(group: Any, path: Path) -> None:
    """Refuse arrays that would take far more memory than the file has bytes."""
    most = _MOST_COMPRESSED * path.stat().st_size
    for name in group:
        if isinstance(group[name], h5py.Dataset) and group[name].nbytes > most:
            raise DataError(
                f"damaged: {name!r} promises {group[name].nbytes:,} bytes, far more than the file "
                "can hold",
                path=path,
            )


def _read_npz(path: Path, species: str | None) -> Precomputed:
    if species:
        raise _no_species(path)
    with np.load(path, allow_pickle=False) as archive:
        ids, values = archive["ids"].tolist(), _numbers(archive["embeddings"])
    return Precomputed(ids, values, info_of(path) or {})


def _read_parquet(path: Path, species: str | None) -> Precomputed:
    if species:
        raise _no_species(path)
    table = pq.read_table(path)
    values = _numbers(np.array(table["embedding"].to_pylist()))
    return Precomputed(table["id"].to_pylist(), values, info_of(path) or {})


def _no_species(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a file of several species; name none")


def has_species(path: str | os.PathLike[str]) -> bool:
    """Tell whether this is a file of several species, as STRING's of all."""
    path = as_path(path)
    if format_of(path) != ".h5":
        return False
    check_is_file(path)
    try_elsewhere(__name__, path, "")
    with h5py.File(path) as file:
        return isinstance(file.get("species"), h5py.Group)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else getattr(value, "tolist", lambda: value)()


if __name__ == "__main__":
    _read_h5(Path(sys.argv[1]), sys.argv[2] or None)

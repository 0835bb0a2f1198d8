"""Checkpoint files: ``config.json`` and safetensors, found and read.

Everything is checked before a model is built: that the files are whole and lie in the folder, and
that their sizes are those of the configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lcplm_graph import io
from lcplm_graph.errors import CheckpointError, DataError
from lcplm_graph.io import warn_once
from lcplm_graph.models.architecture import Architecture
from lcplm_graph.models.config_checks import named_dtype
from lcplm_graph.models.names import CONFIG, INDEX, WEIGHTS
from lcplm_graph.models.state_dicts import EMBEDDING, PREFIX

PUBLISHED_SHAPE = {"d_model": 1536, "n_layer": 48}
LFS_MAGIC = b"version https://git-lfs"
_PATTERNS = ["*.json", "*.safetensors", "*.npy", "*.py", "*.txt"]
_LAYER = re.compile(r"(?:^|\.)backbone\.layers\.(\d+)\.")
HUB_OPTIONS = (
    "cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder",
)  # fmt: skip
"""What `resolve_checkpoint` takes for hub ids."""
_ADAPTER = "adapter_config.json"
# Bytes of a file's name, on common file systems.
_LONGEST_NAME = 255


def resolve_checkpoint(
    name: str | os.PathLike[str], *, subfolder: str = "", **hub_options: Any
) -> Path:
    """Find the folder of a checkpoint, downloading it from the hub when it is not a local folder.

    Parameters
    ----------
    name : str or path-like
        A folder, or a hub id.
    subfolder : str
        Of the folder or repository.
    **hub_options
        As `huggingface_hub.snapshot_download` takes them: ``revision``, ``cache_dir``, ``token``,
        ``local_files_only``, ``force_download``.

    Raises
    ------
    CheckpointError
        If it is neither a folder with a ``config.json`` nor to be had from the hub.
    """
    folder = Path(name)
    if folder.is_dir():
        folder = folder / subfolder
        if not (folder / CONFIG).is_file():
            raise CheckpointError(f"{folder}: there is no {CONFIG} in this folder")
        return folder
    text = os.fspath(name)
    if folder.is_absolute() or text.count("/") != 1 or text.startswith((".", "~")):
        raise CheckpointError(f"{text}: no such folder (a hub id looks like owner/name)")
    from huggingface_hub import snapshot_download

    try:
        downloaded = snapshot_download(
            text, allow_patterns=[f"{subfolder}/{p}" if subfolder else p for p in _PATTERNS],
            **hub_options,
        )  # fmt: skip
    except Exception as error:  # the hub client raises many unrelated classes
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{text}: not a local folder, and not to be had from the Hugging Face hub "
            f"({type(error).__name__}: {reason}); without a network, give the "
            f"path of a folder that holds {CONFIG} and {WEIGHTS}"
        ) from error
    return Path(downloaded) / subfolder


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds a peft adapter and no model."""
    return (folder / _ADAPTER).is_file() and not (folder / CONFIG).is_file()


def adapted_model(folder: Path) -> str:
    """Return the name of the model that an adapter belongs to.

    Raises
    ------
    CheckpointError
        If the adapter's folder does not say.
    """
    base = read_json(folder / _ADAPTER).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"{folder / _ADAPTER}: it does not name the model that the adapter belongs to"
        )
    return base


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a model.

    Raises
    ------
    CheckpointError
        If it is missing, a Git-LFS pointer, not JSON, or holds anything else than an object.
    """
    try:
        return io.read_json(path, "save or fetch it again")
    except DataError as error:
        with suppress(OSError):
            _refuse_lfs_pointer(path)
        raise CheckpointError(f"{error}") from error


def read_tensors(
    folder: Path, config: Architecture, variant: str | None = None
) -> dict[str, Tensor]:
    """Read all tensors, from one file or from the shards that an index names.

    The sizes that decide how large a model is are compared with the configuration first, by the
    files' headers; a vocabulary that was resized is taken as it is stored.

    Parameters
    ----------
    folder : Path
    config : LcPlmConfig
        Its `vocab_size` is set to what is stored, where only rounding differs.
    variant : str, optional
        As in ``model.fp16.safetensors``.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged, a Git-LFS pointer, or outside the folder, or the number of
        layers or the width is not that of the configuration.
    """
    _check_sizes(stored_shapes(folder, variant), config, folder)
    if not getattr(config, "quantization_config", None):
        refuse_integers(folder, variant)
    return stored_tensors(folder, variant)


def stored_tensors(folder: Path, variant: str | None = None) -> dict[str, Tensor]:
    """Return every tensor of a checkpoint as it is stored; raises as `read_tensors`."""
    tensors: dict[str, Tensor] = {}
    for file in _weight_files(folder, variant):
        with _opened(file) as opened:
            tensors |= {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    return tensors


def stored_shapes(folder: Path, variant: str | None = None) -> dict[str, tuple[int, ...]]:
    """Shapes of all stored tensors by name, from the headers of the files alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(folder, variant):
        with _opened(file) as opened:
            shapes |= {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
    return shapes


def refuse_integers(folder: Path, variant: str | None = None) -> None:
    """Raise `CheckpointError` if weights are whole numbers: they were cast, and lost all."""
    for file in _weight_files(folder, variant):
        with _opened(file) as opened:
            for key in opened.keys():  # noqa: SIM118
                dtype = opened.get_slice(key).get_dtype()
                if key.endswith("weight") and not dtype.startswith(("F", "BF")):
                    raise CheckpointError(
                        f"{file}: {key} is stored as {dtype}, but weights are floating-point "
                        "numbers; the checkpoint was converted wrongly"
                    )


def count_layers(names: Collection[str], pattern: re.Pattern[str] = _LAYER) -> int:
    """Count the layers whose numbers occur in names of tensors."""
    return len({match[1] for name in names if (match := pattern.search(name))})


class _opened:
    """`safe_open` whose errors name the file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Any:
        if not self.file.is_file():
            raise CheckpointError(f"{self.file}: this shard is missing; fetch the checkpoint again")
        _refuse_lfs_pointer(self.file)
        try:
            self.opened = safe_open(self.file, framework="pt")
            return self.opened.__enter__()
        except (SafetensorError, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.opened.__exit__(kind, error, trace)
        if isinstance(error, SafetensorError | RuntimeError | TypeError | ValueError | OSError):
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self.file}: damaged or cut short ({first_line(error)}); fetch it again"
        )


def _weight_files(folder: Path, variant: str | None) -> list[Path]:
    suffix = "" if variant is None else f".{variant}"
    single = folder / WEIGHTS.replace(".safetensors", f"{suffix}.safetensors")
    if single.is_file():
        return [single]
    index = folder / INDEX.replace(".index", f".index{suffix}")
    if not index.is_file():
        raise CheckpointError(
            f"{folder}: there is neither {single.name} nor {index.name}; other formats (pickles) "
            "are not read, convert them to safetensors first"
        )
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise CheckpointError(f"{index}: weight_map must map every tensor to a file")
    for name in names.values():
        inside = isinstance(name, str) and name == Path(name).name
        if (
            not inside
            or not name.endswith(".safetensors")
            or len(name.encode(errors="replace")) > _LONGEST_NAME
        ):
            raise CheckpointError(
                f"{index}: shard {name!r:.80} is not the name of a safetensors file in this folder"
            )
    return sorted({folder / name for name in names.values()})


def _check_sizes(shapes: Mapping[str, tuple[int, ...]], config: Architecture, folder: Path) -> None:
    """Compare what the files hold with the configuration, before a model of its size is built."""
    layers = count_layers(shapes)
    if layers != config.n_layer:
        raise CheckpointError(
            f"{folder}: the weights have {layers} layers, but {CONFIG} says n_layer = "
            f"{config.n_layer}; the two files do not belong together"
        )
    shape = shapes.get(EMBEDDING, shapes.get(EMBEDDING.removeprefix(PREFIX)))
    if shape is None or len(shape) != 2 or shape[1] != config.d_model:
        found = "none" if shape is None else f"one of shape {shape}"
        raise CheckpointError(
            f"{folder}: {CONFIG} asks for an embedding of width {config.d_model}, but the weights "
            f"hold {found} as {EMBEDDING}"
        )
    if shape[0] != config.vocab_size and shape[0] == read_json(folder / CONFIG).get("vocab_size"):
        config.vocab_size = shape[0]
    if shape[0] != config.vocab_size:
        raise CheckpointError(
            f"{folder}: the parameters do not fit the configuration; 1 of the wrong shape: "
            f"{EMBEDDING} {shape} instead of {(config.vocab_size, config.d_model)}"
        )


def _refuse_lfs_pointer(path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(len(LFS_MAGIC)) == LFS_MAGIC:
            raise CheckpointError(
                f"{path}: this is a Git-LFS pointer, not the file itself; in the cloned "
                "repository run 'git lfs install' and 'git lfs pull'"
            )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def dtype_named(dtype: str | torch.dtype | None) -> str | torch.dtype:
    """Return what Hugging Face takes as dtype; None is float32.

    Raises
    ------
    ConfigError
        If it is neither ``"auto"`` nor a floating-point dtype.
    """
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        return "auto"
    return named_dtype(dtype)


def say_licence(name: str | os.PathLike[str], config: Architecture, *, own: bool) -> None:
    """Say once under which licence the published weights are, unless these are `own` ones."""
    shape = {key: getattr(config, key) for key in PUBLISHED_SHAPE}
    if "amazon" in os.fspath(name).lower() or (shape == PUBLISHED_SHAPE and not own):
        warn_once(
            "the weights published with the LC-PLM paper are licensed CC-BY-NC-4.0: "
            "non-commercial use only, with attribution",
            key="models.licence",
        )

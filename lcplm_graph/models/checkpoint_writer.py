"""Write a checkpoint, so that a reader never sees a mixed one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.io import staged_files
from lcplm_graph.models.names import CONFIG


def write_checkpoint(
    folder: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    half: bool = False,
    max_shard_size: int | str = "50GB",
    variant: str | None = None,
    beside: Callable[[Path], object] = lambda _: None,
    replaced: Collection[str] = (),
) -> None:
    """Write ``config.json``, safetensors and what belongs to them.

    While files are moved into their places there is no ``config.json``, so a reader sees the old
    checkpoint, none, or the new one, and never a mixed one.

    Parameters
    ----------
    folder : path-like
        Other files there are left alone, but weights of an earlier checkpoint are not.
    state : mapping
        From `stored_once`.
    config : mapping
        What ``config.json`` shall say.
    half : bool
        Store matrices as float16.  Vectors (norms, biases, D) and A_log stay as they are: small,
        and the scan is sensitive to them.  Loading gives float32 in any case.
    max_shard_size : int or str
        Larger checkpoints are divided into shards with an index.
    variant : str, optional
        As in ``model.fp16.safetensors``.
    beside : callable
        Writes further files into the folder it is given.
    replaced : collection of str
        Files of an earlier checkpoint that go, if `beside` does not write them.
    """
    tensors: dict[str, Tensor] = {}
    places = set()
    for key, value in state.items():
        tensor = value.detach().contiguous().cpu()
        # Of tensors in one place only one would be stored, the others under no name.
        tensors[key] = tensor.clone() if tensor.data_ptr() in places else tensor
        places.add(tensor.data_ptr())
    if half:
        tensors = {k: v.half() if _may_be_half(k, v) else v for k, v in tensors.items()}
    suffix = "" if variant is None else f".{variant}"
    with staged_files(folder, last=CONFIG) as staging:
        try:
            save_torch_state_dict(
                tensors, staging, filename_pattern=f"model{suffix}{{suffix}}.safetensors",
                max_shard_size=max_shard_size, metadata={"format": "pt"},
            )  # fmt: skip
        except ValueError as error:
            raise ConfigError(f"max_shard_size: {error}") from error
        written = {path.name for path in staging.iterdir()}
        (staging / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        beside(staging)
        (Path(folder) / CONFIG).unlink(missing_ok=True)
        _remove_old_weights(Path(folder), suffix, written)
        for name in replaced:
            (Path(folder) / name).unlink(missing_ok=True)


def _remove_old_weights(folder: Path, suffix: str, written: Collection[str]) -> None:
    """Remove weights of an earlier checkpoint, one file or shards, that were not replaced."""
    stem = rf"model{re.escape(suffix)}"
    name = re.compile(rf"{stem}(-\d{{5}}-of-\d{{5}})?\.safetensors(\.index\.json)?")
    for path in folder.iterdir():
        if name.fullmatch(path.name) and path.name not in written:
            path.unlink()


def _may_be_half(key: str, tensor: Tensor) -> bool:
    if tensor.ndim < 2 or key.endswith("A_log"):
        return False
    if not torch.isfinite(tensor.half()).all():
        raise CheckpointError(f"{key} holds values beyond the range of float16; store float32")
    return True

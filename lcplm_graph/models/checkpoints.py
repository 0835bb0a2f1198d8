"""Reading and writing checkpoints: safetensors, config.json, names as in the published files.

Projections shared by the two directions are stored once, under either direction's name; on
loading, either name (or both, if equal) is taken.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lcplm_graph.errors import CheckpointError
from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.models.config import LcPlmConfig

if TYPE_CHECKING:
    from lcplm_graph.models.modeling import LcPlmPreTrainedModel

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PUBLISHED_SHAPE = {"d_model": 1536, "n_layer": 48}
LFS_MAGIC = b"version https://git-lfs"
_SHOWN = 8


def resolve_checkpoint(
    name: str | os.PathLike[str], *, revision: str | None = None, local_files_only: bool = False
) -> Path:
    """Find the folder of a checkpoint, downloading it from the hub when it is no local folder.

    Raises
    ------
    CheckpointError
        If it is neither a folder with a ``config.json`` nor to be had from the hub.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise CheckpointError(f"{folder}: there is no {CONFIG} in this folder")
        return folder
    text = os.fspath(name)
    if folder.is_absolute() or text.count("/") != 1 or text.startswith((".", "~")):
        raise CheckpointError(f"{text}: no such folder (a hub id looks like owner/name)")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                text,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=["*.json", "*.safetensors", "*.npy"],
            )
        )
    except Exception as error:  # the hub client raises many unrelated classes
        raise CheckpointError(
            f"{text}: not a local folder, and not to be had from the Hugging Face hub "
            f"({type(error).__name__}: {str(error).splitlines()[0]}); without a network, give the "
            "path of a folder that holds config.json and model.safetensors"
        ) from error


def load_model(
    cls: type[LcPlmPreTrainedModel],
    name: str | os.PathLike[str],
    *,
    config: LcPlmConfig | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Any:
    """Build a model of class `cls` and fill it; see `LcPlmPreTrainedModel.from_pretrained`."""
    folder = resolve_checkpoint(name, revision=revision, local_files_only=local_files_only)
    config = config or read_config(folder)
    _say_licence(name, folder, config)
    tensors = read_tensors(folder)
    model = cls(config)
    state = _fit(tensors, model, folder)
    model.load_state_dict(state, strict=True)
    nn.Module.to(model, dtype or torch.float32)
    model.name_or_path = os.fspath(name)
    return model.eval()


def save_model(
    model: LcPlmPreTrainedModel, folder: str | os.PathLike[str], *, half: bool = False
) -> None:
    """Write ``config.json`` and ``model.safetensors``, each whole or not at all.

    Parameters
    ----------
    model : LcPlmPreTrainedModel
    folder : path-like
    half : bool
        Store matrices as float16.  Vectors (norms, biases, D) and A_log stay as they are: small,
        and the scan is sensitive to them.  Loading gives float32 in any case.
    """
    folder = Path(folder)
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    config["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    tensors = {k: v.detach().contiguous().cpu() for k, v in _stored_once(model).items()}
    if half:
        tensors = {k: v.half() if _may_be_half(k, v) else v for k, v in tensors.items()}
    with atomic_path(folder / WEIGHTS) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    with atomic_path(folder / CONFIG) as path:
        path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def _may_be_half(key: str, tensor: Tensor) -> bool:
    if tensor.ndim < 2 or key.endswith("A_log"):
        return False
    if not torch.isfinite(tensor.half()).all():
        raise CheckpointError(f"{key} holds values beyond the range of float16; store float32")
    return True


def read_config(folder: Path) -> LcPlmConfig:
    """Read ``config.json``; it must be that of an LC-PLM."""
    path = folder / CONFIG
    _refuse_lfs_pointer(path)
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if stored.get("model_type") != LcPlmConfig.model_type:
        raise CheckpointError(
            f"{path}: model_type is {stored.get('model_type')!r}, not {LcPlmConfig.model_type!r}; "
            "for ESM-2 checkpoints use load_encoder('esm2:...')"
        )
    return LcPlmConfig.from_dict(stored)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint, from one file or from the shards named in its index."""
    files = [folder / WEIGHTS]
    if not files[0].is_file():
        index = folder / INDEX
        if not index.is_file():
            raise CheckpointError(
                f"{folder}: there is neither {WEIGHTS} nor {INDEX}; other formats (pickles) are "
                "not read, convert them to safetensors first"
            )
        _refuse_lfs_pointer(index)
        files = sorted({folder / f for f in json.loads(index.read_text())["weight_map"].values()})
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{file}: this shard is missing; fetch the checkpoint again")
        _refuse_lfs_pointer(file)
        try:
            with safe_open(file, framework="pt") as opened:
                tensors.update({key: opened.get_tensor(key) for key in opened.keys()})  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(
                f"{file}: damaged or cut short ({error}); fetch it again"
            ) from error
    return tensors


def _refuse_lfs_pointer(path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(len(LFS_MAGIC)) == LFS_MAGIC:
            raise CheckpointError(
                f"{path}: this is a Git-LFS pointer, not the file itself; in the cloned "
                "repository run 'git lfs install' and 'git lfs pull'"
            )


def _other_direction(key: str) -> str | None:
    """Name under which the other direction holds the same projection."""
    if ".in_proj." not in key and ".out_proj." not in key:
        return None
    if ".mamba_fwd." in key:
        return key.replace(".mamba_fwd.", ".mamba_rev.")
    return key.replace(".mamba_rev.", ".mamba_fwd.") if ".mamba_rev." in key else None


def _stored_once(model: LcPlmPreTrainedModel) -> dict[str, Tensor]:
    """State dict without second names of shared tensors."""
    state = model.state_dict()
    if model.config.bidirectional and model.config.bidirectional_weight_tie:
        state = {
            k: v for k, v in state.items() if ".mamba_rev." not in k or not _other_direction(k)
        }
    if model.config.tie_embeddings:
        state.pop("lm_head.weight", None)
    return state


def _fit(
    tensors: dict[str, Tensor], model: LcPlmPreTrainedModel, folder: Path
) -> dict[str, Tensor]:
    """Bring stored tensors to the names of `model`, or list everything that does not fit."""
    tensors = _match_prefix(tensors, model)
    wanted = model.state_dict()
    tied = model.config.bidirectional and model.config.bidirectional_weight_tie
    if tied:
        _complete_tied(tensors, wanted, folder)
    if model.config.tie_embeddings and "lm_head.weight" in wanted:
        tensors.setdefault("lm_head.weight", tensors["bimamba.backbone.embedding.weight"])
    problems = {
        "missing": [k for k in wanted if k not in tensors],
        "unexpected": [k for k in tensors if k not in wanted],
        "of the wrong shape": [
            f"{k} {tuple(tensors[k].shape)} instead of {tuple(wanted[k].shape)}"
            for k in wanted
            if k in tensors and tensors[k].shape != wanted[k].shape
        ],
    }
    found = [f"{len(v)} {kind}: {_listed(v)}" for kind, v in problems.items() if v]
    if found:
        raise CheckpointError(
            f"{folder}: the parameters do not fit the configuration; {'; '.join(found)}"
        )
    return tensors


def _match_prefix(tensors: dict[str, Tensor], model: LcPlmPreTrainedModel) -> dict[str, Tensor]:
    """Let the encoder load from a masked-LM checkpoint (its head is left out)."""
    prefix = model.base_model_prefix + "."
    if any(k.startswith(prefix) for k in model.state_dict()):
        return dict(tensors)
    if not any(k.startswith(prefix) for k in tensors):
        return dict(tensors)
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k != "lm_head.weight"}


def _complete_tied(tensors: dict[str, Tensor], wanted: dict[str, Tensor], folder: Path) -> None:
    for key in wanted:
        other = _other_direction(key)
        if other is None:
            continue
        if key not in tensors and other in tensors:
            tensors[key] = tensors[other]
        elif key in tensors and other in tensors and not torch.equal(tensors[key], tensors[other]):
            raise CheckpointError(
                f"{folder}: {key} and {other} differ, but the configuration says that the "
                "directions share their projections (bidirectional_weight_tie)"
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _say_licence(name: str | os.PathLike[str], folder: Path, config: LcPlmConfig) -> None:
    shape = {key: getattr(config, key) for key in PUBLISHED_SHAPE}
    own = (folder / "training.json").is_file()
    if "amazon" in os.fspath(name).lower() or (shape == PUBLISHED_SHAPE and not own):
        warn_once(
            "the weights published with the LC-PLM paper are licensed CC-BY-NC-4.0: "
            "non-commercial use only, with attribution",
            key="models.licence",
        )

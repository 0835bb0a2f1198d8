"""Checkpoint files: ``config.json`` and safetensors, read and written as state dicts.

Projections shared by the two directions are stored once, under either direction's name; on
loading, either name (or both, if equal) is taken.  Everything is checked before a model is built:
that the files are whole and lie in the folder, and that every tensor fits the configuration.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.io import staged_files, warn_once
from lcplm_graph.models.config import LcPlmConfig

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PUBLISHED_SHAPE = {"d_model": 1536, "n_layer": 48}
LFS_MAGIC = b"version https://git-lfs"
EMBEDDING, OUTPUT = "bimamba.backbone.embedding.weight", "lm_head.weight"
_PREFIX = "bimamba."
_PATTERNS = ["*.json", "*.safetensors", "*.npy", "*.py", "*.txt"]
_LAYER = re.compile(r"(?:^|\.)backbone\.layers\.(\d+)\.")
_SHOWN = 8
HUB_OPTIONS = (
    "cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder",
)  # fmt: skip
"""What `resolve_checkpoint` takes for hub ids."""
_ADAPTER = "adapter_config.json"


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
            "path of a folder that holds config.json and model.safetensors"
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
    """Read a JSON file that holds an object.

    Raises
    ------
    CheckpointError
        If it is missing, a Git-LFS pointer, not JSON, or holds anything else.
    """
    try:
        _refuse_lfs_pointer(path)
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(stored).__name__}")
    return stored


def read_config(folder: Path, **changes: Any) -> tuple[LcPlmConfig, dict[str, Any]]:
    """Read ``config.json``, which must be that of an LC-PLM.

    Parameters
    ----------
    folder : Path
    **changes
        Options in place of the stored ones.

    Returns
    -------
    config : LcPlmConfig
    unused : dict
        Changes that are not options of a configuration.

    Raises
    ------
    CheckpointError
        If it cannot be read, or a stored option is out of range.
    """
    path = folder / CONFIG
    stored = read_json(path)
    if stored.get("model_type") != LcPlmConfig.model_type:
        raise CheckpointError(
            f"{path}: model_type is {stored.get('model_type')!r}, not {LcPlmConfig.model_type!r}; "
            "for ESM-2 checkpoints use load_encoder('esm2:...')"
        )
    try:
        config = LcPlmConfig.from_dict(dict(stored))
    except Exception as error:  # Hugging Face's own checks raise many classes
        raise CheckpointError(f"{path}: {first_line(error)}") from error
    known = {k: v for k, v in changes.items() if hasattr(config, k)}
    if "num_labels" in known:
        stored = {k: v for k, v in stored.items() if k not in ("id2label", "label2id")}
    # Given to the constructor, so that they are checked as stored ones are.
    config = LcPlmConfig.from_dict({**stored, **known})
    return config, {k: v for k, v in changes.items() if k not in known}


def read_tensors(
    folder: Path, config: LcPlmConfig, variant: str | None = None
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
        if not inside or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{index}: shard {name!r:.80} is not the name of a safetensors file in this folder"
            )
    return sorted({folder / name for name in names.values()})


def _check_sizes(shapes: Mapping[str, tuple[int, ...]], config: LcPlmConfig, folder: Path) -> None:
    """Compare what the files hold with the configuration, before a model of its size is built."""
    layers = count_layers(shapes)
    if layers != config.n_layer:
        raise CheckpointError(
            f"{folder}: the weights have {layers} layers, but {CONFIG} says n_layer = "
            f"{config.n_layer}; the two files do not belong together"
        )
    shape = shapes.get(EMBEDDING, shapes.get(EMBEDDING.removeprefix(_PREFIX)))
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
    tensors = {k: v.detach().contiguous().cpu() for k, v in state.items()}
    if half:
        tensors = {k: v.half() if _may_be_half(k, v) else v for k, v in tensors.items()}
    suffix = "" if variant is None else f".{variant}"
    with staged_files(folder, last=CONFIG) as staging:
        save_torch_state_dict(
            tensors, staging, filename_pattern=f"model{suffix}{{suffix}}.safetensors",
            max_shard_size=max_shard_size, metadata={"format": "pt"},
        )  # fmt: skip
        written = {path.name for path in staging.iterdir()}
        beside(staging)
        (staging / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
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


def _other_direction(key: str) -> str | None:
    """Name under which the other direction holds the same projection."""
    if ".in_proj." not in key and ".out_proj." not in key:
        return None
    if ".mamba_fwd." in key:
        return key.replace(".mamba_fwd.", ".mamba_rev.")
    return key.replace(".mamba_rev.", ".mamba_fwd.") if ".mamba_rev." in key else None


def second_names(keys: Collection[str], config: LcPlmConfig) -> list[str]:
    """Names of tensors that another name already holds; a checkpoint leaves them out."""
    found: list[str] = []
    if config.bidirectional and config.bidirectional_weight_tie:
        found += [key for key in keys if ".mamba_rev." in key and _other_direction(key)]
    if config.tie_embeddings and OUTPUT in keys:
        found.append(OUTPUT)
    return found


def stored_once(state: Mapping[str, Tensor], config: LcPlmConfig) -> dict[str, Tensor]:
    """Return a state dict without second names of shared tensors.

    Raises
    ------
    CheckpointError
        If a second name holds another value than the first.
    """
    kept = dict(state)
    for key in second_names(state.keys(), config):
        first = EMBEDDING if key == OUTPUT else _other_direction(key)
        if first not in kept:
            continue
        value = kept.pop(key)
        if value.data_ptr() != kept[first].data_ptr() and not torch.equal(value, kept[first]):
            raise CheckpointError(f"{key} and {first} differ, but the configuration ties them")
    return kept


def fit_state(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    config: LcPlmConfig,
    where: str | os.PathLike[str],
    *,
    new: tuple[str, ...] = (),
    ignore_mismatched: bool = False,
) -> dict[str, Tensor]:
    """Bring stored tensors to the names of a model, or list everything that does not fit.

    Parameters
    ----------
    tensors : mapping
        As read.
    wanted : mapping
        State dict of the model; only names and shapes are looked at.
    config : LcPlmConfig
    where : path-like
        For messages.
    new : tuple of str
        Beginnings of names that a checkpoint of another task need not have: its head.
    ignore_mismatched : bool
        Leave tensors of another shape out instead of refusing them.

    Raises
    ------
    CheckpointError
        If parameters are missing, unexpected or of the wrong shape (all are listed).
    """
    state = _match_prefix(tensors, wanted, new)
    if config.bidirectional and config.bidirectional_weight_tie:
        _complete_tied(state, wanted, where)
    if config.tie_embeddings and OUTPUT in wanted and EMBEDDING in state:
        state.setdefault(OUTPUT, state[EMBEDDING])
    mismatched = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if ignore_mismatched:
        state = {k: v for k, v in state.items() if k not in mismatched}
        wanted = {k: v for k, v in wanted.items() if k not in mismatched}
        mismatched = []
    problems = {
        "missing": [k for k in wanted if k not in state and not k.startswith(new)],
        "unexpected": [k for k in state if k not in wanted],
        "of the wrong shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}" for k in mismatched
        ],
    }
    found = [f"{len(v)} {kind}: {_listed(v)}" for kind, v in problems.items() if v]
    if found:
        raise CheckpointError(
            f"{where}: the parameters do not fit the configuration; {'; '.join(found)}"
        )
    refuse_not_finite(state, where)
    return state


def refuse_not_finite(state: Mapping[str, Tensor], where: str | os.PathLike[str]) -> None:
    """Raise `CheckpointError` if a floating-point tensor holds NaN or infinity."""
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"{where}: {key} holds values that are not finite; the checkpoint is damaged, or "
                "the run that wrote it had diverged"
            )


def _match_prefix(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], new: tuple[str, ...]
) -> dict[str, Tensor]:
    """Let models of one kind load from checkpoints of another; heads not asked for are left out."""
    inside = any(k.startswith(_PREFIX) for k in wanted)
    stored_inside = any(k.startswith(_PREFIX) for k in tensors)
    if inside == stored_inside and not (inside and new):
        return dict(tensors)
    if inside and stored_inside:
        return {k: v for k, v in tensors.items() if k.startswith(_PREFIX) or k in wanted}
    if inside:
        # The encoder alone; only classification models may get a new head.
        return {_PREFIX + k: v for k, v in tensors.items()}
    return {k.removeprefix(_PREFIX): v for k, v in tensors.items() if k.startswith(_PREFIX)}


def _complete_tied(
    state: dict[str, Tensor], wanted: Mapping[str, Tensor], where: str | os.PathLike[str]
) -> None:
    for key in wanted:
        other = _other_direction(key)
        if other is None:
            continue
        if key not in state and other in state:
            state[key] = state[other]
        elif key in state and other in state and not torch.equal(state[key], state[other]):
            raise CheckpointError(
                f"{where}: {key} and {other} differ, but the configuration says that the "
                "directions share their projections (bidirectional_weight_tie)"
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


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
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ConfigError(
            f"dtype must be 'auto' or a floating-point dtype such as 'bfloat16', not {dtype!r}"
        )
    return found


def say_licence(name: str | os.PathLike[str], config: LcPlmConfig, *, own: bool) -> None:
    """Say once under which licence the published weights are, unless these are `own` ones."""
    shape = {key: getattr(config, key) for key in PUBLISHED_SHAPE}
    if "amazon" in os.fspath(name).lower() or (shape == PUBLISHED_SHAPE and not own):
        warn_once(
            "the weights published with the LC-PLM paper are licensed CC-BY-NC-4.0: "
            "non-commercial use only, with attribution",
            key="models.licence",
        )

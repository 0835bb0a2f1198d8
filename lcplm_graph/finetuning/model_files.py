"""Files of a `PropertyModel`: encoder, head and target, written, and read where they are whole.

What is damaged, or does not belong together, raises `CheckpointError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from lcplm_graph.errors import CheckpointError
from lcplm_graph.finetuning.target import Target
from lcplm_graph.heads.property import PropertyHead
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.config_checks import Bounds, check_number
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.encoders import LcPlmEncoder


def save_encoder(encoder: Encoder, folder: Path) -> str:
    """Write an encoder's files and return the name of its family."""
    if isinstance(encoder, CompositionEncoder):
        return encoder.name
    if isinstance(encoder, LcPlmEncoder):
        base: Any = encoder.model.base_model
        base.save_pretrained(folder)
        return "lcplm"
    family = encoder.name.split(":")[0]
    model: Any = encoder.model
    model.save_pretrained(folder)
    return family if family in ("esm2", "esmc") else "esm2"


def save_head(head: PropertyHead, path: Path) -> None:
    """Write the weights of a head, wherever they are."""
    save_file({k: v.detach().cpu().contiguous() for k, v in head.state_dict().items()}, path)


def read_target(stored: Any, path: Path) -> Target:
    """Make the target that a file describes."""
    try:
        return Target.of(stored)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def check_head(options: Any, path: Path) -> None:
    """Compare the size of a head with its weights, before one of that size is made."""
    try:
        with safe_open(path, framework="pt") as file:
            sizes = [n for key in file.keys() for n in file.get_slice(key).get_shape()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not readable ({first_line(error)})") from error
    check_number("channels", options["channels"], Bounds(int, 0, max(sizes, default=0)))
    check_number("dropout", options["dropout"], Bounds(float, 0, 1))


def load_head(head: PropertyHead, path: Path) -> None:
    """Read the weights of a head, which must all be finite and fit it."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not readable ({first_line(error)})") from error
    if any(not torch.isfinite(v).all() for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"{path}: it holds numbers that are not finite")
    try:
        head.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: its tensors do not fit the head of {path.parent} ({first_line(error)})"
        ) from error

"""What an encoder computes with: float32, or bfloat16 where that is fast and known to be harmless.

In bfloat16 the parameters are bfloat16, and so is what goes from kernel to kernel; the residual
stream, the states of the scan, norms and sums are float32.  Features are float32 in any case.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch

from lcplm_graph.errors import ConfigError
from lcplm_graph.io import warn_once
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import ModelFolder
from lcplm_graph.models.names import Precision
from lcplm_graph.models.shipped import shipped_encoders, shipped_folder

BOUND = 0.01
"""Largest relative change of features that ``auto`` accepts, as the shipped check states it."""

_INSTRUCTIONS = ("amx-bf16", "avx512bf16")


def choose_dtype(name: str | Path, precision: str = "float32") -> torch.dtype:
    """Return the dtype that an encoder is loaded in.

    Parameters
    ----------
    name : str or path-like
        Of the encoder, as `load_encoder` takes it.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 where the processor has AMX or AVX512-BF16 and the encoder ships with
        a check by which features change by less than `BOUND`; else float32.

    Raises
    ------
    ConfigError
        If `precision` is not one of these.

    Examples
    --------
    >>> choose_dtype("composition", "auto")
    torch.float32
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision must be {', '.join(get_args(Precision))}, not {precision!r}")
    if precision == "auto":
        change = stated_change(name)
        precision = (
            "bfloat16" if change is not None and change < BOUND and multiplies_bfloat16()
            else "float32"
        )  # fmt: skip
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def load_in_precision(
    name: str | Path,
    precision: str = "float32",
    device: str | torch.device | None = None,
    **options: Any,
) -> Encoder:
    """Load an encoder as `load_encoder` does, in the dtype of `choose_dtype`."""
    if precision == "bfloat16" and torch.device(device or "cpu").type == "cpu":
        warn_of_software_bfloat16("float32")
    return load_encoder(name, device, choose_dtype(name, precision), **options)


@cache
def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware: AMX or AVX512-BF16."""
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:
        return False  # LLVM cannot tell on this platform
    return any(features.get(name, False) for name in _INSTRUCTIONS)


def warn_of_software_bfloat16(faster: str) -> None:
    """Say that another precision is faster, where a processor has no instructions for bfloat16."""
    if not multiplies_bfloat16():
        warn_once(
            "this processor has no instructions for bfloat16 and computes it in software, which "
            f"takes longer than float32, several times so in training; choose precision {faster}"
        )


def stated_change(name: str | Path) -> float | None:
    """Relative change of features by bfloat16 that a shipped encoder states, or None."""
    if str(name) not in shipped_encoders():
        return None
    path = ModelFolder(shipped_folder(str(name))).precision
    if not path.is_file():
        return None
    return float(json.loads(path.read_text(encoding="utf-8"))["relative_error"])

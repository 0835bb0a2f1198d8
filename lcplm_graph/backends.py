"""Which kernel runs, and why not a faster one.

A backend is chosen per call from the device and dtype of the data, or forced by a ``backend=``
argument or the environment variable ``LCPLM_BACKEND``.  Forcing one that cannot run is an error;
falling back to the slow reference warns once, by name.

On CUDA the order is triton, mamba_ssm, reference.  Triton stands first because it reads packed
streams in place in both directions, while mamba-ssm needs them padded, transposed and reversed and
cannot fuse the gate behind a sum; neither has been timed on a device by this project.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from lcplm_graph.errors import BackendError, UnknownNameError
from lcplm_graph.io import warn_once

BACKENDS = ("triton", "mamba_ssm", "numba", "reference")
"""Known backends, in order of preference where several can run."""

_PACKAGE_OF = {
    ("triton", "selective_scan"): "triton",
    ("triton", "causal_conv"): "triton",
    ("mamba_ssm", "selective_scan"): "mamba_ssm",
    ("mamba_ssm", "causal_conv"): "causal_conv1d",
    ("numba", "selective_scan"): "numba",
    ("numba", "causal_conv"): "numba",
    ("numba", "rms_norm"): "numba",
}

TRITON_CAPABILITY = (8, 0)
"""Oldest CUDA compute capability that Triton compiles for."""

OPS = ("selective_scan", "causal_conv")


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can run an operation.

    Attributes
    ----------
    op, backend : str
    usable : bool
    reason : str
        Why it can run, or why not.
    """

    op: str
    backend: str
    usable: bool
    reason: str


def backend_status(
    op: str, backend: str, device: str, dtype: torch.dtype = torch.float32, stateful: bool = False
) -> BackendStatus:
    """Say whether `backend` can run `op` on `device` (``"cpu"`` or ``"cuda"``) in `dtype`."""
    usable, reason = _judge(op, backend, device, dtype, stateful)
    return BackendStatus(op, backend, usable, reason)


def choose_backend(
    op: str, tensor: Tensor, *, requested: str | None = None, stateful: bool = False
) -> str:
    """Choose the backend for a call.

    Parameters
    ----------
    op : str
        One of `OPS`.
    tensor : Tensor
        The operand whose device and dtype decide.
    requested : str, optional
        A backend by name; default ``LCPLM_BACKEND``, default ``"auto"``.
    stateful : bool
        Whether an initial or final state is needed.

    Raises
    ------
    UnknownNameError
        If the requested backend is not known.
    BackendError
        If it is known and cannot run here.
    """
    name = requested or os.environ.get("LCPLM_BACKEND") or "auto"
    device, dtype = tensor.device.type, tensor.dtype
    if name != "auto":
        if name not in BACKENDS:
            raise UnknownNameError(f"unknown backend {name!r}; known: auto, {', '.join(BACKENDS)}")
        usable, reason = _judge(op, name, device, dtype, stateful, forced=True)
        if not usable:
            raise BackendError(f"backend {name!r} cannot run {op} here: {reason}")
        return name
    why_not = []
    for name in BACKENDS:
        usable, reason = _judge(op, name, device, dtype, stateful)
        if usable:
            break
        why_not.append(f"{name}: {reason}")
    if name == "reference":
        warn_once(
            f"{op} runs its slow reference on {device} in {dtype} ({'; '.join(why_not)})",
            key=f"backend.reference.{op}.{device}.{dtype}",
        )
    return name


def show_backends() -> None:
    """Print which backend runs each operation on each device here, and why not a faster one."""
    print(backend_report())


def backend_report() -> str:
    """Return what `show_backends` prints."""
    lines = []
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    for device in devices:
        for op in OPS:
            statuses = [backend_status(op, b, device) for b in BACKENDS]
            chosen = next(s for s in statuses if s.usable)
            lines.append(f"{device:5} {op:15} -> {chosen.backend} ({chosen.reason})")
            lines += [
                f"{'':24} not {s.backend}: {s.reason}"
                for s in statuses[: statuses.index(chosen)]
            ]  # fmt: skip
    if forced := os.environ.get("LCPLM_BACKEND"):
        lines.append(f"LCPLM_BACKEND={forced} overrides the choice")
    return "\n".join(lines)


def _judge(
    op: str, backend: str, device: str, dtype: torch.dtype, stateful: bool, forced: bool = False
) -> tuple[bool, str]:
    if backend == "reference":
        return True, "plain torch, step by step"
    package = _PACKAGE_OF[backend, op]
    version = _installed(package)
    if version is None:
        return False, f"{package} is not installed"
    if backend == "numba":
        if device != "cpu":
            return False, f"runs on the CPU only, the data are on {device}"
        if dtype == torch.float64:
            return False, "computes in float32, the data are float64"
        return True, f"numba {version}"
    if backend == "triton":
        return _judge_triton(device, dtype, version, forced)
    if device != "cuda":
        return False, f"runs on CUDA only, the data are on {device}"
    if stateful:
        return False, "cannot carry a state between chunks"
    return True, f"{package} {version}"


def _judge_triton(device: str, dtype: torch.dtype, version: str, forced: bool) -> tuple[bool, str]:
    if dtype == torch.float64:
        return False, "computes in float32, the data are float64"
    if device == "cpu":
        if not forced:
            return False, "runs on CUDA; on the CPU only by name, in Triton's interpreter"
        if not _truthy("TRITON_INTERPRET"):
            return False, "on the CPU it runs in Triton's interpreter only: set TRITON_INTERPRET=1"
        return True, f"triton {version}, interpreted"
    if device != "cuda":
        return False, f"runs on CUDA only, the data are on {device}"
    capability = torch.cuda.get_device_capability()
    if capability < TRITON_CAPABILITY:
        have, need = (".".join(map(str, x)) for x in (capability, TRITON_CAPABILITY))
        return False, f"needs compute capability {need}, the device has {have}"
    return True, f"triton {version}"


def _truthy(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "on", "yes", "y")


@cache
def _installed(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"

"""Which kernel runs, and why not a faster one.

A kernel is a module that computes one operation: ``run`` takes the operands, and
``supports(device, dtype, *, forced=False, **traits)`` says whether it can, and why or why not.
`KERNELS` knows them by ``OPERATION.BACKEND``; installed packages add theirs by entry points of the
group ``lcplm_graph.kernels``.

A kernel is chosen per call from the device and dtype of the data, or forced by a ``backend=``
argument or the environment variable ``LCPLM_BACKEND``.  Forcing one that cannot run is an error;
the variable says nothing to operations that have no backend of its name.  Falling back to the slow
reference warns once, by name.

On CUDA the order is triton, mamba_ssm, reference.  Triton stands first because it reads packed
streams in place in both directions, while mamba-ssm needs them padded, transposed and reversed and
cannot fuse the gate behind a sum; neither has been timed on a device by this project.  Kernels of
other packages stand behind ours and before the reference.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lcplm_graph.errors import BackendError, PluginError, UnknownNameError
from lcplm_graph.io import warn_once
from lcplm_graph.registry import Registry

BACKENDS = ("triton", "mamba_ssm", "numba", "torch", "reference")
"""Our backends, in order of preference where several can run."""

_OURS = {
    f"{op}.{backend}": f"lcplm_graph.ops.{op}.{module}"
    for op, modules in {
        "selective_scan": {"triton": "triton", "mamba_ssm": "mamba", "numba": "cpu"},
        "causal_conv": {"triton": "triton", "mamba_ssm": "mamba", "numba": "cpu"},
        "rms_norm": {"numba": "cpu", "torch": "torch"},
        "random_walk": {"numba": "cpu"},
    }.items()
    for backend, module in {**modules, "reference": "reference"}.items()
}

KERNELS: Registry[ModuleType] = Registry("kernel", "lcplm_graph.kernels", **_OURS)
"""All kernels by ``OPERATION.BACKEND``."""


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


def operations() -> tuple[str, ...]:
    """Return the names of all operations."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in KERNELS.names()))


def backends_of(op: str) -> tuple[str, ...]:
    """Return the backends of an operation in order of preference."""
    pairs = [name.partition(".") for name in KERNELS.names()]
    known = [backend for name, _, backend in pairs if name == op]
    others = [backend for backend in known if backend not in BACKENDS]
    ours = [backend for backend in BACKENDS if backend in known]
    return (*ours[:-1], *others, *ours[-1:])


def backend_status(
    op: str, backend: str, device: str, dtype: torch.dtype = torch.float32, **traits: Any
) -> BackendStatus:
    """Say whether `backend` can run `op` on `device` (``"cpu"`` or ``"cuda"``) in `dtype`."""
    return BackendStatus(op, backend, *_judge(op, backend, device, dtype, False, traits))


def choose_backend(
    op: str, tensor: Tensor | None = None, *, requested: str | None = None, **traits: Any
) -> str:
    """Choose the backend for a call.

    Parameters
    ----------
    op : str
        One of `operations`.
    tensor : Tensor, optional
        The operand whose device and dtype decide; default: arrays, which lie on the CPU.
    requested : str, optional
        A backend by name; default ``LCPLM_BACKEND``, default ``"auto"``.
    **traits
        What else decides, as the kernels of the operation know it.

    Raises
    ------
    UnknownNameError
        If the requested backend is not known.
    BackendError
        If it is known and cannot run here.
    """
    name = requested or os.environ.get("LCPLM_BACKEND") or "auto"
    device = "cpu" if tensor is None else tensor.device.type
    dtype = torch.float32 if tensor is None else tensor.dtype
    if name != "auto" and (f"{op}.{name}" in KERNELS or _must_exist(op, name, requested)):
        usable, reason = _judge(op, name, device, dtype, True, traits)
        if not usable:
            raise BackendError(f"backend {name!r} cannot run {op} here: {reason}")
        return name
    why_not = []
    for name in backends_of(op):
        usable, reason = _judge(op, name, device, dtype, False, traits)
        if usable:
            break
        why_not.append(f"{name}: {reason}")
    else:
        raise BackendError(f"nothing can run {op} on {device} in {dtype}: {'; '.join(why_not)}")
    if name == "reference":
        warn_once(
            f"{op} runs its slow reference on {device} in {dtype} ({'; '.join(why_not)})",
            key=f"backend.reference.{op}.{device}.{dtype}",
        )
    return name


def choose_kernel(
    op: str, tensor: Tensor | None = None, *, requested: str | None = None, **traits: Any
) -> ModuleType:
    """Return the module whose ``run`` computes a call; see `choose_backend`.

    What was chosen once is remembered: an encoder asks for every operation of every layer.
    """
    forced = requested or os.environ.get("LCPLM_BACKEND")
    place = None if tensor is None else (tensor.device.type, tensor.dtype)
    key = (op, requested, forced, place, KERNELS.changes, *traits.values())
    kernel = _chosen.get(key)
    if kernel is None:
        name = choose_backend(op, tensor, requested=requested, **traits)
        _chosen[key] = kernel = KERNELS[f"{op}.{name}"]
    return kernel


_chosen: dict[tuple[Any, ...], ModuleType] = {}


def show_backends() -> None:
    """Print which backend runs each operation on each device here, and why not a faster one."""
    print(backend_report())


def backend_report() -> str:
    """Return what `show_backends` prints."""
    lines = []
    for device in ["cpu"] + (["cuda"] if torch.cuda.is_available() else []):
        for op in operations():
            statuses = [backend_status(op, b, device) for b in backends_of(op)]
            chosen = next((s for s in statuses if s.usable), None)
            if chosen is None:
                continue  # random walks run on the CPU whatever the device
            lines.append(f"{device:5} {op:15} -> {chosen.backend} ({chosen.reason})")
            lines += [
                f"{'':24} not {s.backend}: {s.reason}"
                for s in statuses[: statuses.index(chosen)]
            ]  # fmt: skip
    if forced := os.environ.get("LCPLM_BACKEND"):
        lines.append(f"LCPLM_BACKEND={forced} overrides the choice")
    return "\n".join(lines)


def _must_exist(op: str, name: str, requested: str | None) -> bool:
    """Raise unless the operation may do without a kernel of this name; then it chooses itself."""
    known = dict.fromkeys([*BACKENDS, *(k.partition(".")[2] for k in KERNELS.names())])
    if name not in known:
        raise UnknownNameError(f"unknown backend {name!r}; known: auto, {', '.join(known)}")
    if requested:
        raise BackendError(
            f"backend {name!r} cannot run {op} here: it has {', '.join(backends_of(op))} only"
        )
    return False


def _judge(
    op: str, backend: str, device: str, dtype: torch.dtype, forced: bool, traits: dict[str, Any]
) -> tuple[bool, str]:
    try:
        kernel = KERNELS[f"{op}.{backend}"]
    except PluginError as error:
        if forced:
            raise
        return False, str(error)
    return kernel.supports(device, dtype, forced=forced, **traits)


# What the kernels' `supports` have in common.

TRITON_CAPABILITY = (8, 0)
"""Oldest CUDA compute capability that Triton compiles for."""


def numba_supports(device: str, dtype: torch.dtype) -> tuple[bool, str]:
    """Whether a Numba kernel runs: on the CPU, in anything but float64."""
    if device != "cpu":
        return False, f"runs on the CPU only, the data are on {device}"
    if dtype == torch.float64:
        return False, "computes in float32, the data are float64"
    return True, f"numba {_installed('numba')}"


def cuda_package_supports(package: str, device: str) -> tuple[bool, str]:
    """Whether a kernel of a package that runs on CUDA only can run."""
    version = _installed(package)
    if version is None:
        return False, f"{package} is not installed"
    if device != "cuda":
        return False, f"runs on CUDA only, the data are on {device}"
    return True, f"{package} {version}"


def triton_supports(device: str, dtype: torch.dtype, forced: bool) -> tuple[bool, str]:
    """Whether a Triton kernel runs: on CUDA, and by name on the CPU in Triton's interpreter."""
    version = _installed("triton")
    if version is None:
        return False, "triton is not installed"
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

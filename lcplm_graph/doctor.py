"""``lcplm doctor``: what is installed, which kernel runs, and why not a faster one."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import torch

import lcplm_graph
from lcplm_graph.backends import backend_report
from lcplm_graph.command import run_command

PACKAGES = (
    "torch", "numba", "llvmlite", "torch-geometric", "lightning", "transformers", "pyarrow",
    "triton", "mamba-ssm", "causal-conv1d", "ogb", "ray",
)  # fmt: skip


def report() -> str:
    """Return the text that ``lcplm doctor`` prints."""
    lines = [
        f"lcplm-graph {lcplm_graph.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}",
        f"CPU threads: torch {torch.get_num_threads()}, numba {numba.get_num_threads()}; "
        f"CUDA: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}",
        "",
    ]
    lines += [f"  {name:16} {_version(name)}" for name in PACKAGES]
    return "\n".join([*lines, "", "backends", backend_report()])


@dataclass(frozen=True)
class DoctorOptions:
    """``lcplm doctor`` has no options."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; return the exit status."""
    return run_command("doctor", DoctorOptions, lambda _: print(report()), argv, str(__doc__))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())

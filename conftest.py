"""Triton has wheels for Linux only; elsewhere its kernels are not searched for doctests."""

from importlib.util import find_spec

_KERNELS = [
    "lcplm_graph/ops/triton_*.py",
    "lcplm_graph/ops/*/triton*.py",
    "tests/ops/triton_*.py",
]
collect_ignore_glob = [] if find_spec("triton") else _KERNELS

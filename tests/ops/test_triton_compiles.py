"""The Triton kernels compile for GPUs that are not here, into the code they are written for.

The interpreter accepts more than the compiler does and says nothing about layouts.  Compiling needs
no device: Triton brings its own assembler.
"""

from __future__ import annotations

import re

import pytest

pytest.importorskip("triton")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lcplm_graph.ops.causal_conv import triton_kernels as conv
from lcplm_graph.ops.selective_scan import triton_gradients as gradients
from lcplm_graph.ops.selective_scan import triton_kernels as kernels
from lcplm_graph.ops.selective_scan import triton_ops as scan

CHANNELS = {"CHANNELS": 128}
FORWARD = {"ROWS": scan.ROWS, "N": 16, "STATES": 16, **CHANNELS}
BACKWARD = {**FORWARD, "TOKENS": scan.TOKENS, "ROWS": 2, "CHANNELS": scan.CHANNELS_BACKWARD}
FUSED = {"HAS_RESIDUAL": True, "GATED": True}
CARRY = {"TILES": scan.CARRIED_TILES, **CHANNELS, "HAS_INITIAL": True}
CONV = {"TOKENS": 16, "TAPS": 4, **CHANNELS}
CASES = {
    "tile_ends": (kernels.tile_ends, FORWARD),
    "carry_states": (kernels.carry_states, CARRY),
    "outputs": (kernels.outputs, FORWARD | FUSED),
    "tile_ends_backward": (gradients.tile_ends_backward, FORWARD | {"GATED": True}),
    "gradients": (gradients.gradients, BACKWARD | FUSED),
    "convolution": (conv.convolution, CONV | {"ACTIVATE": True}),
    "activation_backward": (conv.activation_backward, CONV),
}
LOW_PRECISION = ("delta", "z", "x", "dz", "ddelta")


def compile_for(kernel, constants, capability: int):
    """Compile as a launch with 16-byte aligned tensors would."""
    signature, attributes = {}, {}
    for i, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name.startswith("ld_") or name in ("tokens", "channels", "n_states"):
            signature[name] = "i32"
        else:
            kind = "i32" if name in ("table", "first_tile") else "fp32"
            signature[name] = f"*{'bf16' if name in LOW_PRECISION else kind}"
            attributes[(i,)] = [["tt.divisibility", 16]]
    indices = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    warps = constants["CHANNELS"] // 32
    source = ASTSource(kernel, signature, indices, attributes)
    return triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": warps})


@pytest.mark.parametrize("name", CASES)
def test_compiles_with_one_channel_and_all_its_states_inside_a_thread(name: str) -> None:
    kernel, constants = CASES[name]
    reverse = name in ("carry_states", "outputs", "activation_backward")
    compiled = compile_for(kernel, constants | {"REVERSE": reverse}, 90 if reverse else 80)
    warps = constants["CHANNELS"] // 32
    layouts = re.findall(r"blocked<\{(sizePerThread = \[1, .*?)\}>", compiled.asm["ttgir"])
    assert layouts
    for layout in layouts:
        numbers = [[int(n) for n in re.findall(r"\d+", part)] for part in layout.split("=")[1:4]]
        per_thread, threads, in_block = numbers
        assert set(per_thread) == {1}
        assert threads == [1] * (len(threads) - 1) + [32]
        assert in_block == [1] * (len(in_block) - 1) + [warps]
    # Only the sums over channels (gradients of B and C) may cross threads.
    assert ("shfl" in compiled.asm["ptx"]) == (name == "gradients")

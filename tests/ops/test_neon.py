"""The CPU kernels compile for 64-bit ARM, to fused multiply-adds of NEON and to nothing of x86."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from llvmlite import binding as llvm
from numba import njit
from numba.core import config as numba_config

from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.causal_conv.kernels import conv_forward
from lcplm_graph.ops.rms_norm import rms_norm
from lcplm_graph.ops.rms_norm.kernels import norm_forward
from lcplm_graph.ops.selective_scan import selective_scan
from lcplm_graph.ops.selective_scan.kernels import scan_forward

# How x86 counts references to arrays; LLVM puts it in when it emits code, after Numba's IR.
COUNT = "@llvm.x86.atomic.sub.cc.i64"
SAME_COUNT = """
define linkonce_odr i8 @sub_and_test(ptr %counter, i64 %by, i32 %condition) {
  %before = atomicrmw sub ptr %counter, i64 %by seq_cst
  %is_zero = icmp eq i64 %before, %by
  %result = zext i1 %is_zero to i8
  ret i8 %result
}
"""
TRIPLE, PROCESSOR = "aarch64-unknown-linux-gnu", "neoverse-n1"


def assembly(kernel: Any) -> str:
    """Compile a kernel that was called here for another machine."""
    signature = kernel.signatures[0]
    # One thread: what a job does is the same code.
    options = {k: v for k, v in kernel.targetoptions.items() if k in ("fastmath", "nogil")}
    plain = njit(**options)(kernel.py_func)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba_config, "OPT", numba_config._OptLevel("0"))
        plain.compile(signature)
    text = plain.inspect_llvm(signature)
    if COUNT in text:
        text = (
            re.sub(rf"declare .*{COUNT}.*", "", text).replace(COUNT, "@sub_and_test") + SAME_COUNT
        )
    assert "llvm.x86" not in text
    text = re.sub(r'"target-(cpu|features)"="[^"]*"', "", text)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=PROCESSOR, opt=3)
    layout = f'target datalayout = "{machine.target_data}"'
    text = re.sub(r'target datalayout = ".*"', layout, text)
    text = re.sub(r'target triple = ".*"', f'target triple = "{TRIPLE}"', text)
    module = llvm.parse_assembly(text)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_assembly(module)


def _norm() -> Any:
    rms_norm(torch.ones(2, 16), torch.ones(16), 1e-5, backend="numba")
    return norm_forward


def _conv() -> Any:
    cu = torch.tensor([0, 3], dtype=torch.int32)
    causal_conv(
        torch.ones(3, 16), torch.ones(16, 4), torch.ones(16), cu_seqlens=cu, backend="numba"
    )
    return conv_forward


def _scan() -> Any:
    cu = torch.tensor([0, 3], dtype=torch.int32)
    u, states = torch.ones(3, 16), torch.ones(3, 4)
    selective_scan(
        u, u, -torch.ones(16, 4), states, states, torch.ones(16), cu_seqlens=cu,
        backend="numba",
    )  # fmt: skip
    return scan_forward


@pytest.mark.parametrize("called", [_norm, _conv, pytest.param(_scan, marks=pytest.mark.slow)])
def test_it_compiles_for_neon(called: Any) -> None:
    text = assembly(called())
    fused = re.findall(r"\bfml[as]\s+v\d+\.4s", text)
    assert len(fused) >= 4  # a vector of 16 lanes is four registers of 4

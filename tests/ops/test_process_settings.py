"""What depends on the settings of the process: narrower CPUs, the C library's memory."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lcplm_graph.heads.members import untrained
from lcplm_graph.process import seeded
from lcplm_graph.training.fit_decoder import new_decoder

HASWELL = "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+sse4.2"

NARROW = """
import torch
from lcplm_graph.ops.causal_conv import causal_conv, kernels as conv_kernels
from lcplm_graph.ops.selective_scan import kernels as scan_kernels, selective_scan

torch.manual_seed(0)
cu = torch.tensor([0, 1, 20, 60], dtype=torch.int32)
channels, states = 32, 16
shapes = [(60, channels), (60, channels), (channels, states), (60, states), (60, states)]
u, delta, A, B, C = (torch.randn(shape) for shape in shapes)
z, residual, weight = torch.randn(60, channels), torch.randn(60, channels), torch.randn(channels, 4)
inputs = [u, delta, -A.abs() - 0.1, B, C, z, residual, weight]


def run(inputs, backend):
    leaves = [x.detach().requires_grad_() for x in inputs]
    u, delta, A, B, C, z, residual, weight = leaves
    v = causal_conv(u, weight, cu_seqlens=cu, backend=backend, reverse=True)
    y = selective_scan(
        v, delta, A, B, C, cu_seqlens=cu, z=z, residual=residual, reverse=True, backend=backend
    )
    return [y, *torch.autograd.grad((y * y).sum(), leaves)]


for got, exact in zip(
    run(inputs, "numba"), run([x.double() for x in inputs], "reference"), strict=True
):
    assert float((got - exact).norm() / exact.norm()) < 1e-5
kernels = (
    scan_kernels.scan_forward, scan_kernels.scan_backward,
    conv_kernels.conv_forward, conv_kernels.conv_backward,
)
code = "".join(asm for kernel in kernels for asm in kernel.inspect_asm().values())
print("ymm" in code, "zmm" in code)
"""

REUSE = """
import resource, sys, torch
from lcplm_graph.process import keep_freed_memory, reused_memory

def resident():
    return 4096 * int(open("/proc/self/statm").read().split()[1])

def faults():
    for i in range(20):
        if i == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x = torch.ones(25_000_000)
        del x
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
before = faults()
with reused_memory():
    within = faults()
    held = resident()
returned = held - resident()
keep_freed_memory()
with reused_memory():
    pass
print(before, within, returned, faults())
"""

RETURN = """
import torch
from lcplm_graph.process import keep_freed_memory, return_freed_memory

def resident():
    return 4096 * int(open("/proc/self/statm").read().split()[1])

keep_freed_memory()
blocks = [torch.ones(250_000) for _ in range(200)]
del blocks[::2]
before = resident()
return_freed_memory()
print(before - resident(), sum(block.sum().item() for block in blocks))
"""


def output_of(script: str, *arguments: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 features")
def test_kernels_on_a_cpu_without_avx512(tmp_path) -> None:
    environment = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": HASWELL,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    assert output_of(NARROW, **environment).split() == ["True", "False"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again() -> None:
    before, within, returned, kept = map(int, output_of(REUSE).split())
    assert before > 100
    assert within < 100
    assert returned > 90e6
    assert kept < 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a call of glibc")
def test_freed_memory_between_tensors_is_returned() -> None:
    returned, total = output_of(RETURN).split()
    assert int(returned) > 0.9 * 100 * 1e6
    assert float(total) == 100 * 250_000


def _weights(seed):
    decoder, head = new_decoder(16, seed), untrained(seed, in_channels=16)
    parts = (*decoder.state_dict().values(), *head.state_dict().values())
    return torch.cat([p.flatten().double() for p in parts]).sum().item()


def test_untrained_models_of_several_threads_have_the_weights_of_their_seeds():
    seeds = [*range(6)] * 4
    want = [_weights(seed) for seed in seeds]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(_weights, seeds)) == want
    finally:
        sys.setswitchinterval(interval)
    assert torch.equal(torch.rand(3), expected)


def test_seeding_by_a_thread_does_not_hold_up_a_forked_process():
    begun, end = threading.Event(), threading.Event()

    def hold():
        with seeded(0):
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(20)
        with seeded(1):
            os._exit(0)
    _, status = os.waitpid(child, 0)
    end.set()
    thread.join()
    assert status == 0

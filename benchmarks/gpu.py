"""The encoder on a CUDA GPU beside its peers, as ratios: one command, one dated table.

    python benchmarks/gpu.py [--shapes 130m 790m] [--lengths 512 ... 65536]

docs/gpu.md has the table of an H200.  Where there is no GPU, every line but the mamba-ssm row's
kernels runs on the CPU in the interpreter of Triton, by a toy whose times mean nothing:

    TRITON_INTERPRET=1 python benchmarks/gpu.py --tiny

Weights and activations are bfloat16, states and the residual stream float32.  ESM-2 has as many
parameters as the encoder it stands beside, and no padding.  Times are interleaved medians.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable

import torch
from encoder import equal_size_esm
from timing import interleaved, table
from torch import Tensor, nn

from lcplm_graph import LcPlmConfig, LcPlmForMaskedLM
from lcplm_graph.models.bimamba import BiMamba
from lcplm_graph.ops.selective_scan import selective_scan
from lcplm_graph.tokens.packing import cu_seqlens_of

ESM_SHAPES = {"130m": (640, 30, 20), "790m": (1280, 33, 20), "tiny": (8, 1, 2)}
"""Width, layers and heads of the ESM-2 of about this size."""

LENGTHS = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
TOKENS = 65536
SCAN_PASSES = 7
"""Passes over a (tokens, channels) float32 tensor by one gated forward scan with a residual: u and
delta twice, residual, gate and output."""
BOUNDARY_PASSES = 4
"""The same for each state at the boundaries of tiles: written and read, then again once carried."""


class TwoPass(nn.Module):
    """BiMamba-S from two whole blocks of mamba-ssm with tied projections, the second flipped."""

    def __init__(self, config: LcPlmConfig) -> None:
        from mamba_ssm.modules.mamba_simple import Mamba

        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.norms = nn.ModuleList(nn.RMSNorm(config.d_model) for _ in range(config.n_layer))
        self.forwards = nn.ModuleList(Mamba(config.d_model) for _ in range(config.n_layer))
        self.reverses = nn.ModuleList(Mamba(config.d_model) for _ in range(config.n_layer))
        for one, other in zip(self.forwards, self.reverses, strict=True):
            other.in_proj, other.out_proj = one.in_proj, one.out_proj

    def forward(self, ids: Tensor) -> Tensor:
        """Last hidden states of a batch without padding."""
        hidden = self.embedding(ids).float()
        for norm, one, other in zip(self.norms, self.forwards, self.reverses, strict=True):
            x = norm(hidden.to(norm.weight.dtype))
            hidden = hidden + one(x).float() + other(x.flip(1)).flip(1).float()
        return hidden


class Machine:
    """The device, how to wait for it, and what it can do at most."""

    def __init__(self, tiny: bool) -> None:
        self.device = "cpu" if tiny else "cuda"
        self.name = "CPU, interpreted" if tiny else torch.cuda.get_device_name()
        self.repeats, self.size = (1, 64) if tiny else (5, 8192)

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def times(self, cases: dict[str, Callable[[], object]]) -> dict[str, float | None]:
        """Median seconds of each case, None for those that run out of memory."""
        fitting = {name: self.waiting(run) for name, run in cases.items() if self.fits(run)}
        measured = interleaved(fitting, self.repeats)
        return {name: measured.get(name) for name in cases}

    def waiting(self, run: Callable[[], object]) -> Callable[[], object]:
        """Return the same, finishing when the device is done."""

        def finished() -> None:
            run()
            self.wait()

        return finished

    def fits(self, run: Callable[[], object]) -> bool:
        """Whether it runs without running out of memory."""
        try:
            run()
            self.wait()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return False
        return True

    def bandwidth(self) -> float:
        """Bytes per second, read plus written, of a large copy."""
        x = torch.empty(self.size * self.size, device=self.device)
        y = torch.empty_like(x)
        return 2 * 4 * x.numel() / self.times({"copy": lambda: y.copy_(x)})["copy"]

    def flops(self) -> float:
        """Operations per second of a large bfloat16 matrix product."""
        a = torch.randn(self.size, self.size, device=self.device).bfloat16()
        return 2 * self.size**3 / self.times({"product": lambda: a @ a})["product"]


def encoders(shape: str, machine: Machine) -> dict[str, nn.Module]:
    """Ours and its peers with random weights."""
    torch.manual_seed(0)
    toy = {"d_model": 4, "n_layer": 1, "ssm_cfg": {"d_state": 2}}
    config = LcPlmConfig(**toy) if shape == "tiny" else LcPlmConfig.from_preset(shape)
    ours = LcPlmForMaskedLM(config)
    size = sum(p.numel() for p in ours.parameters())
    models: dict[str, nn.Module] = {"ours": ours, "esm": equal_size_esm(size, *ESM_SHAPES[shape])}
    if importlib.util.find_spec("mamba_ssm"):
        models["mamba"] = TwoPass(config)
    for name, model in models.items():
        print(f"{shape}, {name}: {sum(p.numel() for p in model.parameters()):,} parameters")
    return {name: m.to(machine.device).bfloat16() for name, m in models.items()}


def hidden_states(name: str, model: nn.Module, ids: Tensor, cu: Tensor) -> Tensor:
    """Last hidden states of any of the encoders."""
    if name == "ours":
        return model.bimamba(ids.view(1, -1), cu_seqlens=cu).last_hidden_state
    return model.esm(ids).last_hidden_state if name == "esm" else model(ids)


def encode(name: str, model: nn.Module, ids: Tensor, cu: Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.no_grad():
            hidden_states(name, model, ids, cu)

    return run


def train(name: str, model: nn.Module, ids: Tensor, cu: Tensor) -> Callable[[], object]:
    """Forward and backward from the last hidden states; the heads are alike and left out."""

    def run() -> None:
        model.zero_grad()
        hidden_states(name, model, ids, cu).float().square().mean().backward()

    return run


def bench_encoders(shape: str, lengths: list[int], tokens: int, machine: Machine) -> list[tuple]:
    models, flops = encoders(shape, machine), machine.flops()
    weights = [p for name, p in models["ours"].named_parameters() if "proj.weight" in name]
    products = 2 * sum(p.numel() for p in weights)
    rows = []
    for length in lengths:
        streams = max(1, tokens // length)
        ids = torch.randint(4, 24, (streams, length), device=machine.device)
        cu = cu_seqlens_of([length] * streams).to(machine.device)
        for what, case, work in (("forward", encode, 1), ("training", train, 3)):
            t = machine.times({n: case(n, m, ids, cu) for n, m in models.items()})
            ours, cells = t["ours"], []
            cells.append("out of memory" if ours is None else f"{ids.numel() / ours:,.0f}")
            cells.append(
                "" if ours is None else f"{work * products * ids.numel() / flops / ours:.0%}"
            )
            cells += [ratio(t.get(peer, 0.0), ours) for peer in ("mamba", "esm")]
            rows.append((shape, what, f"{streams} x {length}", *cells))
            print(*rows[-1], sep=", ", flush=True)
    return rows


def ratio(peer: float | None, ours: float | None) -> str:
    if peer == 0.0:
        return "not installed"
    if peer is None or ours is None:
        return "out of memory"
    return f"{peer / ours:.2f}x"


def bench_scan(channels: int, n_states: int, tokens: int, machine: Machine) -> str:
    """One gated scan with a residual: the bytes it has to move against the copy bandwidth."""
    from lcplm_graph.ops.selective_scan import triton_ops

    shapes = [(tokens, channels)] * 2 + [(channels, n_states)] + [(tokens, n_states)] * 2
    u, delta, A, B, C = (torch.randn(s, device=machine.device) for s in shapes)
    cu, D = cu_seqlens_of([tokens]).to(machine.device), A[:, 0].contiguous()

    def run() -> None:
        with torch.no_grad():
            selective_scan(u, delta, -A.abs(), B, C, D, cu_seqlens=cu, residual=u, z=delta)

    seconds = machine.times({"scan": run})["scan"]
    at_boundaries = BOUNDARY_PASSES * n_states / triton_ops.TOKENS
    least = 4 * tokens * channels * (SCAN_PASSES + at_boundaries)
    share = least / seconds / machine.bandwidth()
    return f"scan, one stream of {tokens} x {channels} x {n_states}: {share:.0%} of copy bandwidth"


def longest_stream(model: nn.Module, case, machine: Machine, limit: int) -> str:
    """Longest single stream that fits, in steps of a quarter octave."""
    best, length = 0, 8 if machine.device == "cpu" else 16384
    while length <= limit:
        ids = torch.randint(4, 24, (1, length), device=machine.device)
        cu = cu_seqlens_of([length]).to(machine.device)
        if not machine.fits(case("ours", model, ids, cu)):
            return f"{best:,} tokens"
        best, length = length, int(length * 2**0.25)
    return f"at least {best:,} tokens (where the search ends)"


def versions() -> str:
    found = []
    for package in ("torch", "triton", "transformers", "mamba-ssm", "causal-conv1d", "numpy"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["130m", "790m"], choices=list(ESM_SHAPES))
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of a batch")
    parser.add_argument("--longest", type=int, default=2**22, help="where that search ends")
    parser.add_argument("--tiny", action="store_true", help="a toy, on the CPU, interpreted")
    options = parser.parse_args()
    if options.tiny:
        options.shapes, options.lengths, options.tokens, options.longest = ["tiny"], [4, 8], 8, 9
        os.environ["LCPLM_BACKEND"] = "triton"
    elif not torch.cuda.is_available():
        raise SystemExit("needs a CUDA device; --tiny runs the script on the CPU, for its own test")
    machine = Machine(options.tiny)
    print(f"{datetime.date.today()}, {machine.name}, {versions()}\n")
    rows, notes = [], []
    for shape in options.shapes:
        rows += bench_encoders(shape, options.lengths, options.tokens, machine)
        model = encoders(shape, machine)["ours"]
        mixer = next(m for m in model.modules() if isinstance(m, BiMamba)).mamba_fwd
        notes.append(bench_scan(mixer.d_inner, mixer.d_state, options.tokens, machine))
        for what, case in (("forward", encode), ("training", train)):
            notes.append(
                f"{shape}, longest stream, {what}: "
                + longest_stream(model, case, machine, options.longest)
            )
    header = ("shape", "", "batch", "tokens/s", "of matrix-product ceiling", "mamba-ssm two-pass /"
              " ours", "EsmModel (sdpa) / ours")  # fmt: skip
    print("\n" + table(rows, header) + "\n\n" + "\n".join(notes))
    print(f"\nceilings: copy {machine.bandwidth() / 1e9:,.0f} GB/s, "
          f"bfloat16 products {machine.flops() / 1e12:,.2f} Tflop/s")  # fmt: skip


if __name__ == "__main__":
    main()

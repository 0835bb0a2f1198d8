"""The encoder and its kernels side by side with their peers, as ratios.

    python benchmarks/encoder.py [--quick]

Needs the extras of the test suite and mambapy (pip install mambapy) for one row.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import importlib.util
import platform

import torch
from roofline import Rates, rates, scan_seconds
from timing import interleaved, table
from transformers import EsmConfig, EsmForMaskedLM

from lcplm_graph import LcPlmConfig, LcPlmForMaskedLM
from lcplm_graph.models.bimamba import BiMamba
from lcplm_graph.models.precision import multiplies_bfloat16
from lcplm_graph.ops.selective_scan import selective_scan
from lcplm_graph.process import keep_freed_memory
from lcplm_graph.tokens.packing import cu_seqlens_of


def scan_operands(streams: int, length: int, channels: int = 512, n_states: int = 16):
    generator = torch.Generator().manual_seed(0)
    tokens = streams * length

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "u": normal(tokens, channels), "delta": normal(tokens, channels),
        "A": -normal(channels, n_states).abs() - 0.1, "B": normal(tokens, n_states),
        "C": normal(tokens, n_states), "D": normal(channels),
    }, cu_seqlens_of([length] * streams)  # fmt: skip


def torch_loop(operands: dict[str, torch.Tensor], streams: int) -> torch.Tensor:
    """Scan in a torch loop over time, batched over streams."""
    u, delta, B, C = (
        operands[k].unflatten(0, (streams, -1)).transpose(0, 1) for k in ("u", "delta", "B", "C")
    )
    dt, A = torch.nn.functional.softplus(delta), operands["A"]
    h, ys = torch.zeros(streams, *A.shape), []
    for t in range(len(u)):
        h = torch.exp(dt[t, ..., None] * A) * h + (dt[t] * u[t])[..., None] * B[t, :, None]
        ys.append((h * C[t, :, None]).sum(-1) + operands["D"] * u[t])
    return torch.stack(ys, 1)


def mambapy_scan(operands: dict[str, torch.Tensor], streams: int) -> torch.Tensor:
    """Scan by mambapy, in parallel over time; holds (B, L, E, N) in memory."""
    from mambapy.pscan import pscan

    u, delta, B, C = (operands[k].unflatten(0, (streams, -1)) for k in ("u", "delta", "B", "C"))
    dt = torch.nn.functional.softplus(delta)
    decay = torch.exp(dt[..., None] * operands["A"])
    h = pscan(decay, (dt * u)[..., None] * B[:, :, None])
    return (h @ C[..., None])[..., 0] + operands["D"] * u


def backward(run, operands: dict[str, torch.Tensor]) -> None:
    leaves = {k: v.detach().requires_grad_() for k, v in operands.items()}
    run(leaves).sum().backward()


def bench_scan(repeats: int) -> list[tuple]:
    streams, length = 4, 512
    operands, cu = scan_operands(streams, length)
    ours = lambda x: selective_scan(**x, cu_seqlens=cu)  # noqa: E731
    rows = []
    with torch.no_grad():
        t = interleaved(
            {"ours": lambda: ours(operands), "loop": lambda: torch_loop(operands, streams)}, repeats
        )
    rows.append(("scan forward, 4 x 512 x 512 x 16", "torch loop over time", t["loop"] / t["ours"]))
    if importlib.util.find_spec("mambapy"):
        t = interleaved(
            {
                "ours": lambda: backward(ours, operands),
                "peer": lambda: backward(lambda x: mambapy_scan(x, streams), operands),
            },
            repeats,
        )
        rows.append(("scan forward + backward", "mambapy pscan", t["peer"] / t["ours"]))
    return rows


def bench_roofline(repeats: int) -> list[tuple]:
    """Compare the scan with the least time of its arithmetic, on one thread."""
    streams, length, channels, n_states = 4, 512, 512, 16
    operands, cu = scan_operands(streams, length, channels, n_states)

    def forward() -> None:
        with torch.no_grad():
            selective_scan(**operands, cu_seqlens=cu)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rate = rates()
    cases = {
        "forward": forward,
        "forward + backward": lambda: backward(
            lambda x: selective_scan(**x, cu_seqlens=cu), operands
        ),
    }
    t = interleaved(cases, 3 * repeats)
    torch.set_num_threads(threads)
    print(
        f"one core: {rate.products / 1e9:.2f} G FMAs, or {rate.arithmetic / 1e9:.2f} G operations "
        f"half of which are FMAs, of 16 floats a second ({32 * rate.products / 1e9:.0f} GF/s)"
    )
    rows = []
    for name, seconds in t.items():
        both = name != "forward"
        least = scan_seconds(streams * length, channels, n_states, rate, both)
        elements = streams * length * channels * n_states
        note = f"scan {name}, one thread; {seconds / elements * 1e9:.2f} ns an element"
        rows.append((note, "its roofline", least / seconds))
    return rows


def bench_layer(repeats: int) -> list[tuple]:
    torch.manual_seed(0)
    mixer = BiMamba(LcPlmConfig.from_preset("8m"))
    two_pass = BiMamba(LcPlmConfig.from_preset("8m", share_projections=False))
    two_pass.load_state_dict(mixer.state_dict())
    x, cu = torch.randn(8192, mixer.mamba_fwd.in_proj.in_features), cu_seqlens_of([1024] * 8)
    with torch.no_grad():
        t = interleaved({"ours": lambda: mixer(x, cu), "peer": lambda: two_pass(x, cu)}, repeats)
    return [
        ("layer with shared projections, 8 x 1024", "the same in two passes", t["peer"] / t["ours"])
    ]


def equal_size_esm(
    parameters: int, width: int = 320, layers: int = 6, heads: int = 20
) -> EsmForMaskedLM:
    """ESM-2, by default of the 8M shape, its feed-forward width tuned to a number of parameters."""
    config = EsmConfig(
        vocab_size=33, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * width, position_embedding_type="rotary", token_dropout=True,
        pad_token_id=1, mask_token_id=32, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
    )  # fmt: skip
    with torch.device("meta"):
        base = sum(p.numel() for p in EsmForMaskedLM(config).parameters())
    config.intermediate_size += round((parameters - base) / (layers * (2 * width + 1)))
    return EsmForMaskedLM(config).eval()


def roofline_seconds(model: LcPlmForMaskedLM, tokens: int, flops: float, core: Rates) -> float:
    """Time of the encoder's matrix products and scans alone, at the measured peaks."""
    config = model.config
    products = sum(p.numel() for name, p in model.named_parameters() if "proj.weight" in name)
    scan = scan_seconds(tokens, config.d_inner, config.d_state, core, backward=False)
    return 2 * products * tokens / flops + 2 * config.n_layer * scan / torch.get_num_threads()


def peak_flops(dtype: torch.dtype) -> float:
    a, b, out = (torch.randn(2048, 2048).to(dtype) for _ in range(3))
    seconds = interleaved({"gemm": lambda: torch.mm(a, b, out=out)}, 9, 3)["gemm"]
    return 2 * 2048**3 / seconds


def bench_lengths(
    ours: LcPlmForMaskedLM, esm: EsmForMaskedLM, repeats: int, lengths: list[int]
) -> list[tuple]:
    """Encode about 4,096 tokens of each length, in the dtype of the weights."""
    rows, core, flops = [], rates(), peak_flops(ours.dtype)
    for length in lengths:
        streams = max(1, 4096 // length)
        ids = torch.randint(4, 24, (streams, length))
        cu = cu_seqlens_of([length] * streams)
        mask = torch.ones_like(ids)

        def encode(ids=ids, cu=cu):
            with torch.no_grad():
                return ours.bimamba(ids.view(1, -1), cu_seqlens=cu)

        def encode_esm(ids=ids, mask=mask):
            with torch.no_grad():
                return esm.esm(ids, attention_mask=mask)

        t = interleaved({"ours": encode, "esm": encode_esm}, repeats)
        ideal = roofline_seconds(ours, ids.numel(), flops, core)
        note = f"{ids.numel() / t['ours']:,.0f} residues/s, {ideal / t['ours']:.0%} of the roofline"
        what = "encoder forward" + (", bfloat16" if ours.dtype == torch.bfloat16 else "")
        row = (f"{what}, {streams} x {length}; {note}", "EsmModel (sdpa)", t["esm"] / t["ours"])
        rows.append(row)
    return rows


def bench_encoder(repeats: int, lengths: list[int]) -> list[tuple]:
    torch.manual_seed(0)
    ours = LcPlmForMaskedLM(LcPlmConfig.from_preset("8m")).eval()
    size = sum(p.numel() for p in ours.parameters())
    esm = equal_size_esm(size)
    esm_size = sum(p.numel() for p in esm.parameters())
    print(f"parameters: LC-PLM 8m {size:,}, EsmModel {esm_size:,}\n")
    rows = bench_lengths(ours, esm, repeats, lengths)
    if multiplies_bfloat16():
        low = copy.deepcopy(ours).bfloat16(), copy.deepcopy(esm).bfloat16()
        rows += bench_lengths(*low, repeats, lengths)
    streams, length = 4, 512
    ids, cu = torch.randint(4, 24, (streams, length)), cu_seqlens_of([length] * streams)
    ours.train()
    esm.train()
    t = interleaved(
        {
            "ours": lambda: ours(
                ids.view(1, -1), cu_seqlens=cu, labels=ids.view(1, -1)
            ).loss.backward(),
            "esm": lambda: esm(ids, labels=ids).loss.backward(),
        },
        repeats,
    )
    rate = f"{ids.numel() / t['ours']:,.0f} residues/s"
    rows.append(
        (
            f"training step, {streams} x {length}; {rate}",
            "EsmForMaskedLM (sdpa)",
            t["esm"] / t["ours"],
        )
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short lengths, three repeats")
    arguments = parser.parse_args()
    keep_freed_memory()
    repeats = 3 if arguments.quick else 5
    versions = {p: importlib.metadata.version(p) for p in ("torch", "transformers", "numba")}
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, {versions}")
    rows = bench_roofline(repeats) + bench_scan(repeats) + bench_layer(repeats + 4)
    rows += bench_encoder(repeats, [512, 1024] if arguments.quick else [512, 1024, 4096, 8192])
    print(
        table(
            [(what, peer, f"{ratio:.2f}x") for what, peer, ratio in rows],
            ("what", "peer", "peer / ours"),
        )
    )


if __name__ == "__main__":
    main()

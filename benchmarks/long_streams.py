"""Put one stream of more and more proteins through an encoder on the CPU: seconds and peak memory.

    python benchmarks/long_streams.py --out docs/long_streams.png

The proteins are those around a hub of `string_human_core`, nearest first, laid out as a walk.  An
LC-PLM reads them in windows that carry the state.  Beside it stands an untrained ESM-2 of as many
layers and parameters (graph markers are masked tokens for it), whose attention compares every
residue with every other one.  Every point is a process of its own, with a limit on time and on
memory; a line ends where the next point broke one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from timing import table

from lcplm_graph import StringPPI, load_encoder
from lcplm_graph.pairs import adjacency
from lcplm_graph.tokens.packing import pack
from lcplm_graph.tokens.vocabulary import BON, CLS, EDGE, EON, EOS, MASK, encode_residues
from lcplm_graph.training.architectures import build_model

COUNTS = (1, 3, 10, 30, 100, 300, 1000)
MODELS = {"lcplm-1m": "LC-PLM (1 M parameters)", "esm2": "ESM-2 of this size"}
_COLOURS = {"lcplm-1m": "#0072B2", "esm2": "#D55E00"}
_WINDOW = 8192


def main() -> None:
    options = _parse()
    if options.count:
        print(json.dumps(measured(options.model, options.count, options.gigabytes)))
        return
    rows = [
        {"model": model} | found
        for model in MODELS
        for found in until_it_breaks(model, options.seconds, options.gigabytes)
    ]
    cells = [
        (MODELS[r["model"]], r["proteins"], f"{r['tokens']:,}", f"{r['seconds']:.1f}",
         f"{r['megabytes']:,.0f}", r.get("broke", ""))
        for r in rows
    ]  # fmt: skip
    print(table(cells, ("model", "proteins", "tokens", "seconds", "peak MB", "")))
    if options.out:
        draw([r for r in rows if "broke" not in r], options)


def around_a_hub(count: int) -> np.ndarray:
    """Token ids of a stream of the proteins nearest to the hub, breadth first."""
    dataset = StringPPI("string_human_core")
    split = dataset.split(kind="random", seed=0)
    indptr, indices = adjacency(split.known, split.num_nodes)
    hub = int(np.argmax(np.diff(indptr)))
    order, queue = {hub: None}, deque([hub])
    while queue and len(order) < count:
        node = queue.popleft()
        for other in indices[indptr[node] : indptr[node + 1]].tolist():
            if other not in order:
                order[other] = None
                queue.append(other)
    parts: list[np.ndarray] = [np.array([CLS])]
    for number, node in enumerate(list(order)[:count]):
        marker = [EDGE] if number else []
        parts += [np.array([*marker, BON]), encode_residues(dataset.sequences[node]), [EON]]
    return np.concatenate([*parts, [EOS]]).astype(np.int64)


def measured(model: str, count: int, gigabytes: float) -> dict[str, float]:
    """Seconds of one forward pass, and the peak memory of the process."""
    packed = pack([around_a_hub(count)])
    if model == "esm2":
        torch.manual_seed(0)
        network, more = build_model("esm2", "1m").eval(), {}
        packed = packed._replace(input_ids=packed.input_ids.clamp(max=MASK))
    else:
        network, more = load_encoder(model).model, {"window": _WINDOW}
    with torch.inference_mode():
        few = pack([packed.input_ids[:300].numpy()])
        network(few.input_ids, cu_seqlens=few.cu_seqlens)  # compiles what is to be compiled
        limit = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        started = time.perf_counter()
        network(packed.input_ids, cu_seqlens=packed.cu_seqlens, **more)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tokens = len(packed.input_ids)
    return {"proteins": count, "tokens": tokens, "seconds": seconds, "megabytes": peak}


def until_it_breaks(model: str, seconds: float, gigabytes: float) -> list[dict]:
    """Measure ever longer streams, up to the first that takes too long or too much."""
    rows: list[dict] = []
    for count in COUNTS:
        command = [sys.executable, __file__, "--model", model, "--count", str(count)]
        command += ["--gigabytes", str(gigabytes)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            why = f"more than {seconds:.0f} s"
        else:
            if done.returncode == 0:
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                continue
            last = (done.stderr.strip().splitlines() or ["?"])[-1]
            if "memory" not in last.lower():
                raise RuntimeError(f"{model}, {count} proteins: {last}")
            why = f"more than {gigabytes:g} GB"
        tokens = len(around_a_hub(count))
        nothing = float("nan")
        rows.append({"proteins": count, "tokens": tokens, "seconds": nothing,
                     "megabytes": nothing, "broke": why})  # fmt: skip
        break
    return rows


def draw(rows: list[dict], options: argparse.Namespace) -> None:
    """Draw time and memory against the number of proteins."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for axis, key, label in zip(
        axes, ("seconds", "megabytes"), ("seconds for the stream", "peak memory (MB)"), strict=True
    ):
        for model, name in MODELS.items():
            own = [row for row in rows if row["model"] == model]
            axis.plot(
                [r["proteins"] for r in own], [r[key] for r in own], "o-", color=_COLOURS[model]
            )
            axis.annotate(
                name, (own[-1]["proteins"], own[-1][key]), xytext=(-6, 7), ha="right",
                textcoords="offset points", color=_COLOURS[model],
            )  # fmt: skip
        axis.set(xscale="log", yscale="log", xlabel="proteins of the stream", ylabel=label)
        axis.spines[["top", "right"]].set_visible(False)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=120)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="draw both against the number of proteins")
    parser.add_argument("--seconds", type=float, default=120, help="of a process at most")
    parser.add_argument("--gigabytes", type=float, default=8, help="of data at most")
    parser.add_argument("--model", choices=MODELS, default="lcplm-1m", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

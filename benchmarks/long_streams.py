"""Put one stream of more and more proteins through an encoder on the CPU: time and peak memory.

    python benchmarks/long_streams.py --work runs/long --out docs/long_streams.png

The proteins are those around a hub of `string_human_core`, nearest first, laid out as a walk.  An
LC-PLM reads them in windows that carry the state.  Beside it stands an untrained ESM-2 of as many
layers and parameters (graph markers are masked tokens for it), whose attention compares every
residue with every other one.  Every point is a process of its own, with a limit on its processor
time; a line ends where the next point broke it.  Points are kept: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import table

from lcplm_graph import StringPPI, load_encoder
from lcplm_graph.pairs import adjacency, pair_graph
from lcplm_graph.tokens.packing import pack
from lcplm_graph.tokens.vocabulary import BON, CLS, EDGE, EON, EOS, MASK, encode_residues
from lcplm_graph.training.architectures import build_model

COUNTS = (1, 3, 10, 30, 100, 300, 1000)
MODELS = {"lcplm-1m": "LC-PLM (1 M parameters)", "esm2": "ESM-2 of this size"}
_COLOURS = {"lcplm-1m": "#0072B2", "esm2": "#D55E00"}
_WINDOW = 8192
_STREAM = "stream.npz"


def main() -> None:
    options = _parse()
    if options.count:
        print(json.dumps(measured(options)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.work / _STREAM).exists():
        np.savez(options.work / _STREAM, **around_a_hub(max(COUNTS)))
    rows = [row for model in MODELS for row in until_it_breaks(model, options)]
    cells = [
        (MODELS[r["model"]], r["proteins"], f"{r['tokens']:,}", r["seconds"], r["megabytes"])
        for r in rows
    ]
    print(table(cells, ("model", "proteins", "tokens", "processor seconds", "peak MB")))
    if options.out:
        draw([r for r in rows if r["megabytes"]], options)


def around_a_hub(count: int) -> dict[str, np.ndarray]:
    """Token ids of a stream of the proteins nearest to the hub, and where each of them ends."""
    dataset = StringPPI("string_human_core")
    graph = pair_graph(dataset[0])
    indptr, indices = adjacency(graph.pairs, graph.num_nodes)
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
        residues = encode_residues(dataset.sequences[node])
        parts.append(np.concatenate([[*marker, BON], residues, [EON]]))
    return {"ids": np.concatenate(parts).astype(np.int64), "ends": np.cumsum([*map(len, parts)])}


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds of one forward pass, and the peak memory of the process."""
    with np.load(options.work / _STREAM) as stored:
        ids = np.append(stored["ids"][: stored["ends"][options.count]], EOS)
    more: dict[str, int] = {}
    if options.model == "esm2":
        torch.manual_seed(0)
        network = build_model("esm2", "1m").eval()
        ids = ids.clip(max=MASK)
    else:
        network, more = load_encoder(options.model).model, {"window": _WINDOW}
    packed, few = pack([ids]), pack([ids[:300]])
    with torch.inference_mode():
        network(few.input_ids, cu_seqlens=few.cu_seqlens)  # compiles what is to be compiled
        started = time.process_time()
        limit = int(started + options.seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        network(packed.input_ids, cu_seqlens=packed.cu_seqlens, **more)
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens": len(ids), "seconds": round(seconds, 2), "megabytes": round(peak)}


def until_it_breaks(model: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure ever longer streams, up to the first that takes too long."""
    with np.load(options.work / _STREAM) as stored:
        tokens = {count: int(stored["ends"][count]) + 1 for count in COUNTS}
    for count in COUNTS:
        path = options.work / f"{model}-{count}.json"
        if not path.exists():
            command = [sys.executable, __file__, "--work", str(options.work), "--model", model]
            command += ["--count", str(count), "--seconds", str(options.seconds)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode > 0:
                raise RuntimeError(f"{model}, {count} proteins: {done.stderr.strip()[-500:]}")
            broke = {
                "tokens": tokens[count],
                "seconds": f"more than {options.seconds}",
                "megabytes": None,
            }
            found = broke if done.returncode else json.loads(done.stdout.splitlines()[-1])
            path.write_text(json.dumps({"model": model, "proteins": count} | found))
        row = json.loads(path.read_text())
        yield row
        if row["megabytes"] is None:
            return


def draw(rows: list[dict], options: argparse.Namespace) -> None:
    """Draw time and memory against the number of proteins."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for axis, key, label in zip(
        axes, ("seconds", "megabytes"), ("processor seconds", "peak memory (MB)"), strict=True
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
        axis.set(xscale="log", xlabel="proteins of the stream", ylabel=label)
        if key == "seconds":
            axis.set_yscale("log")
        else:
            axis.set_ylim(0, None)
        axis.set_xticks(COUNTS)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:,g}")
            side.set_minor_formatter("")
        axis.spines[["top", "right"]].set_visible(False)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=120)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for the stream and its points")
    add("--out", type=Path, help="draw both against the number of proteins")
    add("--seconds", type=int, default=120, help="of the processor for a point at most")
    add("--model", choices=MODELS, default="lcplm-1m", help=argparse.SUPPRESS)
    add("--count", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

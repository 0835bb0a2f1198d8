"""One stream of many proteins of a graph: processor time and peak memory against their number.

    python benchmarks/long_stream.py --out docs/notebook/long_stream.png

A stream is a random walk over `string_human_core` with whole proteins.  LC-PLM reads it in linear
time; beside it an untrained ESM-2 of equal size, whose attention compares every two residues.
Every point runs in a process of its own, so that peak memory is its own, on one thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from timing import cpu_name, table

from lcplm_graph import StringPPI, load_encoder
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.training.architectures import build_model
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

COUNTS = {"lcplm-1m": (1, 4, 16, 64, 256, 512), "esm2-shaped": (1, 4, 16, 32)}
_ROOM = 1 << 22


def stream_of(count: int) -> PackedTokens:
    """One walk of so many whole proteins."""
    dataset = StringPPI("string_human_core")
    sampler = WalkSampler(dataset.split(kind="node", seed=1), count, seed=0)
    return WalkStream(sampler, dataset.sequences, max_tokens=_ROOM, negative_rate=0.0)[3].packed


def measure(name: str, count: int) -> dict[str, float]:
    """Encode one stream; the process's first, small one is not timed."""
    torch.set_num_threads(1)
    if name == "esm2-shaped":
        model = build_model("esm2", "1m").eval()
        model.esm2.resize_token_embeddings(37, mean_resizing=False)

        def encode(packed: PackedTokens) -> None:
            model.esm2.esm(packed.input_ids[None])
    else:
        encode = load_encoder(name).encode
    packed = stream_of(count)
    with torch.inference_mode():
        encode(PackedTokens(packed.input_ids[:200], torch.tensor([0, 200], dtype=torch.int32)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        encode(packed)
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tokens = len(packed.input_ids)
    return {"count": count, "tokens": tokens, "seconds": seconds, "mb": (peak - before) / 1024}


def draw(rows: dict[str, list[dict[str, float]]], path: str) -> None:
    """Draw time and memory, both axes logarithmic: a slope of one is linear."""
    from lcplm_graph.figures import new_figure, panels, save

    figure = new_figure(9, 3.6)
    left, right = panels(figure, 1, 2)[0]
    for name, found in rows.items():
        counts = [row["count"] for row in found]
        left.loglog(counts, [row["seconds"] for row in found], "o-", label=name)
        right.loglog(counts, [max(row["mb"], 1) for row in found], "o-", label=name)
    left.set(xlabel="proteins in one stream", ylabel="processor seconds, one thread")
    right.set(xlabel="proteins in one stream", ylabel="memory on top of the model, MB")
    left.legend()
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", help="figure to write")
    parser.add_argument("--most", type=int, default=512, help="proteins of the longest stream")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    rows: dict[str, list[dict[str, float]]] = {}
    for name, counts in COUNTS.items():
        for count in counts:
            if count <= options.most:
                command = [sys.executable, __file__, "--one", name, str(count)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    cells = [
        (name, r["count"], f"{r['tokens']:,}", f"{r['seconds']:.2f}",
         f"{r['seconds'] / r['tokens'] * 1e6:.0f}", f"{r['mb']:.0f}")
        for name, found in rows.items()
        for r in found
    ]  # fmt: skip
    print(cpu_name())
    print(table(cells, ("model", "proteins", "tokens", "seconds", "us / token", "MB")))
    if options.out:
        draw(rows, options.out)


if __name__ == "__main__":
    main()

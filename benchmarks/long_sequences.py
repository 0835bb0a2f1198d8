"""One long protein through an encoder on the CPU: time per residue, peak memory, exactness.

    python benchmarks/long_sequences.py [--preset 8m] [--out long_sequences.png]

Every length runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from timing import table

from lcplm_graph import load_encoder
from lcplm_graph.tokens.vocabulary import STANDARD_RESIDUES

LENGTHS = (1_000, 3_000, 10_000, 30_000, 100_000)
REPEATS = 3


def protein(length: int) -> str:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(0, 20, (length,), generator=generator)
    return "".join(STANDARD_RESIDUES[i] for i in draws)


def measure(preset: str, length: int) -> dict[str, float]:
    encoder = load_encoder(f"random:{preset}")
    encoder.embed([protein(500)])
    sequence, seconds = protein(length), []
    for _ in range(REPEATS):
        started = time.perf_counter()
        encoder.embed([sequence])
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"length": length, "us": sorted(seconds)[REPEATS // 2] / length * 1e6, "peak_mb": peak}


def largest_difference(preset: str, length: int) -> float:
    """Residue states in windows against the whole, absolute."""
    encoder = load_encoder(f"random:{preset}")
    packed = encoder.tokenize([protein(length)])
    with torch.inference_mode():
        windows = encoder.encode(packed)
        encoder.window = 2 * length
        whole = encoder.encode(packed)
    return float((windows - whole).abs().max())


def draw(rows: list[dict[str, float]], preset: str, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lengths = [r["length"] for r in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), constrained_layout=True)
    left.plot(lengths, [r["us"] * r["length"] / 1e6 for r in rows], "o-")
    left.set(xlabel="residues", ylabel="seconds", title=f"{preset}: one protein, 2 CPU threads")
    right.plot(lengths, [r["peak_mb"] for r in rows], "o-")
    right.set(xlabel="residues", ylabel="peak memory (MB)", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="8m")
    parser.add_argument("--out", help="draw time and memory against length to this PNG")
    parser.add_argument("--length", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.length:
        print(json.dumps(measure(arguments.preset, arguments.length)))
        return
    rows = []
    for length in LENGTHS:
        command = [sys.executable, __file__, "--preset", arguments.preset, "--length", str(length)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    cells = [(r["length"], f"{r['us']:.0f}", f"{r['peak_mb']:.0f}") for r in rows]
    print(table(cells, ("residues", "us / residue", "peak MB")))
    difference = largest_difference(arguments.preset, LENGTHS[-1])
    print(f"\n{LENGTHS[-1]} residues, windows against the whole: {difference:.1e}")
    if arguments.out:
        draw(rows, arguments.preset, arguments.out)


if __name__ == "__main__":
    main()

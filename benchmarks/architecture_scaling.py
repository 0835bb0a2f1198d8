"""Held-out loss against parameters and against tokens, for the paper's architectures.

    python benchmarks/architecture_scaling.py CORPUS.fasta.gz --out DIR [--clusters TABLE]

Every cell is a whole run of stage 1 with its own decay to zero: architecture x size x tokens x
seed, all of one size and seed on the very same batches.  Of each size the architectures have about
as many parameters.  *half depth* is BiMamba without shared projections in half as many layers: by
the paper, sharing pays for twice the depth.  Prints the losses, those of the largest models by
length of protein, slopes per doubling with intervals, and paired differences from bimamba-s, and
draws scaling_law.png.  Finished runs are not run again; a stopped one goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from timing import table
from tqdm import tqdm

from lcplm_graph.figures import COLOURS, label_ends, new_figure, panels, save
from lcplm_graph.io import write_json
from lcplm_graph.training.heldout import HELD_OUT, MASK_ONLY
from lcplm_graph.training.metrics import read_metrics

VARIANTS = {
    "bimamba-s": "bimamba-s",
    "bimamba": "bimamba",
    "bimamba, half depth": "bimamba",
    "mamba": "mamba",
    "esm2": "esm2",
}
"""Names of the rows, and the architecture that stage 1 is told."""


class Cell(NamedTuple):
    """One run."""

    variant: str
    width: int
    steps: int
    seed: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        variant = self.variant.replace(", ", "-").replace(" ", "-")
        return f"{variant}-{self.width}-{self.steps}-{self.seed}"


def command(cell: Cell, options: argparse.Namespace) -> list[str]:
    width, layers = cell.width, options.layers
    if cell.variant.endswith("half depth"):
        # As many parameters in half of the layers; `--arch` then finds the width that has them.
        width, layers = 8 * round(cell.width * math.sqrt(2) / 8), layers // 2
    arguments = {
        "corpus": f"fasta:{options.corpus}", "arch": VARIANTS[cell.variant], "preset": "1m",
        "d-model": width, "n-layer": layers, "d-state": options.d_state, "steps": cell.steps,
        "seed": cell.seed, "max-tokens": options.max_tokens, "max-length": options.max_length,
        "eval-tokens": options.eval_tokens, "eval-every": cell.steps, "lr": options.lr,
        "precision": options.precision, "workers": options.workers, "devices": 1,
        "out": options.out / cell.folder, "resume": "auto",
    }  # fmt: skip
    if options.clusters:
        arguments["clusters"] = options.clusters
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    return [sys.executable, "-m", "lcplm_graph.stage1", *flags]


def run(cell: Cell, options: argparse.Namespace) -> dict[str, Any]:
    """Train, unless that is done; return what the run says of itself."""
    out = options.out / cell.folder
    if not (out / HELD_OUT).is_file():
        log = options.out / f"{cell.folder}.log"
        with log.open("w") as stream:
            done = subprocess.run(command(cell, options), stdout=stream, stderr=stream, check=False)
        if done.returncode:
            raise SystemExit(f"{cell.folder} failed; see {log}")
    report = json.loads((out / HELD_OUT).read_text())
    last = read_metrics(out / "metrics.csv")[-1]
    return {
        **cell._asdict(),
        "parameters": json.loads((out / "run.json").read_text())["data"]["parameters"],
        "tokens": int(last["tokens"]),
        "loss": last[MASK_ONLY],
        "by_length": report["losses"][MASK_ONLY],
        "edges": report["edges"],
        "proteins": report["proteins"],
        "floors": report["floors"][MASK_ONLY],
    }


def slopes(rows: list[dict]) -> dict[str, tuple[float, float]]:
    """Nats per doubling of parameters and of tokens, by least squares; half a 95 % interval."""
    x = np.array([[1.0, math.log2(r["parameters"]), math.log2(r["tokens"])] for r in rows])
    y = np.array([r["loss"] for r in rows])
    names = ("parameters", "tokens")
    # A slope needs two values to stand on, an interval more points than coefficients.
    if np.linalg.matrix_rank(x - x.mean(0) + [[1, 0, 0]]) < 3 or len(rows) < 4:
        return dict.fromkeys(names, (math.nan, math.nan))
    fit, *_ = np.linalg.lstsq(x, y, rcond=None)
    variance = float(((y - x @ fit) ** 2).sum()) / (len(rows) - 3)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x)))
    factor = float(stats.t.ppf(0.975, len(rows) - 3))
    return {n: (float(fit[i]), factor * float(errors[i])) for i, n in enumerate(names, 1)}


def difference(rows: list[dict], others: list[dict]) -> str:
    """Mean over equal cells of the second's loss minus the first's, and half a 95 % interval."""
    if not rows or rows == others:
        return ""
    own = {(r["width"], r["steps"], r["seed"]): r["loss"] for r in rows}
    gaps = np.array([r["loss"] - own[r["width"], r["steps"], r["seed"]] for r in others])
    if len(gaps) < 2:
        return f"{gaps.mean():+.3f}"
    half = float(stats.t.ppf(0.975, len(gaps) - 1)) * float(stats.sem(gaps))
    return f"{gaps.mean():+.3f} ± {half:.3f}"


def draw(rows: list[dict], path: Path) -> None:
    """Loss against parameters, against tokens, and of the largest models by protein length."""
    figure = new_figure(16.8, 4.2)
    by_size, by_tokens, by_length = panels(figure, 1, 3).flat
    most, widest = max(r["steps"] for r in rows), max(r["width"] for r in rows)
    lengths = by_lengths(rows)
    for colour, variant in zip(COLOURS, VARIANTS, strict=False):
        own = [r for r in rows if r["variant"] == variant]
        if not own:
            continue
        style = {"color": colour, "marker": "o", "markersize": 4, "label": variant}
        chosen = [r for r in own if r["steps"] == most]
        by_size.plot(*averaged(chosen, "parameters"), **style)
        chosen = [r for r in own if r["width"] == widest]
        by_tokens.plot(*averaged(chosen, "tokens"), **style)
        by_length.plot(rows[0]["edges"], lengths[variant], **style)
    floors = rows[0]["floors"]["composition"]
    by_length.plot(rows[0]["edges"], floors, "_--", color="0.4", label="composition floor")
    by_size.set(title="all tokens", xlabel="parameters", ylabel="nats per masked residue")
    by_tokens.set(title="largest models", xlabel="tokens")
    by_length.set(title="largest models, all tokens", xlabel="protein length, up to")
    for axis in (by_size, by_tokens, by_length):
        axis.set_xscale("log", base=10 if axis is not by_length else 2)
        label_ends(axis)
    save(figure, path)


def by_lengths(rows: list[dict]) -> dict[str, list[float]]:
    """Losses of the largest models after all tokens by length of protein, means over seeds."""
    largest = max((r["width"], r["steps"]) for r in rows)
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        if (row["width"], row["steps"]) == largest:
            found.setdefault(row["variant"], []).append(row["by_length"])
    return {variant: np.mean(losses, axis=0).tolist() for variant, losses in found.items()}


def averaged(rows: list[dict], key: str) -> tuple[list[float], list[float]]:
    """Means over seeds, in the order of `key`."""
    groups: dict[tuple[int, int], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["width"], row["steps"]), []).append(row)
    points = sorted(
        (float(np.mean([r[key] for r in g])), float(np.mean([r["loss"] for r in g])))
        for g in groups.values()
    )
    return [p[0] for p in points], [p[1] for p in points]


def report(rows: list[dict]) -> str:
    """Tables of losses, of losses by length, and of slopes."""
    cells = itertools.groupby(
        sorted(rows, key=lambda r: (r["width"], r["steps"], list(VARIANTS).index(r["variant"]))),
        key=lambda r: (r["width"], r["steps"], r["variant"]),
    )
    losses = []
    for (_, _, variant), group in cells:
        seeds = list(group)
        values = " ".join(f"{r['loss']:.4f}" for r in seeds)
        losses.append((variant, f"{seeds[0]['parameters']:,}", f"{seeds[0]['tokens']:,}", values))
    lengths = by_lengths(rows)
    lengths |= {f"{name} floor": values for name, values in rows[0]["floors"].items()}
    parts = [(name, *(f"{value:.3f}" for value in values)) for name, values in lengths.items()]
    parts.append(("held-out proteins", *rows[0]["proteins"]))
    fits, first = [], [r for r in rows if r["variant"] == "bimamba-s"]
    for variant in VARIANTS:
        own = [r for r in rows if r["variant"] == variant]
        if own:
            found = slopes(own).values()
            fits.append(
                (variant, *(f"{s:+.4f} ± {h:.4f}" for s, h in found), difference(first, own))
            )
    header = ("", "per doubling of parameters", "of tokens", "minus bimamba-s, equal cells")
    return (
        table(losses, ("", "parameters", "tokens", "mask-only loss, by seed"))
        + "\n\n"
        + table(parts, ("largest models, length up to", *rows[0]["edges"]))
        + "\n\n"
        + table(fits, header)
    )


def main() -> None:
    options = _parse()
    options.out.mkdir(parents=True, exist_ok=True)
    cells = [
        Cell(*names)
        for names in itertools.product(
            options.variants, options.widths, options.steps, options.seeds
        )
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        running = pool.map(lambda cell: run(cell, options), cells)
        rows = list(tqdm(running, total=len(cells), unit="run"))
    write_json(options.out / "scaling_law.json", rows)
    draw(rows, options.out / "scaling_law.png")
    print(report(rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("corpus", type=Path, help="FASTA file")
    add("--out", type=Path, required=True, help="folder of all runs")
    add("--clusters", type=Path, help="table of clusters, as stage 1 takes it")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--widths", nargs="+", type=int, default=[80, 128, 208], help="of bimamba-s")
    add("--layers", type=int, default=4)
    add("--d-state", type=int, default=8)
    add("--steps", nargs="+", type=int, default=[75, 300], help="lengths of the runs")
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--max-tokens", type=int, default=4096)
    add("--max-length", type=int, default=512)
    add("--eval-tokens", type=int, default=16384)
    add("--lr", type=float, default=3e-3)
    add("--precision", default="32-true")
    add("--workers", type=int, default=0)
    add("--jobs", type=int, default=1, help="runs at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()

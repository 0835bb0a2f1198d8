"""Compare stage 2 with its controls and its options, every row with the same few steps.

    python benchmarks/stage2_sweep.py --out runs/sweep
    python benchmarks/stage2_sweep.py --out runs/sweep --rows base frozen "walk length 2"

The graph is the part of `string_human_core` whose proteins are short, so that a row takes a minute
or two on one core.  Rows start from `lcplm-1m`, or from random weights of equal depth and size: the
bidirectional encoder, a left-to-right Mamba, an ESM-2.  ``frozen`` trains the decoder alone, on
pairs, for as many steps as ``base`` trains its decoder.  Each other row changes one option of
``base``.  A row that is finished is not run again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import table

from lcplm_graph import StringPPI
from lcplm_graph.errors import LcPlmError
from lcplm_graph.pairs import degrees
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.stage2 import train
from lcplm_graph.training.architectures import build_model, count_parameters
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.options import Stage2Options

ARCHITECTURES = ("bimamba-s", "mamba", "esm2")
CONTROLS: dict[str, dict[str, Any]] = {
    "base": {},
    "frozen": {"relation": "frozen"},
    "marker alone": {"relation": "marker"},
} | {f"{arch}, random weights": {"encoder": arch} for arch in ARCHITECTURES}
SWEEPS: dict[str, dict[str, Any]] = {
    "walk length 2": {"walk_length": 2},
    "walk length 8": {"walk_length": 8},
    "p 0.25": {"p": 0.25},
    "p 4": {"p": 4.0},
    "q 0.25": {"q": 0.25},
    "q 4": {"q": 4.0},
    "negative rate 0.2": {"negative_rate": 0.2},
    "negative rate 0.8": {"negative_rate": 0.8},
    "relation weight 0": {"relation_weight": 0.0},
    "relation weight 1": {"relation_weight": 1.0},
    "pair weight 0": {"pair_weight": 0.0},
    "marker step 10": {"marker_step": 10.0},
}
ROWS = CONTROLS | SWEEPS
MEASURES = {
    "valid_residue_loss": "residue loss", "valid_relation_auroc": "marker AUROC",
    "valid_pair_auroc": "decoder AUROC",
}  # fmt: skip


def main() -> int:
    options = _parse()
    graph = short_graph(options.out, options.longest)
    try:
        for name in options.rows:
            folder = options.out / name.replace(" ", "-").replace(",", "")
            if not (folder / "seconds.txt").exists():
                run(name, folder, graph, options)
    except LcPlmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table([row_of(name, options.out) for name in ROWS], ("", *MEASURES.values(), "seconds")))
    return 0


def short_graph(out: Path, longest: int) -> str:
    """Write the graph of the short proteins that have a short partner; returns its name."""
    path = out / f"longest-{longest}.tsv"
    if not path.exists():
        dataset = StringPPI("string_human_core")
        edges = np.unique(np.sort(dataset[0].edge_index.numpy().T, axis=1), axis=0)
        edges = edges[(dataset.sequences.lengths[edges] <= longest).all(axis=1)]
        nodes = np.flatnonzero(degrees(edges, len(dataset.sequences)))
        store = dataset.sequences.select(nodes)
        out.mkdir(parents=True, exist_ok=True)
        write_fasta(path.with_suffix(".fasta"), store.ids, list(store))
        ids = dataset.sequences.ids
        path.write_text("".join(f"{ids[a]}\t{ids[b]}\n" for a, b in edges))
        print(f"{len(nodes):,} proteins, {len(edges):,} edges, {store.lengths.sum():,} residues")
    return f"pairs:{path}"


def run(name: str, folder: Path, graph: str, options: argparse.Namespace) -> None:
    """Train one row, and keep how long it took."""
    changes = dict(ROWS[name])
    if name == "frozen":
        changes["steps"] = options.steps + options.decoder_steps
    if "encoder" in changes:
        changes["encoder"] = untrained(changes["encoder"], options.out)
    base: dict[str, Any] = {
        "graph": graph, "out": str(folder), "steps": options.steps, "seed": options.seed,
        "max_tokens": options.max_tokens, "walk_length": 4, "walk_tokens": 800, "split": "node",
        "split_seed": 1, "relation_rate": 0.5, "lr": 1e-3, "decoder_steps": options.decoder_steps,
        "eval_pairs": options.eval_pairs, "eval_every": 10_000, "log_every": 5, "devices": 1,
        "resume": "auto",
    }  # fmt: skip
    started = time.perf_counter()
    train(Stage2Options(**{**base, **changes}))
    (folder / "seconds.txt").write_text(f"{time.perf_counter() - started:.0f}\n")


def untrained(arch: str, out: Path) -> str:
    """Save a model of an architecture with random weights; returns its name as an encoder."""
    folder = out / f"untrained-{arch}"
    if not folder.exists():
        torch.manual_seed(0)
        model: Any = build_model(arch, "1m")
        print(f"{arch}: {count_parameters(model):,} parameters")
        model.save_pretrained(folder)
    return f"esm2:{folder}" if arch == "esm2" else str(folder)


def row_of(name: str, out: Path) -> tuple[str, ...]:
    """Return a row of the table; dashes where nothing was measured."""
    folder = out / name.replace(" ", "-").replace(",", "")
    rows = read_metrics(folder / "metrics.csv") if (folder / "seconds.txt").exists() else []
    last = rows[-1] if rows else {}
    values = (last.get(key, float("nan")) for key in MEASURES)
    seconds = (folder / "seconds.txt").read_text().strip() if rows else "-"
    return (name, *("-" if np.isnan(v) else f"{v:.3f}" for v in values), seconds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of all runs")
    add("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    add("--longest", type=int, default=200, help="residues of a protein")
    add("--steps", type=int, default=60)
    add("--max-tokens", type=int, default=2048, help="of a batch")
    add("--decoder-steps", type=int, default=100, help="on frozen states before the first step")
    add("--eval-pairs", type=int, default=200, help="held-out edges, and as many negatives")
    add("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

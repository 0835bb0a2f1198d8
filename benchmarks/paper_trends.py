"""Two claims of the LC-PLM paper on a small scale: shared projections, and longer proteins.

Trains bimamba-s, bimamba, mamba and esm2 with equally many parameters on the very same batches
of short proteins (or windows of longer ones), then measures the loss on whole held-out proteins
by length.  Prints a table, writes paper_trends.json and paper_trends.png.

    python benchmarks/paper_trends.py CORPUS.fasta.gz --out DIR --steps 1000

A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter

from lcplm_graph.io import write_json
from lcplm_graph.stage1 import Stage1Options, train
from lcplm_graph.training.architectures import ARCHITECTURES
from lcplm_graph.training.heldout import AS_TRAINED, MASK_ONLY
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.plots import draw_by_length


def main() -> None:
    arguments = _parse()
    reports = {}
    for arch in ARCHITECTURES:
        out = arguments.out / arch
        start = perf_counter()
        train(
            Stage1Options(
                corpus=f"fasta:{arguments.corpus}",
                preset=arguments.preset,
                arch=arch,
                out=str(out),
                steps=arguments.steps,
                max_tokens=arguments.max_tokens,
                max_length=arguments.max_length,
                eval_tokens=arguments.eval_tokens,
                eval_every=arguments.steps,
                lr=arguments.lr,
                seed=arguments.seed,
                resume="auto",
            )
        )
        reports[arch] = json.loads((out / "held_out.json").read_text())
        manifest = json.loads((out / "run.json").read_text())
        last = read_metrics(out / "metrics.csv")[-1]
        reports[arch] |= {
            "parameters": manifest["data"]["parameters"],
            "tokens": int(last["tokens"]),
            "seconds_of_this_call": round(perf_counter() - start, 1),
            "overall": {way: last[way] for way in (AS_TRAINED, MASK_ONLY)},
        }
    write_json(arguments.out / "paper_trends.json", reports)
    _print(reports)
    floors = next(iter(reports.values()))
    edges = floors["edges"]
    named = {arch: report["losses"][MASK_ONLY] for arch, report in reports.items()}
    named |= {f"{k} floor": v for k, v in floors["floors"][MASK_ONLY].items()}
    title = f"held out, masked only\n(trained on at most {arguments.max_length} residues)"
    draw_by_length(arguments.out / "paper_trends.png", edges, {title: named}, floors["proteins"])


def _print(reports: dict[str, dict]) -> None:
    first = next(iter(reports.values()))
    edges = "".join(f"{edge:>8}" for edge in first["edges"])
    print(
        f"\nmask-only loss, nats per residue, by length up to\n{'':12}{'params':>10}{edges}     all"
    )
    for arch, report in reports.items():
        values = "".join(f"{value:8.3f}" for value in report["losses"][MASK_ONLY])
        overall = report["overall"][MASK_ONLY]
        print(f"{arch:12}{report['parameters']:>10}{values}{overall:8.3f}")
    for name, values in first["floors"][MASK_ONLY].items():
        print(f"{name:22}" + "".join(f"{value:8.3f}" for value in values))
    print(f"{'held-out proteins':22}" + "".join(f"{count:8}" for count in first["proteins"]))
    print(f"tokens of each: {sorted({r['tokens'] for r in reports.values()})}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="FASTA file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--preset", default="1m")
    parser.add_argument("--max-tokens", type=int, default=4096)
    parser.add_argument("--max-length", type=int, default=254)
    parser.add_argument("--eval-tokens", type=int, default=16384)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Which molecular functions does a protein have?  CAFA's metrics beside naive and transfer.

Runs offline on the embedded human network:  python examples/function_prediction.py
"""

import argparse
from pathlib import Path

from lcplm_graph import GOFunction, load_encoder
from lcplm_graph.evaluation.function import FunctionOptions, evaluate_function
from lcplm_graph.figures import draw_forest
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.models.shipped import DEFAULT_ENCODER


def main() -> None:
    """Train one head per aspect, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--aspect", nargs="+", default=["MF"], choices=["MF", "BP", "CC"])
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/function_prediction"))
    options = parser.parse_args()

    encoder = load_encoder(options.encoder)
    fit = FitOptions(steps=5 if options.quick else 150, progress=True)
    chosen = FunctionOptions(resamples=4 if options.quick else 30, fit=fit)
    min_proteins = 60 if options.quick else 10
    parts = {}
    for aspect in options.aspect:
        dataset = GOFunction("string_human_core", aspect=aspect, min_proteins=min_proteins)
        report = evaluate_function(dataset, encoder, aspect, chosen)
        parts[aspect] = {row["model"]: row["fmax"] for row in report.rows}
        print(f"\n{report}")
        report.save(options.out / aspect)
    draw_forest(options.out / "fmax.png", parts, "Fmax", "Protein function, string_human_core")
    print(f"\nwritten: {options.out}/fmax.png and results.json per aspect")


if __name__ == "__main__":
    main()

"""Do two proteins interact?  Baselines, an encoder, and the link model, in one honest table.

Runs offline on the embedded human network:  python examples/link_prediction.py
"""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

from lcplm_graph import StringPPI, load_encoder
from lcplm_graph.evaluation.guard import check_encoder
from lcplm_graph.evaluation.link import evaluate_link
from lcplm_graph.evaluation.link_pairs import LinkOptions, labelled_pairs
from lcplm_graph.evaluation.plots import draw_auroc, draw_roc_pr
from lcplm_graph.evaluation.scorers import link_scorers
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.models.shipped import DEFAULT_ENCODER

# Heads of a row, from different seeds; `python -m lcplm_graph.evaluate link` takes four.
MEMBERS = 2


def main() -> None:
    """Split, train, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--pool", help="pooling; default: what the encoder recommends")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="add a row of the encoder's random twin, which takes as long to embed again",
    )
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/link_prediction"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Sparse CSR")

    dataset = StringPPI("string_human_core")
    # Pairs and proteins are held out, so that C1, C2 and C3 can be told apart.
    split = dataset.split(kind="node", seed=0)
    encoder = load_encoder(options.encoder)
    check_encoder(encoder, dataset.sequences, split)

    # Ranks against all proteins take minutes: `python -m lcplm_graph.evaluate link` has them.
    link = LinkOptions(ranked=0, resamples=20 if options.quick else 100)
    # Half the pairs of a step that `python -m lcplm_graph.evaluate link` takes.
    steps = 10 if options.quick else LINK_FIT.steps
    fit = replace(LINK_FIT, steps=steps, batch_size=2048, progress=True)
    report, curves = evaluate_link(
        link_scorers(
            dataset,
            split,
            encoder,
            pool=options.pool,
            fit=fit,
            members=MEMBERS,
            untrained=options.untrained,
        ),
        labelled_pairs(split, link),
        split,
        options=link,
    )
    report.facts = {"graph": "string_human_core", **report.facts}
    print(f"\n{report}")
    report.save(options.out)
    draw_roc_pr(options.out / "roc_pr.png", curves, 10, "string_human_core, stub-matched negatives")
    draw_auroc(options.out / "forest.png", report, "string_human_core, stub-matched negatives")
    print(f"\nwritten: {options.out}/results.json, roc_pr.png and forest.png beside it")


if __name__ == "__main__":
    main()

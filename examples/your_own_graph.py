"""Your own network: a table of pairs and a FASTA file become a graph with features.

python examples/your_own_graph.py --pairs PAIRS.tsv --fasta PROTEINS.fasta
Without files it writes a part of the network that ships, and takes that.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from lcplm_graph import PairPPI, StringPPI, load_encoder
from lcplm_graph.evaluation.link import evaluate_link
from lcplm_graph.evaluation.link_pairs import LinkOptions, labelled_pairs
from lcplm_graph.evaluation.plots import draw_roc_pr
from lcplm_graph.evaluation.scorers import link_scorers
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.proteins.fasta import write_fasta


def write_some_graph(folder: Path, proteins: int) -> tuple[Path, Path]:
    """Write a TSV of pairs and a FASTA file, as you might have them."""
    dataset = StringPPI("string_human_core")
    pairs, fasta = folder / "pairs.tsv", folder / "pairs.fasta"
    pairs.parent.mkdir(parents=True, exist_ok=True)
    edges = dataset[0].edge_index.numpy().T
    edges = edges[(edges < proteins).all(1) & (edges[:, 0] < edges[:, 1])]
    ids = dataset.sequences.ids
    pairs.write_text("".join(f"{ids[i]}\t{ids[j]}\t1\n" for i, j in edges))
    store = dataset.sequences.select(np.arange(proteins))
    write_fasta(fasta, store.ids, store)
    return pairs, fasta


def main() -> None:
    """Read, report what was dropped, split, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--fasta", type=Path)
    parser.add_argument("--encoder", default="dipeptide", help="dipeptide, random:1m, ...")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/your_own_graph"))
    options = parser.parse_args()
    if options.pairs is None:
        options.pairs, options.fasta = write_some_graph(options.out, 4000)

    dataset = PairPPI(options.pairs, options.fasta)
    print("read:", ", ".join(f"{count} {what}" for what, count in dataset.report.items()))
    split = dataset.split(kind="node", seed=0)
    link = LinkOptions(ranked=0, resamples=20 if options.quick else 100)
    fit = replace(LINK_FIT, steps=10 if options.quick else LINK_FIT.steps, progress=True)
    report, curves = evaluate_link(
        link_scorers(dataset, split, load_encoder(options.encoder), fit=fit),
        labelled_pairs(split, link),
        split,
        options=link,
    )
    print(f"\n{report}")
    report.save(options.out)
    draw_roc_pr(options.out / "roc_pr.png", curves, 10, str(options.pairs))
    print(f"\nwritten: {options.out}/results.json, {options.out}/roc_pr.png")


if __name__ == "__main__":
    main()

"""LC-PLM against LC-PLM-G: what training on walks over the graph gives to link prediction.

A short stage 2 on the 1,000 best-connected proteins of the network that ships, then one table for
the encoder before and after, both blind to the held-out pairs.

python examples/stage2_then_link.py --steps 200
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from lcplm_graph import PairPPI, Split, StringPPI, load_encoder, stage2
from lcplm_graph.evaluation.guard import check_encoder
from lcplm_graph.evaluation.link import evaluate_link
from lcplm_graph.evaluation.link_pairs import LinkOptions, labelled_pairs
from lcplm_graph.evaluation.plots import draw_roc_pr
from lcplm_graph.evaluation.scorers import link_scorers
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.proteins.fasta import write_fasta


def write_core(folder: Path, proteins: int, longest: int) -> Path:
    """Write the best-connected proteins as a table of pairs with a FASTA file beside it."""
    dataset = StringPPI("string_human_core")
    edges = dataset[0].edge_index.numpy().T
    degree = np.bincount(edges[:, 0], minlength=len(dataset.sequences))
    degree[dataset.sequences.lengths > longest] = 0
    chosen = np.sort(np.argsort(-degree, kind="stable")[:proteins])
    keep = np.isin(edges, chosen).all(1) & (edges[:, 0] < edges[:, 1])
    ids = dataset.sequences.ids
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "core.tsv"
    table.write_text("".join(f"{ids[i]}\t{ids[j]}\t1\n" for i, j in edges[keep]))
    store = dataset.sequences.select(chosen)
    write_fasta(folder / "core.fasta", store.ids, store)
    return table


def main() -> None:
    """Train stage 2, then evaluate both encoders on its own split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="where stage 2 starts")
    parser.add_argument("--steps", type=int, default=200, help="of stage 2")
    parser.add_argument("--proteins", type=int, default=1000)
    parser.add_argument("--longest", type=int, default=400, help="residues of a protein at most")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("outputs/stage2_then_link"))
    options = parser.parse_args()
    table = write_core(options.out, options.proteins, options.longest)

    run = options.out / f"stage2-{options.steps}"
    command = ["--graph", f"pairs:{table}", "--encoder", options.encoder, "--split", "node"]
    quick = ["--decoder-steps", "5", "--eval-pairs", "20"] if options.quick else []
    stage2.main([*command, *quick, "--steps", str(options.steps), "--out", str(run)])

    dataset = PairPPI(table)
    split = Split.load(run / "split")  # the held-out pairs that stage 2 never walked over
    link = LinkOptions(ranked=0, resamples=20 if options.quick else 100)
    fit = replace(LINK_FIT, steps=10 if options.quick else LINK_FIT.steps, progress=True)
    classes = labelled_pairs(split, link)
    report, curves = None, {}
    for title, encoder, context in (
        ("LC-PLM", load_encoder(options.encoder), None),
        ("LC-PLM-G", load_encoder(run), "walks"),
    ):
        check_encoder(encoder, dataset.sequences, split)
        encoder.name = title  # how the table and the picture call it
        # Interactions of relatives would count alike for both.
        rows = link_scorers(dataset, split, encoder, context=context, fit=fit, homologues=False)
        scorers = list(rows)
        if report is not None:  # the baselines are in the table already
            scorers = [s for s in scorers if s.encoder]
        part, drawn = evaluate_link(scorers, classes, split, options=link)
        for name, models in drawn.items():
            curves.setdefault(name, {}).update(models)
        if report is None:
            report = part
        else:
            report.rows = sorted(report.rows + part.rows, key=lambda row: row["class"])
    report.facts |= {"stage 2": f"{options.steps} steps from {options.encoder}"}
    print(f"\n{report}")
    report.save(options.out)
    draw_roc_pr(options.out / "roc_pr.png", curves, 10, "LC-PLM and LC-PLM-G")
    print(f"\nwritten: {options.out}/results.json, {options.out}/roc_pr.png")


if __name__ == "__main__":
    main()

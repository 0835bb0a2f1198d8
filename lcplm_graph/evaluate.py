"""`python -m lcplm_graph.evaluate link | function | homology`: tables with baselines and intervals.

Each prints a table, and writes ``results.json`` and pictures into ``--out``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcplm_graph.errors import ConfigError, LcPlmError
from lcplm_graph.models.shipped import DEFAULT_ENCODER

if TYPE_CHECKING:
    from lcplm_graph.evaluation.report import Report
    from lcplm_graph.models.encoders import Encoder
    from lcplm_graph.splits.split import Split

ASPECTS = ("MF", "BP", "CC")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation.

    Returns
    -------
    int
        0; 1 if something is wrong with data, encoder or split, leakage included.
    """
    options = make_parser().parse_args(argv)
    try:
        report: Report = options.run(options)
    except LcPlmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    path = report.save(options.out)
    print(report)
    print(f"\nwritten: {path.parent}/results.json and pictures")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="lcplm evaluate", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="link | function | homology")
    _link_parser(commands)
    _function_parser(commands)
    _homology_parser(commands)
    return parser


def _common(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    add = command.add_argument
    add("--encoder", default=DEFAULT_ENCODER,
        help="a name or path, see load_encoder (default: %(default)s)")  # fmt: skip
    add("--pool", choices=("mean", "mean_std", "cls", "max"),
        help="default: the one the encoder recommends")  # fmt: skip
    add("--out", default=f"outputs/evaluate-{name}", help="folder (default: %(default)s)")
    add("--seed", type=int, default=0, help="of split, negatives, heads and bootstrap")
    return command


def _link_parser(commands: Any) -> None:
    text = "does a pair of proteins interact: C1, C2, C3 by model"
    add = _common(commands, "link", _link, text).add_argument
    add("--graph", default="string_human_core", help="a STRING network, or pairs:FILE")
    add("--split", default="node", help="a kind (node has C1, C2 and C3), or a saved split.json")
    add("--negatives", default="stub_matched",
        choices=("stub_matched", "uniform", "hard", "published"))  # fmt: skip
    add("--ratio", type=float, default=1.0, help="negatives drawn per positive")
    add("--conv", default="GraphSAGE", help="convolution of the last row")
    add("--decoder", default="hadamard-mlp", choices=("dot", "hadamard-mlp", "bilinear"))
    add("--context", choices=("walks",), help="embed proteins inside walks (LC-PLM-G)")
    add("--ranked", type=int, default=100, help="test pairs per class ranked for MRR; 0: none")
    add("--resamples", type=int, default=200, help="of the bootstrap over proteins")
    add("--steps", type=int, default=300, help="training steps of a head at most")
    add("--allow-leakage", action="store_true",
        help="evaluate an encoder that saw test edges, marked LEAKED")  # fmt: skip


def _function_parser(commands: Any) -> None:
    text = "which GO terms does a protein have: Fmax, Smin, AUPR per aspect"
    add = _common(commands, "function", _function, text).add_argument
    add("--data", default="string_human_core", help="dataset with annotations and ontology")
    add("--annotations", nargs="+",
        help="files instead of --data: GAF, or tables of EntryID and term")  # fmt: skip
    add("--later-annotations", nargs="+", help="of a later date: a time split as in CAFA")
    add("--ontology", help="OBO file, with --annotations")
    add("--sequences", help="FASTA file, with --annotations")
    add("--evidence", nargs="+", default=["experimental"], help="experimental, cafa, all, or codes")
    add("--exclude", nargs="*", default=["GO:0005515"], metavar="GO:...",
        help="terms that do not count; none given: all count (default: %(default)s)")  # fmt: skip
    add("--split", default="random", choices=("random", "cluster"),
        help="cluster: no test protein has a homologue in training")  # fmt: skip
    add("--aspect", nargs="+", default=list(ASPECTS), choices=ASPECTS)
    add("--min-proteins", type=int, default=10, help="a term needs so many training proteins")
    add("--conv", default="GraphSAGE", help="convolution of the last row, where there is a graph")
    add("--resamples", type=int, default=100, help="of the bootstrap of Fmax over proteins")
    add("--steps", type=int, default=300, help="training steps of a head at most; 0: no heads")


def _homology_parser(commands: Any) -> None:
    text = "which fold does a domain have: 1-NN and a linear probe on every held-out set"
    add = _common(commands, "homology", _homology, text).add_argument
    add("--source", default="tape", help="tape, tape_json, scope40, or a file or folder")
    add("--labels", help="with a FASTA file: table with domain, split and family")
    add("--level", default="fold", choices=("fold", "superfamily", "family"))
    add("--known", help="table of other programs' top-1: method, then one column per set")


def _link(options: argparse.Namespace) -> Report:
    from lcplm_graph.datasets.load import load_graph
    from lcplm_graph.evaluation.guard import check_encoder
    from lcplm_graph.evaluation.link import LinkOptions, evaluate_link, labelled_pairs
    from lcplm_graph.evaluation.scorers import link_scorers
    from lcplm_graph.heads.fit import FitOptions

    dataset = load_graph(options.graph)
    split = _split(options, dataset)
    encoder = _encoder(options)
    leaked = check_encoder(encoder, dataset.sequences, split, allow_leakage=options.allow_leakage)
    link = LinkOptions(
        negatives=options.negatives,
        ratio=options.ratio,
        ranked=options.ranked,
        resamples=options.resamples,
        seed=options.seed,
    )
    published = getattr(dataset[0], "neg_edge_index", None)
    published = None if published is None else published.numpy().T
    classes = labelled_pairs(split, link, published)
    scorers = link_scorers(
        dataset,
        split,
        encoder,
        pool=options.pool,
        conv=options.conv,
        decoder=options.decoder,
        context=options.context,
        fit=FitOptions(steps=options.steps, seed=options.seed, progress=True),
    )
    report, curves = evaluate_link(
        scorers, classes, split.known, split.num_nodes,
        split_kind=split.kind, options=link, leaked=leaked,
    )  # fmt: skip
    report.facts = {"graph": options.graph, "encoder": encoder.name, **report.facts}
    report.facts |= {"split fingerprint": split.fingerprint[:16], "seed": options.seed}
    _draw_link(options, dataset, encoder, curves, link.negatives)
    return report


def _draw_link(
    options: argparse.Namespace, dataset: Any, encoder: Encoder, curves: Any, negatives: str
) -> None:
    import numpy as np

    from lcplm_graph.evaluation.plots import draw_embeddings, draw_reliability, draw_roc_pr
    from lcplm_graph.features.store import cached_embeddings

    out = Path(options.out)
    draw_roc_pr(out / "roc_pr.png", curves, 10, f"{options.graph}, {negatives} negatives")
    last = {part: list(models.items())[-1] for part, models in curves.items()}
    sure = {
        part: (labels, 1 / (1 + np.exp(-np.clip(scores, -30, 30))))
        for part, (_, (labels, scores)) in last.items()
    }
    name = next(iter(last.values()))[0]
    ratio = next(iter(sure.values()))[0]
    note = f"{(~ratio).sum() / ratio.sum():.2g} negatives per positive"
    draw_reliability(out / "reliability.png", sure, f"{name}\n{note}")
    x = cached_embeddings(encoder, dataset.sequences, options.pool)
    degree = np.bincount(dataset[0].edge_index[0].numpy(), minlength=len(x))
    bins = [next(t for n, t in _DEGREES if d < n) for d in degree]
    draw_embeddings(out / "embeddings.png", x, bins, f"{encoder.name}, by degree")


_DEGREES = ((2, "degree 1"), (5, "degree 2-4"), (20, "degree 5-19"), (1 << 62, "degree 20+"))


def _function(options: argparse.Namespace) -> Report:
    from lcplm_graph.datasets.go import GOFunction
    from lcplm_graph.evaluation.function import FUNCTION_FIT, FunctionOptions, evaluate_function
    from lcplm_graph.evaluation.plots import draw_bars
    from lcplm_graph.go.annotations import EVIDENCE_SETS

    encoder = _encoder(options)
    chosen = FunctionOptions(
        pool=options.pool,
        conv=options.conv,
        resamples=options.resamples,
        seed=options.seed,
        fit=replace(FUNCTION_FIT, steps=options.steps, seed=options.seed, progress=True),
    )
    evidence = options.evidence
    joined, bars = None, {}
    for aspect in options.aspect:
        dataset = GOFunction(
            None if options.annotations else options.data,
            aspect=aspect,
            annotations=options.annotations,
            later_annotations=options.later_annotations,
            ontology=options.ontology,
            sequences=options.sequences,
            evidence=evidence[0] if evidence[0] in EVIDENCE_SETS and not evidence[1:] else evidence,
            exclude=options.exclude,
            split=options.split,
            min_proteins=options.min_proteins,
            seed=options.seed,
        )
        report = evaluate_function(dataset, encoder, aspect, chosen)
        bars[aspect] = {row["model"]: row["fmax"] for row in report.rows}
        if joined is None:
            joined = report
        else:
            joined.rows += report.rows
            joined.facts |= report.facts
    assert joined is not None  # argparse gives at least one aspect
    source = options.data if not options.annotations else ", ".join(options.annotations)
    split = "by time" if options.later_annotations else options.split
    joined.facts = {"data": source, "split": split, "encoder": encoder.name, **joined.facts}
    draw_bars(Path(options.out) / "fmax.png", bars, "Protein function", "Fmax")
    return joined


def _homology(options: argparse.Namespace) -> Report:
    from lcplm_graph.datasets.homology import RemoteHomology
    from lcplm_graph.evaluation.homology import HomologyOptions, evaluate_homology, read_known
    from lcplm_graph.evaluation.plots import draw_bars, draw_embeddings
    from lcplm_graph.features.store import cached_embeddings

    dataset = RemoteHomology(options.source, options.labels)
    encoder = _encoder(options)
    known = read_known(options.known) if options.known else None
    chosen = HomologyOptions(
        pool=options.pool, level=options.level, seed=options.seed, progress=True
    )
    report = evaluate_homology(dataset, encoder, known, chosen)
    report.facts = {"data": options.source, "encoder": encoder.name, **report.facts}
    out, data = Path(options.out), dataset[0]
    bars: dict[str, dict[str, Any]] = {}
    for row in report.rows:
        if row["top1"] is not None:
            bars.setdefault(row["part"], {})[row["model"]] = row["top1"]
    draw_bars(out / "top1.png", bars, f"Remote homology: {options.level}", "top-1 accuracy")
    names = getattr(data, f"{options.level}_names", None)
    codes = data[options.level].tolist()
    groups = [None if c < 0 else (names[c] if names else str(c)) for c in codes]
    x = cached_embeddings(encoder, dataset.sequences, options.pool)
    draw_embeddings(out / "embeddings.png", x, groups, f"{encoder.name}, by {options.level}")
    return report


def _split(options: argparse.Namespace, dataset: Any) -> Split:
    from lcplm_graph.splits.make import SPLIT_KINDS
    from lcplm_graph.splits.split import Split

    if options.split in SPLIT_KINDS:
        return dataset.split(kind=options.split, seed=options.seed)
    split = Split.load(options.split)
    if split.num_nodes != len(dataset.sequences):
        raise ConfigError(
            f"{options.split} splits a graph of {split.num_nodes} proteins, but {options.graph} "
            f"has {len(dataset.sequences)}; give the graph it was made for"
        )
    return split


def _encoder(options: argparse.Namespace) -> Encoder:
    import torch

    from lcplm_graph.models.encoders import load_encoder

    encoder = load_encoder(options.encoder)
    options.pool = options.pool or encoder.pool
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    sys.exit(main())

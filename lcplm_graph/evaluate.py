"""Tables with baselines and intervals: link, function, homology, contacts and variants.

Each command prints a table, and writes ``results.json`` and pictures into ``--out``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lcplm_graph.command import Command, positional, run_subcommand, several
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.shipped import DEFAULT_ENCODER

if TYPE_CHECKING:
    from lcplm_graph.evaluation.link import LinkOptions
    from lcplm_graph.evaluation.link_task import LinkTask
    from lcplm_graph.evaluation.report import Report
    from lcplm_graph.models.encoders import Encoder
    from lcplm_graph.models.masked_lm import MaskedLM

Pool = Literal["mean", "mean_std", "cls", "max"]
Aspect = Literal["MF", "BP", "CC"]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What all evaluations take.

    Parameters
    ----------
    encoder
        A name or path, see load_encoder.
    pool
        From residues to one vector a protein; default: the one the encoder recommends.
    seed
        Of split, negatives, heads and bootstrap.
    """

    encoder: str = DEFAULT_ENCODER
    pool: Pool | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LinkCommand(EvaluateOptions):
    """Options of ``lcplm evaluate link``.

    Parameters
    ----------
    out
        Folder to write into.
    graph
        A STRING network, pairs:FILE, or with --test-pairs the published training table.
    valid_pairs
        Published validation table of id, id, 0 or 1, with tabs between.
    test_pairs
        Published test table; the published split is kept as it is.
    sequences
        FASTA files of the proteins in the three tables.
    split
        A kind (node has C1, C2 and C3), or a saved split.json.
    negatives
        Kind of negatives that test pairs are told from.
    ratio
        Negatives drawn per positive.
    conv
        Convolution of the link model, or none; default: GraphSAGE where validation pairs have
        proteins with edges.
    decoder
        From two states to log-odds.
    context
        Embed proteins inside walks (LC-PLM-G).
    ranked
        Test pairs per class that are ranked among all proteins for MRR; 0: none. Default: 100, of
        published tables none.
    resamples
        Of the bootstrap over proteins.
    steps
        Training steps of a head.
    members
        Heads of a row, of different seeds.
    allow_leakage
        Go on where test pairs are training pairs, or the encoder saw them; numbers are marked
        LEAKED.
    """

    out: str = "outputs/evaluate-link"
    graph: str = "string_human_core"
    valid_pairs: str | None = None
    test_pairs: str | None = None
    sequences: list[str] = several(default=[], metavar="FASTA")
    split: str = "node"
    negatives: Literal["stub_matched", "uniform", "hard", "published"] = "stub_matched"
    ratio: float = 1.0
    conv: str | None = None
    decoder: Literal["dot", "hadamard-mlp", "bilinear"] = "hadamard-mlp"
    context: Literal["walks"] | None = None
    ranked: int | None = None
    resamples: int = 200
    steps: int | None = None
    members: int = 4
    allow_leakage: bool = False


@dataclass(frozen=True, kw_only=True)
class FunctionCommand(EvaluateOptions):
    """Options of ``lcplm evaluate function``.

    Parameters
    ----------
    out
        Folder to write into.
    data
        Dataset with annotations and ontology.
    annotations
        Files instead of --data: GAF, or tables of EntryID and term.
    later_annotations
        Files of a later date: a time split as in CAFA.
    ontology
        OBO file, with --annotations.
    sequences
        FASTA file, with --annotations.
    evidence
        experimental, cafa, all, or codes.
    exclude
        Terms that do not count; none given: all count.
    split
        cluster: no test protein has a homologue in training.
    aspect
        MF, BP, CC, or some of them.
    min_proteins
        A term needs so many training proteins.
    conv
        Convolution of the last row, where there is a graph.
    resamples
        Of the bootstrap of Fmax over proteins.
    steps
        Training steps of a head; 0: no heads.
    """

    out: str = "outputs/evaluate-function"
    data: str = "string_human_core"
    annotations: list[str | PathLike[str]] | None = several(default=None)
    later_annotations: list[str | PathLike[str]] | None = several(default=None)
    ontology: str | None = None
    sequences: str | None = None
    evidence: list[str] = several(default=["experimental"])
    exclude: list[str] = several(default=["GO:0005515"], nargs="*", metavar="GO:...")
    split: Literal["random", "cluster"] = "random"
    aspect: list[Aspect] = several(default=["MF", "BP", "CC"])
    min_proteins: int = 10
    conv: str = "GraphSAGE"
    resamples: int = 100
    steps: int = 300


@dataclass(frozen=True, kw_only=True)
class HomologyCommand(EvaluateOptions):
    """Options of ``lcplm evaluate homology``.

    Parameters
    ----------
    out
        Folder to write into.
    source
        tape, tape_json, scope40, or a file or folder.
    labels
        With a FASTA file: table with domain, split and family.
    level
        Of the classification.
    known
        Table of other programs' top-1: method, then one column per set.
    """

    out: str = "outputs/evaluate-homology"
    source: str = "tape"
    labels: str | None = None
    level: Literal["fold", "superfamily", "family"] = "fold"
    known: str | None = None


@dataclass(frozen=True, kw_only=True)
class ContactsCommand:
    """Options of ``lcplm evaluate contacts``.

    Parameters
    ----------
    folder
        PDB, mmCIF or BinaryCIF files; every chain counts, each sequence once.
    out
        Folder to write into.
    encoder
        An LC-PLM or an ESM-2, see load_encoder.
    untrained
        Also measure a model of the same shape that learned nothing; it doubles the time.
    least
        Shorter chains are left out.
    most
        Longer chains are left out.
    max_tokens
        Tokens per batch.
    seed
        Of the bootstrap.
    """

    folder: str = positional(metavar="FOLDER")
    out: str = "outputs/evaluate-contacts"
    encoder: str = DEFAULT_ENCODER
    untrained: bool = False
    least: int = 40
    most: int | None = None
    max_tokens: int = 4096
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class VariantsCommand:
    """Options of ``lcplm evaluate variants``.

    Parameters
    ----------
    folder
        ProteinGym's tables of substitution assays.
    reference
        Its reference file, DMS_substitutions.csv.
    alignments
        Folder of its alignments, for the site-independent baseline.
    out
        Folder to write into.
    encoder
        An LC-PLM or an ESM-2, see load_encoder.
    method
        masked: each changed position is masked in its turn; wild-type: one pass a protein;
        pseudo-perplexity: of the whole changed protein.
    max_tokens
        Tokens per batch.
    seed
        Of the bootstrap.
    """

    folder: str = positional(metavar="FOLDER")
    reference: str
    alignments: str | None = None
    out: str = "outputs/evaluate-variants"
    encoder: str = DEFAULT_ENCODER
    method: Literal["masked", "wild-type", "pseudo-perplexity"] = "masked"
    max_tokens: int = 4096
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class OgbCommand:
    """Options of ``lcplm evaluate ogb``.

    Parameters
    ----------
    archive
        OGB's zip archive of ogbl-ppa or its folder; fetched by default.
    sequences
        FASTA files of STRING v11.0; fetched by default.
    encoder
        A name or path, see load_encoder; none: the baselines alone.
    out
        Folder to write into.
    hits
        K of Hits@K.
    steps
        Training steps of a head.
    members
        Heads of different seeds.
    seed
        Of training.
    """

    archive: str | None = None
    sequences: list[str] = several(default=[], metavar="FASTA")
    encoder: str | None = None
    out: str = "outputs/evaluate-ogb"
    hits: int = 100
    steps: int | None = None
    members: int = 2
    seed: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation.

    Returns
    -------
    int
        0; 1 if something is wrong with data, encoder or split, leakage included; 2 for a wrong
        command line.
    """
    return run_subcommand("evaluate", _COMMANDS, argv, str(__doc__))


def _link(options: LinkCommand) -> None:
    from lcplm_graph.evaluation.link import evaluate_link
    from lcplm_graph.evaluation.scorers import link_scorers
    from lcplm_graph.heads.fit_link import LINK_FIT

    link, task = _link_task(options)
    encoder, pool = _encoder(options)
    leaked = task.guard(encoder, allow_leakage=options.allow_leakage)
    fit = replace(LINK_FIT, seed=options.seed, progress=True)
    scorers = link_scorers(
        task.dataset,
        task.split,
        encoder,
        pool=pool,
        conv=options.conv,
        decoder=options.decoder,
        context=options.context,
        fit=fit if options.steps is None else replace(fit, steps=options.steps),
        members=options.members,
    )
    report, curves = evaluate_link(scorers, task.classes, task.split, options=link, leaked=leaked)
    report.facts = {"graph": task.name, "encoder": encoder.name, **report.facts, **task.facts}
    task.draw(options.out, encoder, pool, curves)
    _finish(report, options.out)


def _link_task(options: LinkCommand) -> tuple[LinkOptions, LinkTask]:
    from lcplm_graph.evaluation.link import LinkOptions
    from lcplm_graph.evaluation.link_task import LinkTask

    published = options.test_pairs is not None
    given = {
        "--valid-pairs": options.valid_pairs,
        "--test-pairs": options.test_pairs,
        "--sequences": options.sequences or None,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        raise ConfigError(
            f"a published split is --graph pairs:TRAIN with --valid-pairs, --test-pairs and "
            f"--sequences; {' and '.join(missing)} is missing"
        )
    ranked = (0 if published else 100) if options.ranked is None else options.ranked
    link = LinkOptions(
        negatives=options.negatives,
        ratio=options.ratio,
        ranked=ranked,
        resamples=options.resamples,
        seed=options.seed,
    )
    if options.valid_pairs is None or options.test_pairs is None:
        return link, LinkTask.of_graph(options.graph, options.split, link)
    task = LinkTask.of_tables(
        options.graph.removeprefix("pairs:"),
        options.valid_pairs,
        options.test_pairs,
        options.sequences,
        link,
        allow_leakage=options.allow_leakage,
    )
    return link, task


def _function(options: FunctionCommand) -> None:
    from lcplm_graph.datasets.go import GOFunction
    from lcplm_graph.evaluation.function import FUNCTION_FIT, FunctionOptions, evaluate_function
    from lcplm_graph.evaluation.plots import draw_bars
    from lcplm_graph.go.annotations import EVIDENCE_SETS

    encoder, pool = _encoder(options)
    chosen = FunctionOptions(
        pool=pool,
        conv=options.conv,
        resamples=options.resamples,
        seed=options.seed,
        fit=replace(FUNCTION_FIT, steps=options.steps, seed=options.seed, progress=True),
    )
    evidence = options.evidence
    joined: Report | None = None
    bars: dict[str, dict[str, Any]] = {}
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
    assert joined is not None  # the parser gives at least one aspect
    source = options.data if not options.annotations else ", ".join(map(str, options.annotations))
    split = "by time" if options.later_annotations else options.split
    joined.facts = {"data": source, "split": split, "encoder": encoder.name, **joined.facts}
    draw_bars(Path(options.out) / "fmax.png", bars, "Protein function", "Fmax")
    _finish(joined, options.out)


def _homology(options: HomologyCommand) -> None:
    from lcplm_graph.datasets.homology import RemoteHomology
    from lcplm_graph.evaluation.homology import HomologyOptions, evaluate_homology, read_known
    from lcplm_graph.evaluation.plots import draw_bars, draw_embeddings
    from lcplm_graph.features.store import cached_embeddings

    dataset = RemoteHomology(options.source, options.labels)
    encoder, pool = _encoder(options)
    known = read_known(options.known) if options.known else None
    chosen = HomologyOptions(pool=pool, level=options.level, seed=options.seed, progress=True)
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
    x = cached_embeddings(encoder, dataset.sequences, pool)
    draw_embeddings(out / "embeddings.png", x, groups, f"{encoder.name}, by {options.level}")
    _finish(report, options.out)


def _ogb(options: OgbCommand) -> None:
    from lcplm_graph.datasets.ogb import OGBLPPA
    from lcplm_graph.evaluation.ogb import evaluate_ogb
    from lcplm_graph.heads.fit_link import LINK_FIT
    from lcplm_graph.models.encoders import load_encoder

    dataset = OGBLPPA(options.archive, options.sequences or None)
    encoder = None if options.encoder is None else load_encoder(options.encoder)
    fit = replace(LINK_FIT, seed=options.seed, progress=True)
    fit = fit if options.steps is None else replace(fit, steps=options.steps)
    report = evaluate_ogb(dataset, encoder, k=options.hits, fit=fit, members=options.members)
    _finish(report, options.out)


def _finish(report: Report, out: str) -> None:
    path = report.save(out)
    print(report)
    print(f"\nwritten: {path.parent}/results.json and pictures")


def _encoder(options: EvaluateOptions) -> tuple[Encoder, str]:
    import torch

    from lcplm_graph.models.encoders import load_encoder

    encoder = load_encoder(options.encoder)
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu"), options.pool or encoder.pool


def _contacts(options: ContactsCommand) -> None:
    from lcplm_graph.evaluation.contacts import chains_of, evaluate_contacts
    from lcplm_graph.figures import draw_forest

    chains = chains_of(options.folder, options.least, options.most)
    models = _masked_lms(options.encoder, options.untrained)
    report = evaluate_contacts(chains, models, max_tokens=options.max_tokens, seed=options.seed)
    report.facts = {"structures": options.folder, **report.facts}
    parts: dict[str, dict[str, Any]] = {}
    for row in report.rows:
        if row["pl"] is not None:
            parts.setdefault(row["range"], {})[row["model"]] = row["pl"]
    draw_forest(Path(options.out) / "contacts.png", parts, "P@L", report.title)
    _finish(report, options.out)


def _masked_lms(name: str, untrained: bool) -> dict[str, MaskedLM]:
    import torch

    from lcplm_graph.evaluation.models import random_twin, shown_name
    from lcplm_graph.models.masked_lm import load_masked_lm

    lm: Any = load_masked_lm(name, "cuda" if torch.cuda.is_available() else None)
    models: dict[str, MaskedLM] = {shown_name(lm): lm}
    if untrained:
        twin: Any = random_twin(lm)
        if twin is None:
            raise ConfigError(f"--untrained needs an LC-PLM that was trained, not {name}")
        models[f"{lm.name} untrained"] = twin
    return models


def _variants(options: VariantsCommand) -> None:
    from lcplm_graph.evaluation.variants import evaluate_variants, read_assays

    assays = read_assays(options.reference, options.folder, options.alignments)
    ((title, lm),) = _masked_lms(options.encoder, untrained=False).items()
    report = evaluate_variants(
        assays, lm, title, options.method, max_tokens=options.max_tokens, seed=options.seed
    )
    _finish(report, options.out)


_COMMANDS = {
    "link": Command(LinkCommand, _link, "does a pair of proteins interact: C1, C2, C3 by model"),
    "function": Command(
        FunctionCommand,
        _function,
        "which GO terms does a protein have: Fmax, Smin, AUPR per aspect",
    ),
    "homology": Command(
        HomologyCommand,
        _homology,
        "which fold does a domain have: 1-NN and a linear probe on every held-out set",
    ),
    "variants": Command(
        VariantsCommand, _variants, "what do substitutions do: Spearman on ProteinGym's assays"
    ),
    "contacts": Command(
        ContactsCommand, _contacts, "which residues touch: P@L on a folder of structures"
    ),
    "ogb": Command(OgbCommand, _ogb, "ogbl-ppa by OGB's own split and Hits@100"),
}


if __name__ == "__main__":
    sys.exit(main())

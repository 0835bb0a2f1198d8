"""Tables with baselines and intervals: link, function, homology, contacts and variants.

Each command prints a table, and writes ``results.json`` and pictures into ``--out``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from lcplm_graph.command import (
    KEPT_EMBEDDINGS,
    Command,
    PageOption,
    positional,
    run_subcommand,
    several,
)
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.shipped import DEFAULT_ENCODER

if TYPE_CHECKING:
    from lcplm_graph.evaluation.link import LinkOptions
    from lcplm_graph.evaluation.link_task import LinkTask
    from lcplm_graph.evaluation.report import Report
    from lcplm_graph.heads.fit import FitOptions
    from lcplm_graph.models.encoders import Encoder

Pool = Literal["mean", "mean_std", "cls", "max"]
Aspect = Literal["MF", "BP", "CC"]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PageOption):
    """What all evaluations take.

    Parameters
    ----------
    encoder
        A name or path, see load_encoder.
    pool
        From residues to one vector a protein; default: the one the encoder recommends.
    precision
        What the encoder computes with, see lcplm embed.
    seed
        Of split, negatives, heads and bootstrap.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    encoder: str = DEFAULT_ENCODER
    pool: Pool | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    seed: int = 0
    device: str | None = None


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
    predictor
        Class of the heads: link, or one that an installed package adds (lcplm_graph.heads).
    context
        walks: a row of proteins embedded inside walks beside those embedded alone; the link model
        takes the former.
    ranked
        Test pairs per class that are ranked among all proteins for MRR; 0: none. Default: 100, of
        published tables none.
    resamples
        Of the bootstrap over proteins.
    steps
        Training steps of a head.
    members
        Heads of a row, of different seeds; the link model has at least one of each kind.
    untrained
        The row of an encoder of the same shape with random weights, which doubles what embedding
        costs where no features are kept yet.
    allow_leakage
        Go on where test pairs are training pairs, or the encoder saw them; numbers are marked
        LEAKED.
    """

    out: str = "outputs/evaluate-link"
    graph: str = "string_human_core"
    valid_pairs: str | None = None
    test_pairs: str | None = None
    sequences: list[str] = several(default=[], metavar="FASTA")
    split: str = "node"  # not the default kind: its table has all three classes
    negatives: Literal["stub_matched", "uniform", "hard", "published"] = "stub_matched"
    ratio: float = 1.0
    conv: str | None = None
    decoder: Literal["dot", "hadamard-mlp", "bilinear"] = "hadamard-mlp"
    predictor: str = "link"
    context: Literal["walks"] | None = None
    ranked: int | None = None
    resamples: int = 200
    steps: int | None = None
    members: int = 4
    untrained: bool = True
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
        A term needs this many training proteins.
    conv
        Convolution of the last row, where there is a graph.
    context
        walks: a row of proteins embedded inside walks over the graph.
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
    context: Literal["walks"] | None = None
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
class ContactsCommand(PageOption):
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
class VariantsCommand(PageOption):
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
class OgbCommand(PageOption):
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
    from lcplm_graph.evaluation.link import LinkOptions
    from lcplm_graph.heads.fit_link import LINK_FIT

    ranked = (0 if options.test_pairs else 100) if options.ranked is None else options.ranked
    link = LinkOptions(
        negatives=options.negatives,
        ratio=options.ratio,
        ranked=ranked,
        resamples=options.resamples,
        seed=options.seed,
    )
    task = _link_task(options, link)
    encoder, pool = _encoder(options)
    report, curves = task.evaluate(
        encoder,
        link,
        allow_leakage=options.allow_leakage,
        pool=pool,
        conv=options.conv,
        decoder=options.decoder,
        head=options.predictor,
        context=options.context,
        fit=_fit(LINK_FIT, options.steps, options.seed),
        members=options.members,
        untrained=options.untrained,
    )
    task.draw(options.out, encoder, pool, report, curves)
    sections = {"Leakage": task.leakage()} if options.report else {}
    _finish(report, options, "auroc", sections)


def _link_task(options: LinkCommand, link: LinkOptions) -> LinkTask:
    from lcplm_graph.evaluation.link_task import LinkTask

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
    if options.valid_pairs is None or options.test_pairs is None:
        return LinkTask.of_graph(options.graph, options.split, link)
    return LinkTask.of_tables(
        options.graph.removeprefix("pairs:"),
        options.valid_pairs,
        options.test_pairs,
        options.sequences,
        link,
        allow_leakage=options.allow_leakage,
    )


def _function(options: FunctionCommand) -> None:
    from lcplm_graph.evaluation.function import FUNCTION_FIT, FunctionOptions
    from lcplm_graph.evaluation.function_task import FunctionTask, draw_function

    encoder, pool = _encoder(options)
    task = FunctionTask(
        data=options.data,
        annotations=options.annotations,
        later_annotations=options.later_annotations,
        ontology=options.ontology,
        sequences=options.sequences,
        evidence=options.evidence,
        exclude=options.exclude,
        split=options.split,
        min_proteins=options.min_proteins,
        seed=options.seed,
    )
    chosen = FunctionOptions(
        pool=pool,
        conv=options.conv,
        context=options.context,
        resamples=options.resamples,
        seed=options.seed,
        fit=_fit(FUNCTION_FIT, options.steps, options.seed),
    )
    report = task.evaluate(options.aspect, encoder, chosen)
    draw_function(report, options.out)
    _finish(report, options, "fmax")


def _homology(options: HomologyCommand) -> None:
    from lcplm_graph.datasets.homology import RemoteHomology
    from lcplm_graph.evaluation.homology import HomologyOptions
    from lcplm_graph.evaluation.homology_task import HomologyTask

    task = HomologyTask(options.source, RemoteHomology(options.source, options.labels))
    encoder, pool = _encoder(options)
    chosen = HomologyOptions(pool=pool, level=options.level, seed=options.seed, progress=True)
    report = task.evaluate(encoder, chosen, options.known)
    task.draw(options.out, report, encoder, chosen)
    _finish(report, options, "top1")


def _variants(options: VariantsCommand) -> None:
    from lcplm_graph.evaluation.models import masked_lms
    from lcplm_graph.evaluation.variants import evaluate_variants, read_assays

    assays = read_assays(options.reference, options.folder, options.alignments)
    ((title, lm),) = masked_lms(options.encoder).items()
    report = evaluate_variants(
        assays, lm, title, options.method, max_tokens=options.max_tokens, seed=options.seed
    )
    _finish(report, options, "spearman")


def _contacts(options: ContactsCommand) -> None:
    from lcplm_graph.evaluation.contacts import chains_of, draw_contacts, evaluate_contacts
    from lcplm_graph.evaluation.models import masked_lms

    chains = chains_of(options.folder, options.least, options.most)
    models = masked_lms(options.encoder, untrained=options.untrained)
    report = evaluate_contacts(chains, models, max_tokens=options.max_tokens, seed=options.seed)
    report.facts = {"structures": options.folder, **report.facts}
    draw_contacts(report, options.out)
    _finish(report, options, "pl")


def _ogb(options: OgbCommand) -> None:
    from lcplm_graph.datasets.ogb import OGBLPPA
    from lcplm_graph.evaluation.ogb import evaluate_ogb
    from lcplm_graph.heads.fit_link import LINK_FIT
    from lcplm_graph.models.encoders import load_encoder

    dataset = OGBLPPA(options.archive, options.sequences or None)
    encoder = None if options.encoder is None else load_encoder(options.encoder)
    fit = _fit(LINK_FIT, options.steps, options.seed)
    report = evaluate_ogb(dataset, encoder, k=options.hits, fit=fit, members=options.members)
    _finish(report, options, "test")


def _encoder(options: EvaluateOptions) -> tuple[Encoder, str]:
    from lcplm_graph.models.encoders import chosen_pool
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.process import chosen_device

    encoder = load_in_precision(options.encoder, options.precision, chosen_device(options.device))
    return encoder, chosen_pool(encoder, options.pool)


def _fit(defaults: FitOptions, steps: int | None, seed: int) -> FitOptions:
    steps = defaults.steps if steps is None else steps
    return replace(defaults, steps=steps, seed=seed, progress=True)


def _finish(
    report: Report,
    options: Any,
    metric: str,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    path = report.save(options.out)
    print(report)
    print(f"\nwritten: {path.parent}/results.json and pictures")
    if options.report is not None:
        from lcplm_graph.evaluation.page import write_page

        print(f"report: {write_page(options.report, report, metric=metric, sections=sections)}")


_COMMANDS = {
    "link": Command(
        LinkCommand,
        _link,
        "does a pair of proteins interact: C1, C2, C3 by model",
        KEPT_EMBEDDINGS,
    ),
    "function": Command(
        FunctionCommand,
        _function,
        "which GO terms does a protein have: Fmax, Smin, AUPR per aspect",
        KEPT_EMBEDDINGS,
    ),
    "homology": Command(
        HomologyCommand,
        _homology,
        "which fold does a domain have: 1-NN and a linear probe on every held-out set",
        KEPT_EMBEDDINGS,
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

"""``lcplm evaluate function``: which terms of the Gene Ontology a protein has."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Literal

from lcplm_graph.evaluate.shared import EvaluateOptions, finish, loaded
from lcplm_graph.option_parser import several
from lcplm_graph.options import check_annotations, check_counts


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
        Training steps of a head.
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
    aspect: list[Literal["MF", "BP", "CC"]] = several(default=["MF", "BP", "CC"])
    min_proteins: int = 10
    conv: str = "GraphSAGE"
    context: Literal["walks"] | None = None
    resamples: int = 100
    steps: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "steps", "min_proteins", typed=True)
        check_counts(self, "resamples", least=2, typed=True)
        check_annotations(self)


def run(options: FunctionCommand) -> None:
    """Evaluate, print the table and write it."""
    from lcplm_graph.evaluation.function import FUNCTION_FIT, FunctionOptions
    from lcplm_graph.evaluation.function_task import FunctionTask, draw_function

    encoder, pool = loaded(options)
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
        fit=FUNCTION_FIT.shown(options.steps, options.seed),
    )
    report = task.evaluate(options.aspect, encoder, chosen)
    draw_function(report, options.out)
    files = [*(options.annotations or []), *(options.later_annotations or [])]
    files += filter(None, (options.ontology, options.sequences))
    finish(report, "fmax", options.out, options.report, files=files)

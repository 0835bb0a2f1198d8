"""``lcplm evaluate homology``: which fold a domain has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lcplm_graph.evaluate.shared import EvaluateOptions, finish, loaded


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


def run(options: HomologyCommand) -> None:
    """Evaluate, print the table and write it."""
    from lcplm_graph.datasets.homology import RemoteHomology
    from lcplm_graph.evaluation.homology import HomologyOptions
    from lcplm_graph.evaluation.homology_task import HomologyTask

    dataset = RemoteHomology(options.source, options.labels)
    task = HomologyTask(options.source, dataset)
    encoder, pool = loaded(options)
    chosen = HomologyOptions(pool=pool, level=options.level, seed=options.seed, progress=True)
    report = task.evaluate(encoder, chosen, options.known)
    task.draw(options.out, report, encoder, chosen)
    finish(report, "top1", options.out, options.report, files=dataset.raw_paths)

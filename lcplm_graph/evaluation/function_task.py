"""What a function evaluation is about: annotations of some proteins, one aspect at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.function import FunctionOptions, evaluate_function
from lcplm_graph.evaluation.report import Report
from lcplm_graph.figures import draw_forest
from lcplm_graph.go.annotations import EVIDENCE_SETS
from lcplm_graph.models.encoders import Encoder

Paths = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, kw_only=True)
class FunctionTask:
    """Where proteins and annotations come from, and how they are split.

    Attributes
    ----------
    data : str
        Dataset with annotations and ontology; not used where `annotations` are given.
    annotations, later_annotations : sequence of path-like, optional
    ontology, sequences : str, optional
    evidence : sequence of str
        One set of codes by name, or codes.
    exclude : sequence of str
        Terms that do not count.
    split : {"random", "cluster"}
    min_proteins : int
    test : float
        Share of the annotated proteins to test on, where no later annotations are given.
    seed : int
    """

    data: str
    annotations: Paths | None = None
    later_annotations: Paths | None = None
    ontology: str | None = None
    sequences: str | None = None
    evidence: Sequence[str] = ("experimental",)
    exclude: Sequence[str] = ("GO:0005515",)
    split: str = "random"
    min_proteins: int = 10
    test: float = 0.2
    seed: int = 0

    @property
    def source(self) -> str:
        """Where the annotations come from, for tables."""
        return ", ".join(map(str, self.annotations)) if self.annotations else self.data

    def dataset(self, aspect: str) -> GOFunction:
        """Build the dataset of one aspect; errors are those of `GOFunction`."""
        name, *more = self.evidence
        return GOFunction(
            None if self.annotations else self.data,
            aspect=aspect,
            annotations=list(self.annotations) if self.annotations else None,
            later_annotations=list(self.later_annotations) if self.later_annotations else None,
            ontology=self.ontology,
            sequences=self.sequences,
            evidence=name if name in EVIDENCE_SETS and not more else list(self.evidence),
            exclude=self.exclude,
            split=self.split,
            min_proteins=self.min_proteins,
            test=self.test,
            seed=self.seed,
        )

    def evaluate(
        self, aspects: Sequence[str], encoder: Encoder, options: FunctionOptions
    ) -> Report:
        """Measure aspect after aspect and return one table of all.

        Raises
        ------
        InputError
            If no aspect is given, or a part of one has no annotated protein.
        """
        if not aspects:
            raise InputError("name at least one aspect: MF, BP or CC")
        reports = [
            evaluate_function(self.dataset(aspect), encoder, aspect, options) for aspect in aspects
        ]
        joined = reports[0]
        for report in reports[1:]:
            joined.rows += report.rows
            joined.facts |= report.facts
        split = "by time" if self.later_annotations else self.split
        facts = {"data": self.source, "split": split, "encoder": encoder.name}
        joined.facts = {**facts, "precision": encoder.precision, **joined.facts}
        return joined


def draw_function(report: Report, out: str | os.PathLike[str]) -> None:
    """Draw Fmax by aspect and model into a folder."""
    parts: dict[str, dict[str, Any]] = {}
    for row in report.rows:
        parts.setdefault(row["aspect"], {})[row["model"]] = row["fmax"]
    draw_forest(Path(out) / "fmax.png", parts, "Fmax", "Protein function")
    report.figures["Fmax of every model with its 95 % interval, by aspect"] = Path(out) / "fmax.png"

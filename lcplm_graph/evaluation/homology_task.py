"""What a homology evaluation is about: domains with their folds, and pictures of the results."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.evaluation.homology import HomologyOptions, evaluate_homology, read_known
from lcplm_graph.evaluation.maps import draw_embeddings
from lcplm_graph.evaluation.report import Report
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.figures import draw_forest
from lcplm_graph.models.encoders import Encoder


@dataclass(frozen=True)
class HomologyTask:
    """Domains, and where they come from.

    Attributes
    ----------
    name : str
        For the table.
    dataset : RemoteHomology
    """

    name: str
    dataset: RemoteHomology

    def evaluate(
        self,
        encoder: Encoder,
        options: HomologyOptions,
        known: str | os.PathLike[str] | None = None,
    ) -> Report:
        """Measure every model on every held-out set.

        Parameters
        ----------
        encoder : Encoder
        options : HomologyOptions
        known : path-like, optional
            Table of other programs' numbers, see `read_known`.
        """
        numbers = None if known is None else read_known(known)
        report = evaluate_homology(self.dataset, encoder, numbers, options)
        facts = {"data": self.name, "encoder": encoder.name, "precision": encoder.precision}
        report.facts = {**facts, **report.facts}
        return report

    def draw(
        self,
        out: str | os.PathLike[str],
        report: Report,
        encoder: Encoder,
        options: HomologyOptions,
    ) -> None:
        """Draw top-1 accuracy by held-out set, and the embeddings by class."""
        parts: dict[str, dict[str, Any]] = {}
        for row in report.rows:
            if row["top1"] is not None:
                parts.setdefault(row["part"], {})[row["model"]] = row["top1"]
        level, folder, data = options.level, Path(out), self.dataset[0]
        draw_forest(folder / "top1.png", parts, "top-1 accuracy", f"Remote homology: {level}")
        report.figures[f"Top-1 accuracy by {level}, on every held-out set"] = folder / "top1.png"
        names = getattr(data, f"{level}_names", None)
        groups = [
            None if code < 0 else (names[code] if names else str(code))
            for code in data[level].tolist()
        ]
        x = cached_embeddings(encoder, self.dataset.sequences, options.pool)
        ids = self.dataset.sequences.ids
        draw_embeddings(folder / "embeddings.png", x, groups, f"{encoder.name}, by {level}", ids)
        report.figures[f"The domains' features, coloured by {level}"] = folder / "embeddings.png"

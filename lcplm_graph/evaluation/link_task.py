"""What a link evaluation is about: a graph that is split here, or published tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.load import graph_split, load_graph
from lcplm_graph.datasets.published import PublishedPairs, facts
from lcplm_graph.evaluation.guard import LEAKED, check_encoder
from lcplm_graph.evaluation.link import evaluate_link
from lcplm_graph.evaluation.link_pairs import ClassPairs, LinkOptions, labelled_pairs
from lcplm_graph.evaluation.maps import draw_embeddings
from lcplm_graph.evaluation.plots import draw_auroc, draw_reliability, draw_roc_pr
from lcplm_graph.evaluation.report import Report, best_rows
from lcplm_graph.evaluation.scorers import link_scorers
from lcplm_graph.heads.link_model import serves_known_proteins
from lcplm_graph.heads.recipe import BASE, link_features
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.splits.leakage import leakage_report
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.split import Split

# Of the graph, before anything is held out: fewer partners than this have this name.
_PARTNERS = (
    (1, "no partner"),
    (2, "1 partner"),
    (5, "2 to 4 partners"),
    (20, "5 to 19 partners"),
    (1 << 62, "20 partners or more"),
)
Curves = dict[str, dict[str, tuple[Any, Any]]]


@dataclass
class LinkTask:
    """Proteins, their split, and the test pairs by class.

    Attributes
    ----------
    name : str
    dataset : PPI dataset
    split : Split
    classes : list of ClassPairs
    leaked : str
        Empty, or the mark of numbers that rest on leakage.
    facts : dict
        For the head of the table.
    """

    name: str
    dataset: Any
    split: Split
    classes: list[ClassPairs]
    leaked: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_graph(
        cls, graph: str, split: str, options: LinkOptions, min_score: float | None = None
    ) -> LinkTask:
        """Split a graph by a kind, or by a saved split; of the graph as `load_graph` reads it.

        Raises
        ------
        ConfigError
            If a saved split is of another graph.
        """
        dataset = load_graph(graph, min_score)
        made = graph_split(dataset, split, options.seed)
        published = getattr(dataset[0], "neg_edge_index", None)
        published = None if published is None else published.numpy().T
        classes = labelled_pairs(made, options, published)
        known: dict[str, Any] = {"split fingerprint": made.fingerprint[:16], "seed": options.seed}
        known |= {} if min_score is None else {"scores of at least": f"{min_score:g}"}
        return cls(graph, dataset, made, classes, facts=known)

    @classmethod
    def of_tables(
        cls,
        train: str,
        valid: str,
        test: str,
        sequences: Sequence[str],
        options: LinkOptions,
        *,
        allow_leakage: bool = False,
    ) -> LinkTask:
        """Take a published split as it is; errors are those of `PublishedPairs`."""
        dataset = PublishedPairs(train, valid, test, sequences, allow_leakage=allow_leakage)
        shared = any(
            count for what, count in dataset.report["in_common"].items() if what.startswith("pairs")
        )
        classes = labelled_pairs(dataset.split, options)
        counts = facts(dataset.report) | {"classes of the test file": _by_class(dataset.split)}
        leaked = LEAKED if shared else ""
        return cls(str(train), dataset, dataset.split, classes, leaked, counts)

    def evaluate(
        self,
        encoder: Encoder,
        options: LinkOptions,
        *,
        allow_leakage: bool = False,
        **scorers: Any,
    ) -> tuple[Report, Curves]:
        """Measure every row of the table.

        Parameters
        ----------
        encoder : Encoder
        options : LinkOptions
        allow_leakage : bool
            Mark an encoder that saw held-out pairs instead of refusing it.
        **scorers
            Options of `link_scorers`.

        Returns
        -------
        report : Report
        curves : dict
            Class to model to (labels, scores).

        Raises
        ------
        LeakageError
            If the encoder saw held-out pairs.
        """
        leaked = self.guard(encoder, allow_leakage=allow_leakage)
        rows = link_scorers(self.dataset, self.split, encoder, **scorers)
        report, curves = evaluate_link(
            rows, self.classes, self.split,
            options=options, leaked=leaked, every_row=bool(self.leaked),
        )  # fmt: skip
        report.facts = {
            "graph": self.name,
            "encoder": encoder.name,
            "encoder sha256": encoder.fingerprint()[:16],
            "precision": encoder.precision,
            **report.facts,
            **self.facts,
        }
        return report, curves

    def guard(self, encoder: Encoder, *, allow_leakage: bool = False) -> str:
        """Refuse or mark an encoder that saw held-out pairs; return the mark of this table."""
        seen = check_encoder(
            encoder, self.dataset.sequences, self.split, allow_leakage=allow_leakage
        )
        return self.leaked or seen

    def draw(
        self,
        out: str | os.PathLike[str],
        encoder: Encoder,
        pool: str,
        report: Report,
        curves: Curves,
    ) -> None:
        """Draw AUROC by class, ROC and precision-recall, reliability, embeddings by degree."""
        folder = Path(out)
        add = report.figures
        add["AUROC of every model with its 95 % interval, by class of pairs"] = (
            folder / "forest.png"
        )
        add["Receiver operating characteristic, and precision by recall"] = folder / "roc_pr.png"
        draw_auroc(folder / "forest.png", report, self.name)
        draw_roc_pr(folder / "roc_pr.png", curves, self._ratio(), self.name)
        sure = {
            report.rows[row]["class"]: (report.rows[row]["model"], report.rows[row]["reliability"])
            for row in best_rows(report.rows, "auroc").values()
            if report.rows[row]["reliability"]
        }
        if sure:
            draw_reliability(
                folder / "reliability.png", sure, "Calibration of the best model, pairs by bin"
            )
            add["Calibration: of the pairs with such a probability, how many interact"] = (
                folder / "reliability.png"
            )
        # The same features as the heads': others would be a second pass over all proteins.
        parts = not serves_known_proteins(self.split)
        x = link_features(encoder, self.dataset.sequences, pool=pool, parts=parts)[BASE]
        degree = np.bincount(self.dataset[0].edge_index[0].numpy(), minlength=len(x))
        bins = [next(text for below, text in _PARTNERS if d < below) for d in degree]
        order = [text for _, text in _PARTNERS]
        names, title = with_symbols(self.dataset), f"{encoder.name}, by number of partners"
        draw_embeddings(folder / "embeddings.png", x, bins, title, names, order)
        add["The proteins' features, coloured by their number of partners in the graph"] = (
            folder / "embeddings.png"
        )

    def leakage(self) -> dict[str, Any]:
        """Return what test pairs share with training: a `LeakageReport`, or a published one."""
        if isinstance(self.split, PublishedSplit):
            return {key: self.facts[key] for key in ("in common",) if key in self.facts}
        return dict(leakage_report(self.split, self.dataset.sequences).rows())

    def _ratio(self) -> float:
        """Negatives per positive that precision is drawn for."""
        first = self.classes[0]
        if first.name != "all":
            return 10.0
        return first.ratio


def with_symbols(dataset: PPIDataset) -> list[str]:
    """Return the proteins' ids, behind their gene names where these are known."""
    ids = dataset.sequences.ids
    symbols = getattr(dataset[0], "symbol", None) or ids
    return [
        name if symbol == name else f"{symbol} ({name})"
        for symbol, name in zip(symbols, ids, strict=True)
    ]


def _by_class(split: Split) -> str:
    found = split.classify(split.labelled("test").pairs)
    return ", ".join(f"C{number}: {int((found == number).sum()):,} pairs" for number in (1, 2, 3))

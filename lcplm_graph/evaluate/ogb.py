"""``lcplm evaluate ogb``: ogbl-ppa by its own split."""

from __future__ import annotations

from dataclasses import dataclass

from lcplm_graph.command import PageOption
from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluate.shared import finish
from lcplm_graph.option_parser import several
from lcplm_graph.options import check_counts, options_given


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
        Training steps of a head; default: 200.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "hits", "members", "steps", typed=True)
        of_heads = ("steps", "members", "seed")
        if self.encoder is None and (given := options_given(self, of_heads)):
            raise ConfigError(
                f"{', '.join(given)} means nothing without --encoder: the baselines learn nothing; "
                "leave it out"
            )


def run(options: OgbCommand) -> None:
    """Evaluate, print the table and write it."""
    from lcplm_graph.datasets.ogb import OGBLPPA
    from lcplm_graph.evaluation.ogb import evaluate_ogb
    from lcplm_graph.heads.fit_link import LINK_FIT
    from lcplm_graph.models.encoders import load_encoder

    dataset = OGBLPPA(options.archive, options.sequences or None)
    encoder = None if options.encoder is None else load_encoder(options.encoder)
    fit = LINK_FIT.shown(options.steps, options.seed)
    report = evaluate_ogb(dataset, encoder, k=options.hits, fit=fit, members=options.members)
    finish(report, "test", options.out, options.report)

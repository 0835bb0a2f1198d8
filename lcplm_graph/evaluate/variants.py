"""``lcplm evaluate variants``: what substitutions do to a protein."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lcplm_graph.command import PageOption
from lcplm_graph.evaluate.shared import finish
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import positional
from lcplm_graph.options import check_counts


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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "max_tokens", typed=True)


def run(options: VariantsCommand) -> None:
    """Evaluate, print the table and write it."""
    from lcplm_graph.evaluation.models import masked_lms
    from lcplm_graph.evaluation.variants import evaluate_variants, read_assays

    assays = read_assays(options.reference, options.folder, options.alignments)
    ((title, lm),) = masked_lms(options.encoder).items()
    report = evaluate_variants(
        assays, lm, title, options.method, max_tokens=options.max_tokens, seed=options.seed
    )
    finish(report, "spearman", options.out, options.report)

"""``lcplm evaluate contacts``: which residues of a chain touch."""

from __future__ import annotations

from dataclasses import dataclass

from lcplm_graph.command import PageOption
from lcplm_graph.evaluate.shared import finish
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import positional
from lcplm_graph.options import check_counts


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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "least", "most", "max_tokens", typed=True)


def run(options: ContactsCommand) -> None:
    """Evaluate, print the table and write it."""
    from lcplm_graph.evaluation.contacts import chains_of, draw_contacts, evaluate_contacts
    from lcplm_graph.evaluation.models import masked_lms

    chains = chains_of(options.folder, options.least, options.most)
    models = masked_lms(options.encoder, untrained=options.untrained)
    report = evaluate_contacts(chains, models, max_tokens=options.max_tokens, seed=options.seed)
    report.facts = {"structures": options.folder, **report.facts}
    draw_contacts(report, options.out)
    finish(report, "pl", options.out, options.report)

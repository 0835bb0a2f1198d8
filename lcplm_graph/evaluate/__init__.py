"""Tables with baselines and intervals: link, function, homology, contacts, variants and OGB.

Each command prints a table, and writes ``results.json`` and pictures into ``--out``.
"""

from __future__ import annotations

from collections.abc import Sequence

from lcplm_graph.command import Command, run_subcommand
from lcplm_graph.evaluate import contacts, function, homology, link, ogb, variants
from lcplm_graph.guard import KEPT_EMBEDDINGS

_COMMANDS = {
    "link": Command(
        link.LinkCommand,
        link.run,
        "does a pair of proteins interact: C1, C2, C3 by model",
        KEPT_EMBEDDINGS,
    ),
    "function": Command(
        function.FunctionCommand,
        function.run,
        "which GO terms does a protein have: Fmax, Smin, AUPR per aspect",
        KEPT_EMBEDDINGS,
    ),
    "homology": Command(
        homology.HomologyCommand,
        homology.run,
        "which fold does a domain have: 1-NN and a linear probe on every held-out set",
        KEPT_EMBEDDINGS,
    ),
    "variants": Command(
        variants.VariantsCommand,
        variants.run,
        "what do substitutions do: Spearman on ProteinGym's assays",
    ),
    "contacts": Command(
        contacts.ContactsCommand,
        contacts.run,
        "which residues touch: P@L on a folder of structures",
    ),
    "ogb": Command(ogb.OgbCommand, ogb.run, "ogbl-ppa by OGB's own split and Hits@100"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation.

    Returns
    -------
    int
        0; 1 if something is wrong with data, encoder or split, leakage included; 2 for a wrong
        command line.
    """
    return run_subcommand("evaluate", _COMMANDS, argv, str(__doc__))

"""What is likely: partners of proteins, edges that a graph lacks, functions of proteins.

partners and edges: a link model is trained on the whole graph, a tenth of its edges aside for its
probabilities; or it is one that was saved before (--head).  What was trained is kept, and taken
when the same is asked again.  Probabilities are meant for one pair
that does not interact per pair that does; among all pairs of a proteome those that do are far
rarer.  The suffix of --out decides what is written: .tsv, .graphml, or .cx2 for Cytoscape.

function: a head is trained on annotated proteins, and kept, or read from --head; each of the given
proteins gets its likely terms of the Gene Ontology.  The suffix is .tsv, .csv or .parquet.
"""

from __future__ import annotations

from collections.abc import Sequence

from lcplm_graph.command import Command, run_subcommand
from lcplm_graph.guard import KEPT_EMBEDDINGS
from lcplm_graph.predict import function, links

_COMMANDS = {
    "partners": Command(
        links.PartnersOptions,
        links.partners,
        "of proteins that need not be in the graph",
        KEPT_EMBEDDINGS,
    ),
    "edges": Command(links.EdgesOptions, links.edges, "that the graph lacks", KEPT_EMBEDDINGS),
    "function": Command(
        function.FunctionOptions,
        function.run,
        "Gene Ontology terms of any proteins",
        KEPT_EMBEDDINGS,
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_subcommand("predict", _COMMANDS, argv, str(__doc__))

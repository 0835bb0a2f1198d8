"""The words in which every dataset of pairs counts the rows that it read and left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Rows of pairs read, whatever became of them.
ROWS = "rows"
#: One of the two proteins has no sequence.
NO_SEQUENCE = "rows_without_sequence"
#: A protein with itself.
SELF_PAIRS = "self_pairs"
#: Rows that repeat a pair, in either order.
DUPLICATES = "duplicates"
#: Pairs whose rows do not agree.
CONTRADICTORY = "contradictory_pairs"
#: Rows whose label is empty.
NO_LABEL = "rows_without_label"

#: The score is lower than what was asked for.
BELOW = "below_score"
#: Effects of two genes on each other, in files of interaction databases.
GENETIC = "genetic_interactions"
#: Interactions of a protein with RNA.
RNA = "rna_interactions"
#: Interactions that were looked for and not found.
NEGATIVE = "negative_interactions"
#: One of the two has no name of a protein: a molecule, a gene, or nothing.
NO_NAME = "rows_without_protein_name"


def in_words(
    counts: Mapping[str, int], kinds: Iterable[str] | None = None, *, zeros: bool = False
) -> str:
    """Say the counts of these kinds or of all; those that are 0 only with `zeros`.

    Examples
    --------
    >>> in_words({"self_pairs": 2, "duplicates": 0, "rows_without_sequence": 1})
    '2 self pairs, 1 rows without sequence'
    """
    return ", ".join(
        f"{counts[kind]:,} {kind.replace('_', ' ')}"
        for kind in (counts if kinds is None else kinds)
        if zeros or counts[kind]
    )

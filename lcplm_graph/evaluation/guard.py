"""The leakage guard: an encoder that was trained on test edges is not evaluated on them."""

from __future__ import annotations

import shlex
from typing import Any

from lcplm_graph.errors import LeakageError
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.numeric import flag
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.leakage import saw_edges
from lcplm_graph.splits.split import Split

LEAKED = "LEAKED"


def check_encoder(
    encoder: Encoder, sequences: SequenceStore, split: Split, *, allow_leakage: bool = False
) -> str:
    """Refuse an encoder whose stage 2 was shown held-out pairs as edges.

    Pairs are recognised by their sequences, so also under other ids or in another graph.

    Parameters
    ----------
    encoder : Encoder
    sequences : SequenceStore
        In node order.
    split : Split
    allow_leakage : bool
        Only mark it.

    Returns
    -------
    str
        Empty, or ``LEAKED``, to be printed beside every number of this encoder.

    Raises
    ------
    LeakageError
        If it saw held-out pairs and `allow_leakage` is False.
    """
    seen = encoder.seen_edges()
    if seen is None or not len(seen):
        return ""
    count = saw_edges(seen, sequences.digests(), split.held_out)
    if not count:
        return ""
    if not flag(allow_leakage, "allow_leakage"):
        raise LeakageError(
            f"{encoder.name} was trained by stage 2 on {count} of the {len(split.held_out)} "
            f"held-out pairs of this {split.kind} split; give the split of its own training "
            f"(--split DIR/split.json{own_command(encoder)}), or run stage 2 again "
            "with this split's kind and seed (--split, --split-seed); --allow-leakage "
            "evaluates it all the same, marked LEAKED"
        )
    return LEAKED


def own_command(encoder: Encoder) -> str:
    """Return the command with the split of the encoder's record, if it was trained on one."""
    facts = encoder.record.facts
    data = _of_run(facts)
    graph, split = data.get("graph"), data.get("split")
    before = [*facts.get("before", []), *facts.get("history", [])]
    earlier = any(_of_run(run).get("split") for run in before)
    if (
        earlier
        or graph is None
        or not isinstance(split, dict)
        or not {"kind", "seed"} <= set(split)
    ):
        return ""
    words = ["lcplm", "evaluate", "link", "--graph", str(graph), "--encoder", encoder.name]
    words += ["--split", str(split["kind"]), "--seed", str(split["seed"])]
    return f", or by kind and seed: {shlex.join(words)}"


def _of_run(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a run was about: its own record has it bare, that of a release under ``data``."""
    return dict(facts.get("data", facts))

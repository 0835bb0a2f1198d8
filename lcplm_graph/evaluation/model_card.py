"""The card of a released model, made from the facts of its run and from what was measured.

No number of a card is typed by hand: ``training.json`` comes from the run, ``quality/*.json``
from ``benchmarks/quality.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from typing import Any

from lcplm_graph.errors import DataError
from lcplm_graph.evaluation.bootstrap import Interval
from lcplm_graph.evaluation.comparison import Comparison
from lcplm_graph.io import atomic_path
from lcplm_graph.models.checkpoints import read_json
from lcplm_graph.models.folder import ModelFolder
from lcplm_graph.models.names import SEEN_EDGES

_MASK_ONLY = "valid_mask_only_loss"


def write_card(folder: str | Path) -> Path:
    """Write ``README.md`` of a released model from the files beside it; return its path.

    Raises
    ------
    DataError
        If something in ``quality/`` was measured with other weights.
    """
    model = ModelFolder(folder)
    facts = read_json(model.training)
    comparisons = []
    for path in sorted(model.quality.glob("*.json")):
        comparison = Comparison.load(path)
        if comparison.facts.pop("weights", None) != facts["weights"]["sha256"]:
            raise DataError("measured with other weights; delete it or measure again", path=path)
        comparisons.append(comparison)
    text = model_card(facts, comparisons)
    with atomic_path(model.card) as temporary:
        temporary.write_text(text)
    return model.card


def model_card(facts: Mapping[str, Any], comparisons: Sequence[Comparison]) -> str:
    """Make the text of a card.

    Parameters
    ----------
    facts : mapping
        What `lcplm_graph.release` writes as ``training.json``.
    comparisons : sequence of Comparison
        What was measured.

    Returns
    -------
    str
        Markdown.
    """
    parts = [
        "---\nlibrary_name: lcplm-graph\ntags: [protein language model, Mamba]\n---",
        f"# {facts['name']}",
        _summary(facts),
        *_unchanged(facts),
        _limits(comparisons),
        _use(facts),
        *(_training(run, f"Run {i}") for i, run in enumerate(facts["before"], 1)),
        _training(facts, "Training" if not facts["before"] else "Last run"),
        *_by_length(facts),
        *([_header(comparisons)] if comparisons else []),
        *map(_measured, comparisons),
        *([f"## Training data and licence\n\n{facts['note']}"] if facts["note"] else []),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(facts: Mapping[str, Any]) -> str:
    size = f"{facts['parameters']:,} parameters, {facts['weights']['bytes'] / 1e6:.1f} MB"
    family = "LC-PLM" if facts["data"]["stage"] == 1 else "LC-PLM-G"
    runs = "; then ".join(map(_run, [*facts["before"], facts]))
    start = facts["data"].get("encoder")
    origin = f"from `{start}`, " if start and not facts["before"] else ""
    return f"{family} (BiMamba-S), {size}: {origin}{runs}."


def _run(facts: Mapping[str, Any]) -> str:
    data, contrastive = facts["data"], facts["options"].get("contrastive")
    if _is_frozen(facts):
        pairs = f"{facts['steps']:,} batches of 2,048 pairs"
        what = f"a decoder of pairs of `{data['graph']}` on the encoder's states as they were"
        return f"{what}, {pairs} in {facts['hours']:.2g} hours"
    if data["stage"] == 1:
        task = "masked residues" + (" and homology-contrastive" if contrastive else "")
        what = f"{task} on {data['corpus'].removeprefix('fasta:')}"
    else:
        what = f"walks over `{data['graph']}`"
    return f"{what}, {facts['tokens'] / 1e6:,.1f} million tokens in {facts['hours']:.2g} hours"


def _is_frozen(facts: Mapping[str, Any]) -> bool:
    return facts["options"].get("relation") == "frozen"


def _unchanged(facts: Mapping[str, Any]) -> list[str]:
    """Say what a decoder on a frozen encoder is, and what it is not."""
    if not _is_frozen(facts):
        return []
    return [
        f"**Only the decoder learned from the graph.** The encoder is that of "
        f"`{facts['data']['encoder']}`, unchanged: its features, residue predictions and relation "
        "markers are as good as there, and what was measured of them stands on that card. What is "
        "new is that `score_pairs` answers without any training."
    ]


def _limits(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return "**Nothing has been measured yet: do not rely on it.**"
    lines = []
    for comparison in comparisons:
        for measure, others in comparison.unbeaten().items():
            found = (f"{o} ({_signed(comparison.differences[measure][o])})" for o in others)
            lines.append(f"- {comparison.title}, {measure}: {'; '.join(found)}")
    if not lines:
        return "It is better than everything it was compared with below, outside the interval."
    head = "**Limits.** Not better than these outside the 95 % interval of the paired difference:"
    return "\n".join([head, "", *lines])


def _use(facts: Mapping[str, Any]) -> str:
    name, pool = facts["name"], facts["pool"]
    if facts["options"].get("relation") in ("decoder", "frozen"):
        return (
            "```python\n"
            "from lcplm_graph import load_encoder, score_pairs\n\n"
            f'encoder = load_encoder("{name}")\n'
            'score_pairs(encoder, [("MKTAYIAKQRQISFVK", "GAVLIMFWPSTCYNQ")])  # log-odds\n'
            "```"
        )
    return (
        "```python\n"
        "from lcplm_graph import load_encoder\n\n"
        f'load_encoder("{name}").embed(["MKTAYIAKQRQISFVK"], pool="{pool}")\n'
        "```"
    )


def _training(facts: Mapping[str, Any], title: str) -> str:
    data = facts["data"]
    rows: dict[str, Any] = {k.replace("_", " "): v for k, v in data.items() if k != "split"}
    if "split" in data:
        rows |= {f"split {k}": v for k, v in data["split"].items()}
    rows |= {
        "steps": facts["steps"],
        "tokens": facts["tokens"],
        "hours": f"{facts['hours']:.3g}: {facts['processes']} processes of {facts['threads']} "
        f"threads, {facts['sessions']} sessions",
        "platform": facts["platform"],
        "versions": ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
        "finished": facts["finished"],
        "options": ", ".join(f"{k} {v}" for k, v in facts["options"].items() if v is not None),
    }
    if "seen_edges" in facts:
        seen = facts["seen_edges"]
        rows["edges it saw"] = f"{seen['count']:,} (`{SEEN_EDGES}`, sha256 {seen['sha256']})"
    if "weights" in facts:
        rows |= _stored(facts["weights"])
    table = _table(("", ""), [(key, _shown(value)) for key, value in rows.items()])
    return f"## {title}\n\n{table}"


def _stored(weights: Mapping[str, Any]) -> dict[str, str]:
    error = weights["error"]
    kind = "float16 (vectors and A_log float32)" if weights["half"] else "float32"
    return {
        "weights": f"sha256 {weights['sha256']}",
        "stored as": f"{kind}; this changes mean_std embeddings of {error['proteins']} proteins by "
        f"{error['median']:.1e} (median; largest {error['largest']:.1e}) of their length",
    }


def _by_length(facts: Mapping[str, Any]) -> list[str]:
    """Mask-only losses of the run's own held-out proteins, one column per length bin."""
    report = facts["held_out"]
    if not report:
        return []
    losses = {"this model": report["losses"][_MASK_ONLY]}
    losses |= {f"{name} floor": v for name, v in report["floors"][_MASK_ONLY].items()}
    head = ("perplexity (nats)", *(f"≤ {edge}" for edge in report["edges"]))
    body = [(name, *(f"{exp(v):.2f} ({v:.3f})" for v in row)) for name, row in losses.items()]
    body.append(("held-out proteins", *map(str, report["proteins"])))
    text = "Masked residues only, whole held-out proteins, by length in residues, as the run ended."
    return [f"## Held-out perplexity by length\n\n{text}\n\n{_table(head, body)}"]


def _header(comparisons: Sequence[Comparison]) -> str:
    commands = f"python benchmarks/quality.py {comparisons[0].subject}"
    return (
        "## Measured\n\nFrom the files of this folder, in brackets 95 % bootstrap intervals. "
        "Differences are paired, this model minus the other; **bold** where the interval lies on "
        f"the better side of zero. Again by `{commands}`."
    )


def _measured(comparison: Comparison) -> str:
    measures = list(comparison.values)
    models = list(dict.fromkeys(m for row in comparison.values.values() for m in row))
    values = [
        (name, *(_interval(comparison.values[m].get(name)) for m in measures)) for name in models
    ]
    differences = [
        (f"minus {name}", *(_compared(comparison, m, name) for m in measures))
        for name in models
        if name != comparison.subject
    ]
    facts = "; ".join(f"{k}: {_shown(v)}" for k, v in comparison.facts.items())
    blocks = [
        f"### {comparison.title}",
        _table(("", *measures), [*values, *differences]),
        "\n".join(f"- {note}" for note in [*comparison.notes, facts] if note),
    ]
    return "\n\n".join(blocks)


def _compared(comparison: Comparison, measure: str, other: str) -> str:
    found = comparison.differences[measure].get(other)
    if found is None:
        return "-"
    return f"**{_signed(found)}**" if comparison.beats(measure, other) else _signed(found)


def _interval(found: Interval | None) -> str:
    return "-" if found is None else str(found)


def _signed(found: Interval) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

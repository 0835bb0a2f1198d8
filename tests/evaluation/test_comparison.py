"""Comparisons: intervals of paired differences, and the card that is made of them."""

from __future__ import annotations

import numpy as np
import pytest

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.evaluation.comparison import (
    Comparison,
    group_sums,
    over_items,
    over_members,
    over_pairs,
)
from lcplm_graph.evaluation.metrics import auroc
from lcplm_graph.evaluation.model_card import model_card

FACTS = {
    "name": "lcplm-x", "parameters": 1000, "pool": "mean_std", "tokens": 2_500_000, "hours": 1.5,
    "steps": 10, "processes": 2, "threads": 1, "sessions": 2,
    "platform": "p", "versions": {"torch": "2"},
    "finished": "today", "options": {"lr": 0.1, "resume": None}, "held_out": None, "note": "",
    "before": [],
    "weights": {"bytes": 2_000_000, "sha256": "abc", "half": True,
                "error": {"proteins": 64, "median": 1e-5, "largest": 1e-4}},
    "data": {"stage": 2, "graph": "core", "encoder": "lcplm-1m",
             "split": {"kind": "node", "fingerprint": "f00"}},
    "seen_edges": {"count": 7, "sha256": "def"},
}  # fmt: skip


def _mean(answer, rows, _generator):
    return answer[rows].mean()


def _hits(seed: int = 0) -> dict[str, np.ndarray]:
    """The subject is right wherever the other is, and in a tenth of the cases more."""
    rng = np.random.default_rng(seed)
    other = rng.random(400) < 0.5
    more = rng.random(400) < 0.1
    noise = rng.random(400) < 0.5
    return {"new": (other | more) * 1.0, "old": other * 1.0, "noise": noise * 1.0}


def test_paired_differences_are_narrower_than_the_values() -> None:
    comparison = Comparison("Test", "new")
    answers = _hits()
    comparison.add("accuracy", answers, _mean, over_items(400))
    found = comparison.differences["accuracy"]["old"]
    assert found.value == pytest.approx((answers["new"] - answers["old"]).mean())
    paired = found.high - found.low
    single = comparison.values["accuracy"]["new"]
    assert paired < 0.7 * (single.high - single.low)
    assert comparison.beats("accuracy", "old")
    assert "new" not in comparison.differences["accuracy"]
    # By the formula for a mean of independent differences.
    error = (answers["new"] - answers["old"]).std() / np.sqrt(400)
    assert paired == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_what_is_not_beaten() -> None:
    rng = np.random.default_rng(1)
    comparison = Comparison("Test", "new", higher_is_better=False)
    loss = rng.normal(3, 1, 200)
    answers = {"new": loss, "same": loss[::-1].copy(), "worse": loss + 1, "better": loss - 1}
    comparison.add("loss", answers, _mean, over_items(200))
    assert comparison.unbeaten() == {"loss": ["same", "better"]}


def test_pairs_are_resampled_by_protein() -> None:
    rng = np.random.default_rng(2)
    pairs = rng.integers(0, 60, (500, 2))
    labels = rng.random(500) < 0.5
    good = labels + rng.normal(0, 1, 500)
    answers = {"good": good, "chance": rng.normal(0, 1, 500)}
    comparison = Comparison("Test", "good")

    def metric(scores, drawn_labels, numbers, weights, _generator):
        return auroc(drawn_labels, scores[numbers], weights)

    comparison.add("AUROC", answers, metric, over_pairs(labels, pairs))
    assert comparison.values["AUROC"]["good"].value == pytest.approx(auroc(labels, good))
    difference = auroc(labels, good) - auroc(labels, answers["chance"])
    assert comparison.differences["AUROC"]["chance"].value == pytest.approx(difference)
    assert comparison.beats("AUROC", "chance")


def test_groups_are_resampled_as_a_whole() -> None:
    """Ten copies of each item make no interval narrower when they are one group."""
    hits = _hits()["new"][:100]
    copied, groups = np.repeat(hits, 10), np.repeat(np.arange(100), 10)

    def rate(sums, rows, _generator):
        return sums[rows].sum() / counts[rows].sum()

    counts = group_sums(np.ones(1000), groups)
    comparison = Comparison("Test", "new")
    comparison.add("grouped", {"new": group_sums(copied, groups)}, rate, over_items(100))
    comparison.add("single", {"new": hits}, _mean, over_items(100))
    grouped, single = (comparison.values[k]["new"] for k in ("grouped", "single"))
    assert tuple(grouped) == pytest.approx(tuple(single))


def test_the_seed_of_a_head_widens_the_interval() -> None:
    """Members that differ by a constant: items tell nothing of it, drawing members does."""
    items = np.random.default_rng(0).normal(0, 1, 2000)
    alike, apart = np.stack([items, items]), np.stack([items - 1, items + 1])
    comparison = Comparison("Test", "alike")
    metric = over_members(lambda answer, rows: answer[rows].mean())
    comparison.add("mean", {"alike": alike, "apart": apart}, metric, over_items(2000))
    values = comparison.values["mean"]
    assert values["apart"].value == pytest.approx(values["alike"].value)
    assert values["alike"].high - values["alike"].low < 0.2
    assert values["apart"].low < -0.9
    assert values["apart"].high > 0.9
    assert comparison.differences["mean"]["apart"].high > 0.9


def test_saved_and_read_again(tmp_path) -> None:
    comparison = Comparison("Test", "new", facts={"items": 400}, notes=["a note"])
    comparison.add("accuracy", _hits(), _mean, over_items(400, resamples=20))
    comparison.save(tmp_path / "test.json")
    assert Comparison.load(tmp_path / "test.json") == comparison
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(DataError, match="bad.json: no saved comparison"):
        Comparison.load(tmp_path / "bad.json")
    with pytest.raises(InputError, match="'nobody' is not among new, old"):
        Comparison("Test", "nobody").add("x", _hits(), _mean, over_items(400))


def test_the_card_says_first_what_is_not_beaten() -> None:
    comparison = Comparison("Folds", "lcplm-x", facts={"items": 400})
    answers = _hits()
    answers = {"lcplm-x": answers["new"], "old": answers["old"]}
    answers["twin"] = answers["lcplm-x"]
    comparison.add("accuracy", answers, _mean, over_items(400))
    card = model_card(FACTS, [comparison])
    first = card.split("```")[0]
    assert "- Folds, accuracy: twin (+0.000 [+0.000, +0.000])" in first
    assert "old (" not in first
    found = comparison.differences["accuracy"]["old"]
    assert f"| minus old | **{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]** |" in card
    assert "LC-PLM-G (BiMamba-S), 1,000 parameters, 2.0 MB: from `lcplm-1m`, walks over" in first
    assert "2.5 million tokens in 1.5 hours" in first
    assert "| edges it saw | 7 (`seen_edges.npy`, sha256 def) |" in card
    assert "| split fingerprint | f00 |" in card
    assert "resume" not in card
    comparison.add("accuracy", {k: answers[k] for k in ("lcplm-x", "old")}, _mean, over_items(400))
    assert "better than everything" in model_card(FACTS, [comparison]).split("```")[0]

"""Train on the human graph, test on labelled pairs of another species, as D-SCRIPT was tested.

    python benchmarks/other_species.py yeast_test.tsv yeast_test.fasta
    python benchmarks/other_species.py yeast_test.tsv yeast_test.fasta --members 0

Heads of equal shape and seeds, trained on `string_human_core`, score every pair of the file: its
positives against its own negatives, and most of them against stub-matched ones.  The last rows are
what an LC-PLM-G says of itself and what ``lcplm score`` says, also of known interactions between
relatives alone; with ``--members 0`` they stand alone and nothing is trained.
``--out`` keeps it beside the heads, as a table that a model's card can show.
Nothing of the file is trained on; homologues of human proteins are in it, as they are in
D-SCRIPT's test.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from quality_parts.models import folder_of, weights_of
from timing import table

from lcplm_graph import AddProteinFeatures, PairPPI, PPIScorer, StringPPI, load_encoder
from lcplm_graph.evaluation.bootstrap import bootstrap_pairs
from lcplm_graph.evaluation.comparison import Comparison, over_members, over_pairs
from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.evaluation.models import random_twin, shown_name
from lcplm_graph.evaluation.scorers import INTEROLOGS
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.heads.interologs import Interologs
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.members import fit_link_members
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.shipped import DEFAULT_ENCODER

DEGREE = "degree among the positives"
Score = Callable[[np.ndarray], np.ndarray]
"""Scores of pairs, one row for each of some models."""
# Of the other species' pairs, what a split must hold out; the others get the matched negatives.
_HELD_OUT = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path)
    parser.add_argument("fasta", type=Path)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--own", default="lcplm-g-2m", help="a model with a word of its own")
    parser.add_argument("--members", type=int, default=3, help="heads of a row; 0 for no heads")
    parser.add_argument("--heads", nargs="+", metavar="FEATURES", help="some rows of heads only")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--out", type=Path, help="file for the comparison as JSON")
    options = parser.parse_args()
    other = PairPPI(options.pairs, options.fasta)
    cases = {"published": published(other), "stub-matched": stub_matched(other)}
    for name, (_, labels) in cases.items():
        print(f"{name}: {labels.sum():,} positives, {(~labels).sum():,} negatives")
    own = Path(options.own).name
    scores = {DEGREE: degree(other)}
    if options.members:
        scores |= heads(other, load_encoder(options.encoder), options.members, options.heads)
    scores[f"{own}, its own word"] = own_word(other, load_encoder(options.own))
    scores |= scorer_that_ships(other)
    rows = [(name, *measured(score, cases, options.resamples)) for name, score in scores.items()]
    print(table(rows, ("features", *(f"{m}, {c}" for c in cases for m in ("AUPR", "AUROC")))))
    if options.out:
        # Degrees are counted in the answers themselves: a warning of the pairs, no rival.
        scores.pop(DEGREE)
        scores[own] = scores.pop(f"{own}, its own word")
        compared(scores, cases, options).save(options.out)


def compared(scores: dict[str, Score], cases: dict, options: argparse.Namespace) -> Comparison:
    """Set the model's own word beside the heads; differences are paired."""
    comparison = Comparison(f"Another species: {options.pairs.stem}", folder_of(options.own).name)
    for case, (pairs, labels) in cases.items():
        answers = {name: score(pairs) for name, score in scores.items()}
        bootstrap = over_pairs(labels, pairs, resamples=options.resamples)
        for name, metric in (("AUPR", _aupr), ("AUROC", auroc)):
            comparison.add(f"{name}, {case}", answers, _mean_over_members(metric), bootstrap)
        comparison.facts[f"{case} positives, negatives"] = f"{labels.sum():,}, {(~labels).sum():,}"
    comparison.facts |= {
        "heads per row": options.members,
        "resamples": options.resamples,
        "weights": weights_of(folder_of(options.own)),
    }
    rows = "" if options.heads is None else f" --heads {shlex.join(options.heads)}"
    comparison.notes = [
        "The model learned from human pairs only, and so did the heads; homologues are among the "
        f"pairs. Again by `python benchmarks/other_species.py {options.pairs.name} "
        f"{options.fasta.name} --members {options.members}{rows}`."
    ]
    return comparison


def _mean_over_members(metric: Callable[..., float]) -> Callable[..., float]:
    return over_members(lambda each, y, numbers, weights: metric(y, each[numbers], weights))


def _aupr(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    return average_precision(labels, scores, None, weights)


def heads(
    other: PairPPI, encoder: Encoder, members: int, rows: list[str] | None = None
) -> dict[str, Score]:
    """Train heads on the human graph; by the name of their features, what they say of pairs."""
    human = StringPPI("string_human_core")
    split = human.split(kind="node", seed=0)
    named = {
        "composition": load_encoder("composition"),
        "composition + dipeptides": load_encoder("dipeptide"),
    }
    twin = random_twin(encoder)
    if twin is not None:
        named["random-init encoder"] = twin
    named[shown_name(encoder)] = encoder
    if rows:
        if unknown := set(rows) - set(named):
            raise SystemExit(f"no features {sorted(unknown)}; there are {', '.join(named)}")
        named = {name: named[name] for name in rows}
    scores: dict[str, Score] = {}
    for name, features in named.items():
        produce = AddProteinFeatures(features, progress=True)
        x, y = produce(human).x, produce(other).x
        fitted = fit_link_members(x, split, range(members), replace(LINK_FIT, progress=True))

        def score(pairs: np.ndarray, heads=fitted, y=y) -> np.ndarray:
            return np.stack([scored(head, y, pairs) for head in heads])

        scores[name] = score
    return scores


def own_word(other: PairPPI, encoder: Encoder) -> Score:
    """Score pairs as `score_pairs` does; each protein is encoded once, and kept."""
    x = cached_embeddings(encoder, other.sequences, encoder.pool, progress=True)

    @torch.inference_mode()
    def score(pairs: np.ndarray) -> np.ndarray:
        h = encoder.relation.embed(x)
        return encoder.relation(h[:, pairs[:, 0]], h[:, pairs[:, 1]]).double().numpy()[None]

    return score


def scorer_that_ships(other: PairPPI) -> dict[str, Score]:
    """Return what `lcplm score` says of pairs, and what its training pairs between relatives do."""
    scorer, sequences = PPIScorer.from_pretrained(), list(other.sequences)
    evidence = Interologs(scorer.nearest.weights(sequences), scorer.nearest.pairs)

    def score(pairs: np.ndarray) -> np.ndarray:
        return scorer.score([(sequences[i], sequences[j]) for i, j in pairs.tolist()])[None]

    return {INTEROLOGS: lambda pairs: evidence.of(pairs)[None], "lcplm score": score}


def published(other: PairPPI) -> tuple[np.ndarray, np.ndarray]:
    """All positives and all negatives of the file."""
    return labelled(other.split(kind="C1", seed=0).known, other[0].neg_edge_index.numpy().T)


def stub_matched(other: PairPPI) -> tuple[np.ndarray, np.ndarray]:
    """Most positives, and as many negatives in which every protein is as often."""
    split = other.split(kind="C1", seed=0, valid=_HELD_OUT, test=_HELD_OUT)
    return labelled(split.positives("train"), split.negatives("train", seed=0))


def labelled(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and whether they interact."""
    pairs = np.concatenate([positives, negatives])
    return pairs, np.arange(len(pairs)) < len(positives)


def degree(other: PairPPI) -> Score:
    """Score a pair by the product of its proteins' degrees among the positives."""
    known = other.split(kind="C1", seed=0).known
    count = np.bincount(known.ravel(), minlength=len(other.sequences))
    return lambda pairs: count[pairs].prod(axis=1).astype(float)[None]


@torch.inference_mode()
def scored(head: LinkPredictor, y: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    """Log-odds of pairs from features alone."""
    states = head.embed(y, torch.empty(2, 0, dtype=torch.int64))
    return head.decode(states, torch.from_numpy(pairs)).double().numpy()


def measured(score: Score, cases: dict, resamples: int) -> list[str]:
    """AUPR at the case's own ratio and AUROC, with intervals over proteins and heads."""
    metrics = (_aupr, auroc)
    return [
        str(bootstrap_pairs(metric, labels, each, pairs, resamples=resamples))
        for pairs, labels in cases.values()
        for each in [score(pairs)]
        for metric in metrics
    ]


if __name__ == "__main__":
    main()

"""Remote homology: top-1 fold accuracy of SCOPe domains, by nearest neighbour and linear probe."""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch

from lcplm_graph import RemoteHomology
from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluation.comparison import Comparison, group_sums, over_items
from lcplm_graph.evaluation.probe import fit_probe
from lcplm_graph.evaluation.ranking import top_k_hits
from lcplm_graph.features.store import cached_embeddings
from quality_parts.models import Model, kept

_SETS = {"valid": "val_mask", "family": "test_family_mask", "superfamily": "test_superfamily_mask"}
_KINDS = {"1-NN": "nearest neighbour", "probe": "linear probe"}


def measure(models: list[Model], options: argparse.Namespace) -> Comparison:
    """Compare hits on every held-out set; features have the log of the length beside them."""
    if options.scope is None:
        raise ConfigError("the part homology needs --scope, a folder with SCOPe domains")
    dataset = RemoteHomology(options.scope / "scope40.fasta", options.scope / "labels.tsv")
    data = dataset[0]
    held_out = {name: data[mask].numpy() & (data.fold.numpy() >= 0) for name, mask in _SETS.items()}
    hits = {}
    for model in models:
        compute = partial(_hits, model, dataset, held_out, options.seed)
        what = f"homology {model.encoder.fingerprint()} {model.pool} {options.seed}"
        hits[model.name] = kept(f"{what} {len(dataset.sequences)}", compute)
    comparison = Comparison("SCOPe fold, top-1", options.name)
    superfamily = data.superfamily.numpy()
    for kind, said in _KINDS.items():
        for name, mask in held_out.items():
            groups = superfamily[mask]
            sizes = group_sums(np.ones(len(groups)), groups)
            answers = {m: group_sums(found[f"{kind} {name}"], groups) for m, found in hits.items()}
            comparison.add(
                f"{name}, {said}", answers, partial(_rate, sizes),
                over_items(len(sizes), resamples=options.resamples),
            )  # fmt: skip
    comparison.facts = {
        "data": "ASTRAL SCOPe 2.07 at 40 % identity",
        "training domains": int((data.train_mask.numpy() & (data.fold.numpy() >= 0)).sum()),
        **{name: int(mask.sum()) for name, mask in held_out.items()},
        "probe": "multinomial logistic regression, penalty chosen on a tenth of the training part",
    }
    comparison.notes = [
        "Domains whose fold has no training domain count as wrong. Features have the log of the "
        "length beside them. Resampled by superfamily: its domains are not independent."
    ]
    return comparison


def _rate(sizes: np.ndarray, sums: np.ndarray, rows: np.ndarray, _: object) -> float:
    return float(sums[rows].sum() / sizes[rows].sum())


def _hits(model: Model, dataset, held_out: dict[str, np.ndarray], seed: int):
    data = dataset[0]
    fold = data.fold.numpy()
    train = data.train_mask.numpy() & (fold >= 0)
    x = cached_embeddings(model.encoder, dataset.sequences, model.pool, progress=True)
    log_length = torch.from_numpy(np.log(dataset.sequences.lengths)).float()[:, None]
    features = torch.cat([x, log_length], 1).numpy()
    features = (features - features[train].mean(0)) / np.maximum(features[train].std(0), 1e-9)
    probe = fit_probe(features[train], fold[train], seed=seed, progress=True)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    hits = {}
    for name, mask in held_out.items():
        near = units[mask] @ units[train].T
        hits[f"1-NN {name}"] = top_k_hits(near, fold[train], fold[mask], 1)
        scores = probe.scores(features[mask])
        hits[f"probe {name}"] = top_k_hits(scores, probe.model.classes_, fold[mask], 1)
    return hits

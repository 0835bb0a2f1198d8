"""What bfloat16 changes: features of a shipped encoder, links and folds, against float32.

``python benchmarks/precision.py --encoder lcplm-1m`` prints a JSON object; ``--write`` keeps it in
the encoder's folder as ``precision.json``, which ``--precision auto`` reads.  With
``--domains scope40.fasta`` (headers ``>id a.1.1.1 ...``) also the superfamily of the nearest
other domain.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from lcplm_graph.heads.ppi_scorer import PPIScorer
from lcplm_graph.io import atomic_path
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import ModelFolder
from lcplm_graph.models.shipped import shipped_folder
from lcplm_graph.proteins.store import SequenceStore

PRECISIONS = ("float32", "bfloat16")


def features(name: str, sequences: list[str]) -> dict[str, torch.Tensor]:
    return {p: load_encoder(name, dtype=p).embed(sequences, "mean_std") for p in PRECISIONS}


def relative(low: torch.Tensor, exact: torch.Tensor) -> np.ndarray:
    """Length of each protein's change over that of its feature."""
    return ((low - exact).norm(dim=1) / exact.norm(dim=1)).numpy()


def links(count: int, rng: np.random.Generator) -> dict[str, float]:
    """AUROC of the shipped scorer on pairs of proteins that none of its training pairs has."""
    from lcplm_graph.datasets.load import load_graph

    scorers = {p: PPIScorer.from_pretrained(precision=p) for p in PRECISIONS}
    dataset = load_graph("string_human_core")
    store, known = dataset.sequences, set(scorers["float32"].nearest.sequences)
    new = np.array([store[i] not in known for i in range(len(store))])
    edges = dataset[0].edge_index.numpy()
    edges = edges[:, (edges[0] < edges[1]) & new[edges].all(axis=0)].T
    positive = edges[rng.choice(len(edges), count, replace=False)]
    # Each end keeps its number of pairs, so that counting partners is worth nothing.
    negative = np.stack([positive[:, 0], rng.permutation(positive[:, 1])], axis=1)
    true = {frozenset(pair) for pair in edges.tolist()}
    negative = [pair for pair in negative.tolist() if len(set(pair)) == 2]
    negative = [pair for pair in negative if frozenset(pair) not in true]
    pairs = [(store[i], store[j]) for i, j in [*positive.tolist(), *negative]]
    labels = [1] * len(positive) + [0] * len(negative)
    aurocs = {p: float(roc_auc_score(labels, s.score(pairs))) for p, s in scorers.items()}
    return {"positives": len(positive), "negatives": len(negative), **aurocs}


def folds(name: str, fasta: Path, count: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of domains whose nearest other by cosine has their superfamily."""
    members = defaultdict(list)
    store = SequenceStore.from_fasta(fasta)
    for i, description in enumerate(store.table["description"].to_pylist()):
        members[description.split()[0].rpartition(".")[0]].append(store[i])
    groups = [g for g in sorted(members) if len(members[g]) > 2]
    chosen = [
        (g, s) for g in rng.permutation(groups)[: count // 4] for s in members[g][:4]
    ]  # fmt: skip
    labels = np.array([g for g, _ in chosen])
    found: dict[str, float] = {"domains": len(chosen)}
    for precision, x in features(name, [s for _, s in chosen]).items():
        x = torch.nn.functional.normalize(x - x.mean(0), dim=1)
        nearest = (x @ x.T).fill_diagonal_(-2).argmax(1).numpy()
        found[precision] = float((labels[nearest] == labels).mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="lcplm-1m")
    parser.add_argument("--proteins", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--domains", type=Path)
    parser.add_argument("--folds", type=int, default=200, help="domains looked at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    from lcplm_graph.heads.names import KnownProteins

    rng = np.random.default_rng(options.seed)
    store = KnownProteins.embedded("string_human_core").store
    proteins = [store[int(i)] for i in rng.choice(len(store), options.proteins, replace=False)]
    x = features(options.encoder, proteins)
    changes = relative(x["bfloat16"], x["float32"])
    found = {
        "encoder": options.encoder,
        "proteins": len(proteins),
        "residues": sum(map(len, proteins)),
        "relative_error": float(changes.max()),
        "relative_error_median": float(np.median(changes)),
    }
    keep(found, options.write)
    if options.pairs:
        found["link_auroc"] = links(options.pairs, rng)
        keep(found, options.write)
    if options.domains:
        found["superfamily_top1"] = folds(options.encoder, options.domains, options.folds, rng)
        keep(found, options.write)


def keep(found: dict, write: bool) -> None:
    text = json.dumps(found, indent=1)
    print(text, flush=True)
    if write:
        with atomic_path(ModelFolder(shipped_folder(found["encoder"])).precision) as path:
            path.write_text(text + "\n")


if __name__ == "__main__":
    main()

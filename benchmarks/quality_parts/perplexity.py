"""Masked residues of whole held-out proteins: perplexity beside floors and other models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluation.comparison import Comparison, over_items
from lcplm_graph.io import sha256_of
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.release import run_facts
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.packing import stream_ids
from lcplm_graph.training.corpus import open_corpus
from lcplm_graph.training.heldout import MASK_ONLY, HeldOutByLength, floor_losses
from lcplm_graph.training.metrics import Logits
from quality_parts.models import Model

_LONG = 512
_FLOORS = {
    "unigram": "unigram",
    "composition": "composition",
    "composition + neighbours": "neighbours",
}


def measure(models: list[Model], options: argparse.Namespace) -> Comparison:
    """Compare perplexities on the proteins that the run held out."""
    held_out, facts = _held_out(options)
    found = {said: _floors(held_out, name) for said, name in _FLOORS.items()}
    found |= {name: _losses(held_out, logits) for name, logits in _predictors(models, options)}
    loss = {name: total for name, (total, _, _) in found.items()}
    _, count, long = found[options.name]
    comparison = Comparison(
        "Perplexity of masked residues",
        options.name,
        higher_is_better=False,
        facts=facts | {"proteins": len(count), "masked residues": int(count.sum())},
        notes=[
            "Whole held-out proteins, 15 % of the residues replaced by <mask>, the same for all; "
            "about as many residues of each length bin. Resampled by protein."
        ],
    )
    columns = {"all": np.ones_like(long), f"≤ {_LONG} residues": ~long, f"> {_LONG}": long}
    for column, chosen in columns.items():
        if chosen.sum() > 1:
            answers = {name: total[chosen] for name, total in loss.items()}
            comparison.add(
                column, answers, _Perplexity(count[chosen]),
                over_items(int(chosen.sum()), resamples=options.resamples),
            )  # fmt: skip
    return comparison


class _Perplexity:
    def __init__(self, count: np.ndarray) -> None:
        self.count = count

    def __call__(self, loss: np.ndarray, rows: np.ndarray, _: object) -> float:
        return float(np.exp(loss[rows].sum() / self.count[rows].sum()))


def _held_out(options: argparse.Namespace) -> tuple[HeldOutByLength, dict]:
    facts = json.loads((options.folder / "training.json").read_text())
    if facts["data"]["stage"] != 1 or options.corpus is None:
        raise ConfigError("the part perplexity needs a model of stage 1 and its --corpus")
    _same(options.corpus, facts["data"]["sha256"])
    used = facts["options"]
    clusters = {}
    if used.get("clusters"):
        _same(options.clusters, facts["data"]["clusters"]["sha256"])
        clusters = {"clusters": str(options.clusters)}
    corpus = open_corpus(
        f"fasta:{options.corpus}",
        eval_tokens=used["eval_tokens"],
        split_seed=used["split_seed"],
        **clusters,
    )
    said = {"corpus": f"{Path(options.corpus).name}, sha256 {facts['data']['sha256'][:16]}"}
    if clusters:
        said["held out"] = "whole clusters, one member of each is measured"
    if any(_split_of(run) != _split_of(facts) for run in facts["before"]):
        said["not held out"] = "from the earlier runs, which held other proteins out"
    return HeldOutByLength(corpus, used["max_tokens"]), said


def _split_of(run: dict) -> tuple:
    """Return what decides which proteins a run held out."""
    data, options = run["data"], run["options"]
    clusters = (data.get("clusters") or {}).get("sha256")
    return clusters or data["sha256"], options["eval_tokens"], options["split_seed"]


def _same(path: Path | None, sha256: str) -> None:
    if path is None or sha256_of(path) != sha256:
        raise ConfigError(f"{path}: not the file of the run, whose sha256 is {sha256}")


def _predictors(models: list[Model], options: argparse.Namespace) -> Iterator[tuple[str, Logits]]:
    if options.esm2 is not None:
        facts = run_facts(options.esm2)
        _same(options.corpus, facts["data"]["sha256"])
        size = f"{facts['data']['parameters']:,} parameters"
        name = f"ESM-2-shaped ({size}, {facts['tokens'] / 1e6:,.1f} million tokens)"
        yield name, _esm2(options.esm2)
    for name, encoder, _ in models:
        if isinstance(encoder, LcPlmEncoder) and name != "random initialisation":
            model = encoder.model
            yield name, lambda ids, cu, model=model: model(ids, cu_seqlens=cu).logits


def _esm2(run: Path) -> Logits:
    from transformers import EsmForMaskedLM

    from lcplm_graph.training.architectures import Esm2ForPacked

    trained = EsmForMaskedLM.from_pretrained(run / "model")
    model = Esm2ForPacked(trained.config)
    model.esm2 = trained
    model.eval()
    return lambda ids, cu: model(ids, cu_seqlens=cu).logits


def _losses(held_out: HeldOutByLength, logits: Logits) -> tuple[np.ndarray, ...]:
    def of_batch(batch) -> Tensor:
        asked = batch.labels != IGNORE
        with torch.inference_mode():
            found = logits(batch.input_ids, batch.cu_seqlens)[asked].float()
        return F.cross_entropy(found, batch.labels[asked], reduction="none").double()

    return _by_protein(held_out, of_batch)


def _floors(held_out: HeldOutByLength, name: str) -> tuple[np.ndarray, ...]:
    return _by_protein(held_out, lambda batch: floor_losses(batch, held_out.counts)[name])


def _by_protein(held_out: HeldOutByLength, losses) -> tuple[np.ndarray, ...]:
    """Sum of losses, number of scored residues, and whether it is long, by protein."""
    totals, counts, long = [], [], []
    for part in held_out.bins:
        for batch in part.batches[MASK_ONLY]:
            owner = stream_ids(batch.cu_seqlens)[batch.labels != IGNORE].numpy()
            size = len(batch.cu_seqlens) - 1
            totals.append(np.bincount(owner, weights=losses(batch).numpy(), minlength=size))
            counts.append(np.bincount(owner, minlength=size))
            long.append(np.full(size, part.edge > _LONG))
    return tuple(np.concatenate(x) for x in (totals, counts, long))

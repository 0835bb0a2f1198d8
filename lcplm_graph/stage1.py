"""Stage 1: pretrain an encoder by masked language modelling on a corpus of proteins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lcplm_graph.command import run_command
from lcplm_graph.errors import ConfigError
from lcplm_graph.options import check_counts, options_given
from lcplm_graph.training.options import TEMPERATURE, TrainOptions

if TYPE_CHECKING:
    from torch import nn

    from lcplm_graph.models.folder import Record
    from lcplm_graph.training.heldout import HeldOutByLength


@dataclass(frozen=True, kw_only=True)
class Stage1Options(TrainOptions):
    """Options of stage 1.

    Parameters
    ----------
    corpus
        fasta:FILE (plain, gzip, zstd), or uniref50.
    preset
        Size of the model: 1m, 8m, 35m, 130m, 370m, 790m, 1b4.
    arch
        bimamba-s, or a baseline with as many parameters: bimamba (own projections for each
        direction), mamba (left to right only), esm2 (attention).
    d_model
        Width, in place of the preset's.
    n_layer
        Number of layers, in place of the preset's.
    d_state
        States per channel, in place of the preset's.
    encoder
        Start from this LC-PLM, as load_encoder names it, instead of random weights; its shape
        counts, not the preset.
    clusters
        Table of representative and member ids, as MMseqs2 writes it. An epoch then shows every
        cluster once, by a random member, and clusters are held out whole.
    contrastive
        Weight of a homology-contrastive term: two members of a cluster are told from all others
        in the batch. Needs clusters.
    temperature
        Of that term: the lower, the more the nearest of the others count.
    max_length
        Longer proteins are cropped to random windows of this many residues; default: what fits a
        batch.
    eval_tokens
        Residues held out of each length bin.
    split_seed
        Chooses what is held out.
    """

    corpus: str
    preset: str = "8m"
    arch: Literal["bimamba-s", "bimamba", "mamba", "esm2"] = "bimamba-s"
    d_model: int | None = None
    n_layer: int | None = None
    d_state: int | None = None
    encoder: str | None = None
    clusters: str | None = None
    contrastive: float = 0.0
    temperature: float = TEMPERATURE
    max_length: int | None = None
    eval_tokens: int = 16384
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "eval_tokens", "max_length")
        if self.contrastive < 0 or (self.contrastive and self.clusters is None):
            raise ConfigError(
                f"contrastive is {self.contrastive}; it must not be negative, and above 0 it needs "
                "clusters"
            )
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}; it must be above 0")
        if self.temperature != TEMPERATURE and not self.contrastive:
            raise ConfigError("temperature is of the contrastive term; give --contrastive, too")
        if self.encoder is not None and (self.arch != "bimamba-s" or self.shape):
            raise ConfigError("encoder brings its own shape; leave arch, d_model, n_layer, d_state")

    @property
    def shape(self) -> dict[str, int]:
        """What was asked for in place of the preset's shape."""
        names = ("d_model", "n_layer", "d_state")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def train(options: Stage1Options) -> None:
    """Run stage 1; the results are in the folder `options.out`.

    Parameters
    ----------
    options : Stage1Options

    Raises
    ------
    LcPlmError
        If the corpus, an option or a checkpoint is not usable; the message says what to do.
    """
    from lcplm_graph.training.stage import run_stage

    run_stage(options, _train)


def _train(options: Stage1Options, checkpoint: Path | None) -> None:
    from lightning.pytorch import seed_everything

    from lcplm_graph.training.architectures import count_parameters
    from lcplm_graph.training.contrastive import HomologyContrast
    from lcplm_graph.training.corpus import open_corpus
    from lcplm_graph.training.heldout import HeldOutByLength
    from lcplm_graph.training.metrics import CONTRASTIVE_COLUMNS
    from lcplm_graph.training.module import MaskedLMTask
    from lcplm_graph.training.run import Run, run_training
    from lcplm_graph.training.windows import CorpusBatches

    corpus = open_corpus(
        options.corpus,
        eval_tokens=options.eval_tokens,
        split_seed=options.split_seed,
        clusters=options.clusters,
    )
    source = CorpusBatches(
        corpus.store,
        corpus.is_training,
        max_tokens=options.max_tokens,
        max_length=options.max_length,
        seed=options.seed,
        clusters=corpus.clusters,
        views=2 if options.contrastive else 1,
    )
    held_out = HeldOutByLength(corpus, options.max_tokens)
    seed_everything(options.seed, verbose=False)
    model, before, facts = _model(options)
    facts |= {"stage": 1, "parameters": count_parameters(model), **corpus.facts}
    contrastive, columns = None, held_out.columns
    if options.contrastive:
        width: int = model.config.hidden_size  # type: ignore[union-attr, assignment]
        contrastive = HomologyContrast(width, temperature=options.temperature)
        columns = (*CONTRASTIVE_COLUMNS, *columns)
    run = Run(
        task=MaskedLMTask(
            model, options, contrastive=contrastive, contrastive_weight=options.contrastive
        ),
        source=source,
        evaluate=held_out,
        columns=columns,
        facts=facts,
        before=before,
        finish=lambda folder: _finish(folder, held_out),
    )
    run_training(options, run, checkpoint)


def _model(options: Stage1Options) -> tuple[nn.Module, Record, dict[str, object]]:
    """Return the model to train, its past, and where it comes from."""
    from lcplm_graph.io import warn_once
    from lcplm_graph.models.folder import Record
    from lcplm_graph.training.architectures import build_model, load_trainable

    if options.encoder is None:
        model = build_model(options.arch, options.preset, options.shape)
        return model, Record(), {"arch": options.arch, "preset": options.preset, **options.shape}
    if options_given(options, ("preset",)):
        warn_once(f"--encoder brings its own shape and leaves --preset {options.preset} unused")
    encoder = load_trainable(options.encoder)
    return (
        encoder.model.train(),
        encoder.model.record,
        {
            "encoder": options.encoder,
            "encoder_fingerprint": encoder.fingerprint(),
        },
    )


def _finish(folder: Path, held_out: HeldOutByLength) -> None:
    """Draw the curves; write held_out.json, the last losses by length beside their floors."""
    from lcplm_graph.io import write_json
    from lcplm_graph.training.heldout import AS_TRAINED, HELD_OUT, MASK_ONLY
    from lcplm_graph.training.manifest import METRICS
    from lcplm_graph.training.metrics import read_metrics
    from lcplm_graph.training.plots import draw_by_length, draw_loss
    from lcplm_graph.training.summary import summary

    last = [row for row in read_metrics(folder / METRICS) if row[MASK_ONLY] == row[MASK_ONLY]][-1]
    report = held_out.report()
    edges = report["edges"]
    report["losses"] = {w: [last[f"{w}_{e}"] for e in edges] for w in (AS_TRAINED, MASK_ONLY)}
    write_json(folder / HELD_OUT, report)
    titles = {MASK_ONLY: "held out, masked only", AS_TRAINED: "held out, as trained (80/10/10)"}
    curves = {
        title: {
            "model": report["losses"][way],
            "composition floor": report["floors"][way]["composition"],
            "unigram floor": report["floors"][way]["unigram"],
        }
        for way, title in titles.items()
    }
    draw_by_length(folder / "loss_by_length.png", edges, curves, report["proteins"])
    draw_loss(folder, _drawn(held_out.floors(AS_TRAINED)))
    print(summary(folder, _drawn(held_out.floors(MASK_ONLY))))


def _drawn(floors: dict[str, float]) -> dict[str, float]:
    return {name: floors[name] for name in ("unigram", "composition")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``python -m lcplm_graph.stage1``; return the exit status."""
    return run_command("stage1", Stage1Options, train, argv, str(__doc__), locks_out=False)


if __name__ == "__main__":
    sys.exit(main())

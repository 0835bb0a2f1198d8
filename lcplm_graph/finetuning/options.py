"""Options of a fine-tuning run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.names import Pool
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.options import check_choices, check_counts, options_given
from lcplm_graph.seeds import checked_seed

Task = Literal["regression", "binary", "multiclass", "multilabel", "residue", "pair"]
Mode = Literal["lora", "full", "head"]
_RATES: dict[Mode, float] = {"lora": 1e-3, "full": 3e-4, "head": 0.0}
_STEPS, _LEAST_BETWEEN = 1000, 25


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """Options of ``lcplm finetune``.

    Parameters
    ----------
    table
        CSV, TSV or Parquet with a header, a protein or two and a label a row; or a folder of
        TAPE's files (secondary_structure_*.lmdb, fluorescence_*, stability_*, remote_homology_*,
        also .json).
    out
        Folder of the run: model, results.json, predictions.tsv, parts.tsv, metrics.csv, pictures,
        config.yaml, run.json, checkpoints.
    task
        What the labels are; default: found out and said. pair: 0 and 1 for two proteins a row.
    sequence
        Column of sequences, or two for pairs; default: sequence, or sequence1 and sequence2, and
        the like.
    label
        Column of labels; several of 0 and 1 are many labels. Many labels in one column have ;
        between; labels of residues are a letter each.
    id
        Column of names, for predictions.tsv.
    part
        Column of train, valid and test, for --split column.
    sequences
        FASTA files, or human_proteome for all human proteins by gene name; the columns of sequences
        then hold their ids, accessions, or gene names (of UniProt's headers).
    level
        Of TAPE's files: ss3 or ss8; fold, superfamily or family.
    encoder
        Where to start: lcplm-2m, a folder, esm2:..., composition, ... as load_encoder takes them.
    mode
        lora: low-rank adapters beside the encoder's projections, and a head; full: all weights;
        head: the encoder stays as it is.
    split
        homology: no protein has a homologue in an earlier part; random; column: as the table says.
    valid
        Fraction of the proteins that the best state is chosen on.
    test
        Fraction that is only tested on.
    identity
        Proteins are homologues from this identity on, over half of both.
    search
        What finds homologues: MMseqs2 where it is installed, or the built-in search.
    epochs
        Passes over the training rows, at most; default: as many as make 1,000 steps, from 5 to 100.
    patience
        Stop after this many evaluations without a better one.
    batch_size
        Rows per optimiser step.
    max_tokens
        Tokens that are in memory at once; apart from what dropout draws it changes nothing, and no
        protein is cut.
    lr
        Highest learning rate of the encoder; default: 1e-3 for lora, 3e-4 for full.
    head_lr
        Highest learning rate of the head.
    warmup
        Steps of linear warm-up; at most a tenth of the run. Then the rate falls as a cosine.
    weight_decay
        Of AdamW.
    clip
        Largest norm of the gradient.
    rank
        Of the adapters.
    targets
        Which modules get adapters: projections (default), state or all of an LC-PLM; attention
        (default) of an ESM-2; linear of any.
    channels
        Width of the head's hidden layer; 0 for none.
    dropout
        In the head and the adapters.
    pool
        From residues to one vector a protein; default: the one the encoder recommends.
    seed
        Of parts, order, head, adapters and dropout.
    precision
        Of the arithmetic; parameters stay float32.
    device
        cpu, cuda, ...; default: a GPU if there is one.
    eval_every
        Steps between evaluations on valid; default: an epoch, at least 25.
    resamples
        Of the intervals, drawn over proteins.
    baselines
        Also test a guess, and an equal head on amino-acid composition, trained to its end.
    allow_leakage
        Go on where the encoder was trained on pairs that are tested; numbers are marked LEAKED.
    checkpoint_minutes
        Save this often; the last two checkpoints are kept.
    resume
        auto: go on from the newest checkpoint of the run in out.
    """

    table: str
    out: str
    task: Task | None = None
    sequence: list[str] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    id: str | None = None
    part: str | None = None
    sequences: list[str] = field(default_factory=list)
    level: Literal["ss3", "ss8", "fold", "superfamily", "family"] | None = None
    encoder: str = DEFAULT_ENCODER
    mode: Mode = "lora"
    split: Literal["homology", "random", "column"] = "homology"
    valid: float = 0.1
    test: float = 0.2
    identity: float = 0.3
    search: Literal["auto", "mmseqs", "kmer"] = "auto"
    epochs: int | None = None
    patience: int = 5
    batch_size: int = 32
    max_tokens: int = 8192
    lr: float | None = None
    head_lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    rank: int = 8
    targets: str | None = None
    channels: int = 128
    dropout: float = 0.1
    pool: Pool | None = None
    seed: int = 0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    device: str | None = None
    eval_every: int | None = None
    resamples: int = 200
    baselines: bool = True
    allow_leakage: bool = False
    checkpoint_minutes: float = 10.0
    resume: str | None = None

    def __post_init__(self) -> None:
        check_choices(self)
        check_counts(self, "epochs", "patience", "batch_size", "max_tokens", "rank", "eval_every")
        for name in ("head_lr", "clip", "checkpoint_minutes"):
            _check(self, name, getattr(self, name) > 0, "above 0")
        for name in ("head_lr", "clip", "checkpoint_minutes", "weight_decay"):
            _check(self, name, math.isfinite(getattr(self, name)), "a finite number")
        checked_seed(self.seed)
        for name in ("warmup", "weight_decay", "channels", "resamples"):
            _check(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("valid", "test"):
            _check(self, name, 0 < getattr(self, name) < 1, "between 0 and 1")
        _check(self, "identity", 0 < self.identity <= 1, "above 0 and at most 1")
        _check(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        _check(self, "lr", self.lr is None or 0 < self.lr < math.inf, "above 0, finite")
        if self.valid + self.test >= 1:
            raise ConfigError(
                f"valid and test are {self.valid} and {self.test}, which leaves nothing to train on"
            )
        if len(self.sequence) > 2:
            raise ConfigError(f"a row has one protein or two, not {len(self.sequence)}")
        if self.mode == "head" and self.lr is not None:
            raise ConfigError("--lr is of the encoder, which --mode head leaves as it is")

    def unused(self, parts: str, kind: str) -> list[str]:
        """Return the options that were given and do nothing, as they are typed.

        Parameters
        ----------
        parts : {"homology", "random", "column"}
            How rows are shared out; a folder of TAPE's files has its own parts.
        kind : str
            Of the labels.
        """
        names = [] if self.mode == "lora" else ["rank", "targets"]
        names += [] if parts == "homology" else ["identity"]
        names += ["test", "split"] if parts == "column" else ["part"]
        names += ["pool"] if kind == "residue" else []
        given = options_given(self, names)
        return [name for name in given if name != "--split" or self.split != parts]

    def steps(self, per_epoch: int) -> int:
        """Return the optimiser steps of a run."""
        wanted = -(-_STEPS // per_epoch) if self.epochs is None else self.epochs
        return per_epoch * (min(max(wanted, 5), 100) if self.epochs is None else wanted)

    def evaluation_steps(self, per_epoch: int) -> int:
        """Return the steps between two evaluations."""
        return self.eval_every or max(per_epoch, _LEAST_BETWEEN)

    @property
    def encoder_lr(self) -> float:
        """Highest learning rate of the encoder."""
        return _RATES[self.mode] if self.lr is None else self.lr


def _check(options: FinetuneOptions, name: str, good: bool, wanted: str) -> None:
    if not good:
        raise ConfigError(f"{name} must be {wanted}, not {getattr(options, name)}")

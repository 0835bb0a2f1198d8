"""Options that both training stages share, and those of stage 2."""

from __future__ import annotations

import math
import multiprocessing
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.options import check_choices, check_counts, options_given
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits import DEFAULT_KIND

FREE_ON_RESUME = ("out", "resume", "checkpoint_minutes", "workers", "allow_leakage")
"""Options that may differ between a run and its resumption: they do not touch the result."""


class RunOptions(Protocol):
    """What the options of every run that can be resumed have; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def out(self) -> str:
        """Folder of the run."""

    @property
    def resume(self) -> str | None:
        """What to go on from: auto, or a checkpoint; None for a new run."""


_WALK_TOKENS = 1024
_FIT_STEPS = 600
_OF_WALKS = (
    "walk_length", "walk_tokens", "p", "q", "weighted", "negative_rate", "relation_rate",
    "relation_weight", "walk_share",
)  # fmt: skip
_UNUSED = {
    "frozen": (*_OF_WALKS, "lr", "freeze", "lora", "decoder_steps"),
    "marker": ("pair_weight", "decoder_lr", "decoder_steps", "walk_share"),
}
"""Options of stage 2 that do nothing, by what is trained."""

#: Of the homology-contrastive term, by default.
TEMPERATURE = 0.07


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of a training run.

    Parameters
    ----------
    out
        Folder of the run: config.yaml, run.json, metrics.csv, loss.png, checkpoints, model.
    steps
        Optimiser steps.
    seed
        Seed of everything that is drawn: weights, order, crops, masks.
    max_tokens
        Tokens of a batch (on each device, before accumulation).
    accumulate
        Batches per optimiser step and device.
    lr
        Highest learning rate.
    warmup
        Steps of linear warm-up; at most a tenth of the run.
    schedule
        After the warm-up: cosine to zero, or wsd, constant and then linear to zero over the last
        fifth.
    weight_decay
        Of AdamW; not for norms, biases, embeddings, A_log and D.
    clip
        Largest norm of the gradient.
    devices
        How many devices on a node, or auto.
    nodes
        How many machines.
    strategy
        Of Lightning: auto, ddp, fsdp, ...
    precision
        Of the arithmetic; parameters stay float32.
    workers
        Processes that make batches ahead. A GPU that trains a small model needs a few; with 0 the
        training process makes them itself. They do not change the batches.
    checkpoint_minutes
        Save this often; the last two checkpoints are kept.
    resume
        auto (go on from the newest checkpoint of the run in out), or the path of a checkpoint.
    log_every
        Steps between rows of metrics.csv.
    eval_every
        Steps between evaluations on held-out data; there is one before and one after in any case.
    """

    out: str
    steps: int
    seed: int = 0
    max_tokens: int = 4096
    accumulate: int = 1
    lr: float = 3e-3
    warmup: int = 150
    schedule: Literal["cosine", "wsd"] = "cosine"
    weight_decay: float = 0.05
    clip: float = 1.0
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    workers: int = 0
    checkpoint_minutes: float = 10.0
    resume: str | None = None
    log_every: int = 10
    eval_every: int = 1000

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("seed", "split_seed"):
            checked_seed(getattr(self, name, 0))
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} must be a finite number, not {value}")
        check_counts(self, "steps", "max_tokens", "accumulate", "nodes", "log_every", "eval_every")
        for name in ("lr", "clip", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("warmup", "weight_decay", "workers"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")
        if self.workers and "fork" not in multiprocessing.get_all_start_methods():
            raise ConfigError("workers need a system that can fork, such as Linux; leave them out")


@dataclass(frozen=True, kw_only=True)
class Stage2Options(TrainOptions):
    """Options of stage 2.

    Parameters
    ----------
    graph
        string_human_core (embedded), string_human and other STRING networks, string:<taxon>,
        several species with commas between them (string:9606,10090), or pairs:FILE with a FASTA
        file beside it.
    min_score
        Edges of a smaller score are left out, in thousandths, as STRING has them: 700 for .7; of
        one graph in memory.
    encoder
        Where to start: a shipped encoder, a folder, a hub id, random:<preset>, or esm2:<folder or
        hub id> for an ESM-2-G.
    walk_length
        Proteins of a walk.
    curriculum
        Begin with walks of two proteins, which grow to walk_length over so many batches (of all
        devices together); walk_length should be 3 or more. Default: all walks have walk_length.
    walk_tokens
        Most tokens of a walk; default 1024, or the tokens that walks have of a batch if these are
        fewer.
    p
        Return parameter of node2vec.
    q
        In-out parameter of node2vec.
    weighted
        Walk along edges in proportion to their score.
    negative_rate
        Share of hops that lead to a protein that is not a neighbour.
    relation_rate
        Share of the relation markers that is masked.
    relation_weight
        Weight of the markers' loss beside the residues'.
    relation
        decoder: a decoder reads the pooled states of two proteins, by themselves with partners from
        a bank of states, and inside walks beside the marker; marker: the relation markers alone;
        frozen: a decoder alone, on states of an encoder that stays as it is, by batches of 2048
        pairs and without walks, which takes minutes and is the control of what decoder gains.
        Default: decoder for one graph, marker for several species.
    pair_weight
        Weight of the decoder's loss beside the residues'.
    decoder_lr
        Highest learning rate of the decoder; default 1e-3, and 3e-3 if it is trained alone.
    decoder_steps
        Steps that the decoder is fitted on frozen states before the first step; default: twice
        the steps, at most 600.  With frozen there is nothing before the first step.
    walk_share
        With a decoder: share of a batch's tokens that are walks; the others are single proteins.
    freeze
        Layers of the encoder, from the first, that stay as they are.
    marker_step
        Let every layer learn how far to forget, where it enters a protein of a walk, what stood
        before: a bias on its step size at [BON] and [EON] that starts at this value and has the
        decoder's learning rate, or lr with the relation marker, which trains no decoder. 0 changes
        nothing before the first step, 10 forgets nearly all. Default: none, unless the encoder has
        it.
    lora
        With an esm2: encoder: rank of adapters of its layers, which then stay as they are; 0
        trains them whole.
    split
        What is held out: random, C1, C2, C3, node, cluster, ..., or a saved split, whose path ends
        in .json (one graph in memory only).
    split_seed
        Seed of the split; a saved split is as it is.
    eval_pairs
        Held-out edges that are evaluated, and as many negatives.
    """

    graph: str
    encoder: str = DEFAULT_ENCODER
    walk_length: int = 5
    curriculum: int | None = None
    walk_tokens: int | None = None
    p: float = 1.0
    q: float = 1.0
    weighted: bool = False
    negative_rate: float = 0.5
    relation_rate: float = 0.15
    relation_weight: float = 0.1
    relation: Literal["decoder", "marker", "frozen"] | None = None
    pair_weight: float = 1.0
    decoder_lr: float | None = None
    decoder_steps: int | None = None
    walk_share: float = 0.5
    freeze: int = 0
    marker_step: float | None = None
    lora: int = 0
    split: str = DEFAULT_KIND
    split_seed: int = 0
    eval_pairs: int = 500
    min_score: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "walk_length", "walk_tokens", "eval_pairs")
        if not 0 < self.walk_share < 1 or self._no_rate() or self.pair_weight < 0:
            raise ConfigError(
                "walk_share must be between 0 and 1, decoder_lr above 0 and pair_weight not "
                f"negative, not {self.walk_share}, {self.decoder_lr} and {self.pair_weight}"
            )
        if (self.decoder_steps or 0) < 0 or self.freeze < 0 or self.lora < 0:
            raise ConfigError(
                f"decoder_steps, freeze and lora must not be negative, not {self.decoder_steps}, "
                f"{self.freeze} and {self.lora}"
            )
        if self.marker_step is not None and self.marker_step < 0:
            raise ConfigError(f"marker_step must not be negative, not {self.marker_step}")
        if self.curriculum is not None:
            self._check_curriculum(self.curriculum)
        self._check_walk_tokens()
        if self.several_species:
            self._check_species(self.graph.split(","))
        if not 0 <= self.relation_rate <= 1 or self.relation_weight < 0:
            raise ConfigError(
                "relation_rate must be between 0 and 1 and relation_weight not negative, not "
                f"{self.relation_rate} and {self.relation_weight}"
            )

    @property
    def several_species(self) -> bool:
        """Whether the graph is several species, mapped from disk."""
        return "," in self.graph and not self.graph.startswith("pairs:")

    @property
    def trained_relation(self) -> Literal["decoder", "marker", "frozen"]:
        """What is trained where nothing is said, too: a decoder needs one graph in memory."""
        return self.relation or ("marker" if self.several_species else "decoder")

    @property
    def walk_batch_tokens(self) -> int:
        """Tokens that walks have of a batch; single proteins have the others."""
        share = self.walk_share if self.trained_relation == "decoder" else 1.0
        return round(share * self.max_tokens)

    @property
    def most_walk_tokens(self) -> int:
        """Most tokens of a walk."""
        return self.walk_tokens or min(_WALK_TOKENS, self.walk_batch_tokens)

    @property
    def fit_steps(self) -> int:
        """Steps that the decoder is fitted before the first step."""
        if self.decoder_steps is None:
            return min(_FIT_STEPS, 2 * self.steps)
        return self.decoder_steps

    def unused(self) -> list[str]:
        """Return the options that were given and do nothing, as they are typed."""
        return options_given(self, _UNUSED.get(self.trained_relation, ()))

    def _check_species(self, names: list[str]) -> None:
        """Refuse before anything is downloaded."""
        taxa = [name.strip().removeprefix("string:") for name in names]
        if not all(taxa) or len(set(taxa)) < len(taxa):
            raise ConfigError(
                f"graph is {self.graph!r}; give species with commas between them, each once"
            )
        if self.min_score is not None:
            raise ConfigError("--min-score is of one graph; several species are read whole")
        if self.relation in ("decoder", "frozen"):
            raise ConfigError(
                f"--relation {self.relation} needs one graph in memory; give --relation marker for "
                "several species"
            )
        if self.split.endswith(".json"):
            raise ConfigError(
                f"split is {self.split!r}; several species are split by a kind, not by a file"
            )

    def _check_walk_tokens(self) -> None:
        if self.trained_relation == "frozen" or self.walk_tokens is None:
            return
        if self.walk_tokens > self.walk_batch_tokens:
            share = f" ({self.walk_share} of them, --walk-share)"
            raise ConfigError(
                f"walk_tokens is {self.walk_tokens}, but a batch of {self.max_tokens} tokens has "
                f"{self.walk_batch_tokens} for walks"
                f"{share if self.trained_relation == 'decoder' else ''}; give a larger "
                "--max-tokens or a smaller --walk-tokens"
            )

    def _check_curriculum(self, batches: int) -> None:
        if batches < 1:
            raise ConfigError(
                f"curriculum must be at least 1 batch, not {batches}; or leave it out"
            )
        if self.walk_length < 3 or self.relation == "frozen":
            raise ConfigError(
                "a curriculum lets walks grow from two proteins: give it a walk_length of at least "
                "3, and no --relation frozen, which has no walks"
            )

    def _no_rate(self) -> bool:
        return self.decoder_lr is not None and not self.decoder_lr > 0

"""Options that both training stages share, and command lines made of option classes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, TypeVar, get_type_hints

from lcplm_graph.errors import ConfigError, LcPlmError
from lcplm_graph.models.shipped import DEFAULT_ENCODER

T = TypeVar("T", bound="TrainOptions")

FREE_ON_RESUME = ("out", "resume", "checkpoint_minutes")
"""Options that may differ between a run and its resumption: they do not touch the result."""


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
    checkpoint_minutes: float = 10.0
    resume: str | None = None
    log_every: int = 10
    eval_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "max_tokens", "accumulate", "nodes", "log_every", "eval_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("lr", "clip", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("warmup", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Stage2Options(TrainOptions):
    """Options of stage 2.

    Parameters
    ----------
    graph
        string_human_core (embedded), string_human and other STRING networks, string:<taxon>,
        several species with commas between them (string:9606,10090), or pairs:FILE with a FASTA
        file beside it.
    encoder
        Where to start: a shipped encoder, a folder, a hub id, or random:<preset>.
    walk_length
        Proteins of a walk.
    walk_tokens
        Most tokens of a walk; default 1024, or max_tokens if that is less.
    p
        Return parameter of node2vec.
    q
        In-out parameter of node2vec.
    weighted
        Walk along edges in proportion to their score.
    negative_rate
        Share of hops that lead to a protein that is no neighbour.
    relation_rate
        Share of the relation markers that is masked.
    relation_weight
        Weight of the markers' loss beside the residues'.
    split
        What is held out: random, C1, C2, C3, node, cluster, ...
    split_seed
        Seed of the split.
    eval_pairs
        Held-out edges that are evaluated, and as many negatives.
    """

    graph: str
    encoder: str = DEFAULT_ENCODER
    walk_length: int = 5
    walk_tokens: int | None = None
    p: float = 1.0
    q: float = 1.0
    weighted: bool = False
    negative_rate: float = 0.5
    relation_rate: float = 0.15
    relation_weight: float = 0.1
    split: str = "C3"
    split_seed: int = 0
    eval_pairs: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.relation_rate <= 1 or self.relation_weight < 0 or self.eval_pairs < 1:
            raise ConfigError(
                "relation_rate must be between 0 and 1, relation_weight not negative and "
                f"eval_pairs at least 1, not {self.relation_rate}, {self.relation_weight} and "
                f"{self.eval_pairs}"
            )


def parse_options(cls: type[T], argv: Sequence[str] | None, prog: str, description: str) -> T:
    """Read options from a command line and the YAML file it may name.

    Parameters
    ----------
    cls : type
        A dataclass; every field becomes an option, explained by the class's docstring.
    argv : sequence of str, optional
        Default: of this process.
    prog, description : str
        For ``--help``.
    """
    import jsonargparse

    parser = jsonargparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--config", action="config", help="YAML file of options")
    hints, texts = get_type_hints(cls), _explanations(cls)
    for field in fields(cls):
        names = dict.fromkeys((f"--{field.name.replace('_', '-')}", f"--{field.name}"))
        settings: dict[str, Any] = {"help": texts[field.name]}
        if field.default is MISSING:
            settings["required"] = True
        else:
            settings["default"] = field.default
        if hints[field.name] is bool:
            # A plain flag, and true or false in YAML.
            settings |= {"action": jsonargparse.ActionYesNo(no_prefix="no-")}
            names = dict.fromkeys((f"--{field.name}",))
        else:
            settings["type"] = hints[field.name]
        parser.add_argument(*names, **settings)
    values = parser.parse_args(argv).as_dict()
    values.pop("config")
    return cls(**values)


def _explanations(cls: type) -> dict[str, str]:
    """Texts of the fields, from the numpydoc sections of the class and its bases."""
    import docstring_parser

    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        parsed = docstring_parser.parse(base.__doc__ or "")
        texts |= {p.arg_name: " ".join((p.description or "").split()) for p in parsed.params}
    return texts


@contextmanager
def exit_on_errors(stage: str) -> Iterator[None]:
    """Turn expected errors into one sentence and an exit code, for command lines."""
    # Idle threads of OpenMP spin by default, and on busy cores take the time of those that work.
    # Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from lcplm_graph.training.checkpoints import Interrupted

    try:
        yield
    except LcPlmError as error:
        sys.exit(f"lcplm {stage}: {error}")
    except Interrupted as stop:
        print(f"lcplm {stage}: {stop}; go on with --resume auto", file=sys.stderr)
        sys.exit(128 + stop.signum)

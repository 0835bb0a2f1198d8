"""What both stages of training do around their own work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from lcplm_graph.callers import callers_generators, for_training
from lcplm_graph.models.precision import warn_of_software_bfloat16
from lcplm_graph.process import default_dtype, on_cpu
from lcplm_graph.training.options import TrainOptions

Options = TypeVar("Options", bound=TrainOptions)


def run_stage(options: Options, train: Callable[[Options, Path | None], None]) -> None:
    """Train in the run's folder, whatever the caller's torch is set to, which stays as it is.

    Parameters
    ----------
    options : TrainOptions
    train : callable
        Takes the options and the checkpoint to go on from, None for a new run.

    Raises
    ------
    LcPlmError
        If an option or a checkpoint is not usable; what `train` raises.
    """
    if options.precision == "bf16-mixed" and not torch.cuda.is_available():
        warn_of_software_bfloat16("32-true")
    with callers_generators(), for_training(), default_dtype(torch.float32), on_cpu():
        # Imported inside: Lightning draws from Python's generator when it is.
        from lcplm_graph.training.resume import claimed

        with claimed(options) as checkpoint:
            train(options, checkpoint)

"""Parameter groups and learning-rate schedules."""

from __future__ import annotations

import math

from torch import nn

NO_DECAY_NAMES = ("A_log", "D", "bias", "marker_step_bias")
_WSD_TAIL = 0.2
_LONGEST_WARMUP = 0.1


def no_decay_names(model: nn.Module) -> set[str]:
    """Names of the parameters without weight decay: norms, biases, embeddings, A_log and D.

    Examples
    --------
    >>> sorted(no_decay_names(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2))))
    ['0.weight', '1.bias']
    """
    names = set()
    for prefix, module in model.named_modules():
        exempt = isinstance(module, nn.Embedding) or "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False):
            if exempt or name in NO_DECAY_NAMES:
                names.add(f"{prefix}.{name}" if prefix else name)
    return names


def learning_rate_factor(step: int, *, steps: int, warmup: int, schedule: str) -> float:
    """Share of the highest learning rate that optimiser step `step` (from 0) uses.

    Parameters
    ----------
    step, steps, warmup : int
        The warm-up is cut to a tenth of `steps`.
    schedule : {"cosine", "wsd"}
        Cosine to zero (Loshchilov & Hutter 2017), or warm-up, stable, decay (Hu et al. 2024).

    Examples
    --------
    >>> settings = {"steps": 100, "warmup": 10, "schedule": "wsd"}
    >>> [learning_rate_factor(step, **settings) for step in (0, 9, 50, 90)]
    [0.1, 1.0, 1.0, 0.5]
    """
    warmup = min(warmup, int(steps * _LONGEST_WARMUP))
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "cosine":
        done = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    tail = max(1, round(steps * _WSD_TAIL))
    return min(1.0, max(0, steps - step) / tail)

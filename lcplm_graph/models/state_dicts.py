"""State dicts: names of shared projections, and whether stored tensors fit a model.

Projections shared by the two directions are stored once, under either direction's name; on
loading, either name (or both, if equal) is taken.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lcplm_graph.errors import CheckpointError
from lcplm_graph.models.architecture import Architecture

EMBEDDING, OUTPUT = "bimamba.backbone.embedding.weight", "lm_head.weight"
PREFIX = "bimamba."
_SHOWN = 8


def second_names(keys: Collection[str], config: Architecture) -> list[str]:
    """Names of tensors that another name already holds; a checkpoint leaves them out."""
    found: list[str] = []
    if config.bidirectional and config.bidirectional_weight_tie:
        found += [key for key in keys if ".mamba_rev." in key and _other_direction(key)]
    if config.tie_embeddings and OUTPUT in keys:
        found.append(OUTPUT)
    return found


def stored_once(state: Mapping[str, Tensor], config: Architecture) -> dict[str, Tensor]:
    """Return a state dict without second names of shared tensors.

    Raises
    ------
    CheckpointError
        If a second name holds another value than the first.
    """
    kept = dict(state)
    for key in second_names(state.keys(), config):
        first = EMBEDDING if key == OUTPUT else _other_direction(key)
        if first not in kept:
            continue
        value = kept.pop(key)
        if value.data_ptr() != kept[first].data_ptr() and not torch.equal(value, kept[first]):
            raise CheckpointError(f"{key} and {first} differ, but the configuration ties them")
    return kept


def fit_state(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    config: Architecture,
    where: str | os.PathLike[str],
    *,
    new: tuple[str, ...] = (),
    ignore_mismatched: bool = False,
) -> dict[str, Tensor]:
    """Bring stored tensors to the names of a model, or list everything that does not fit.

    Parameters
    ----------
    tensors : mapping
        As read.
    wanted : mapping
        State dict of the model; only names and shapes are looked at.
    config : LcPlmConfig
    where : path-like
        For messages.
    new : tuple of str
        Beginnings of names that a checkpoint of another task need not have: its head.
    ignore_mismatched : bool
        Leave tensors of another shape out instead of refusing them.

    Raises
    ------
    CheckpointError
        If parameters are missing, unexpected or of the wrong shape (all are listed).
    """
    state = _match_prefix(tensors, wanted, new)
    if config.bidirectional and config.bidirectional_weight_tie:
        _complete_tied(state, wanted, where)
    if config.tie_embeddings and OUTPUT in wanted and EMBEDDING in state:
        state.setdefault(OUTPUT, state[EMBEDDING])
    mismatched = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if ignore_mismatched:
        state = {k: v for k, v in state.items() if k not in mismatched}
        wanted = {k: v for k, v in wanted.items() if k not in mismatched}
        mismatched = []
    problems = {
        "missing": [k for k in wanted if k not in state and not k.startswith(new)],
        "unexpected": [k for k in state if k not in wanted],
        "of the wrong shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}" for k in mismatched
        ],
    }
    found = [f"{len(v)} {kind}: {_listed(v)}" for kind, v in problems.items() if v]
    if found:
        raise CheckpointError(
            f"{where}: the parameters do not fit the configuration; {'; '.join(found)}"
        )
    refuse_not_finite(state, where)
    return state


def refuse_not_finite(state: Mapping[str, Tensor], where: str | os.PathLike[str]) -> None:
    """Raise `CheckpointError` if a floating-point tensor holds NaN or infinity."""
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"{where}: {key} holds values that are not finite; the checkpoint is damaged, or "
                "the run that wrote it had diverged"
            )


def _match_prefix(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], new: tuple[str, ...]
) -> dict[str, Tensor]:
    """Let models of one kind load from checkpoints of another; heads not asked for are left out."""
    inside = any(k.startswith(PREFIX) for k in wanted)
    stored_inside = any(k.startswith(PREFIX) for k in tensors)
    if inside == stored_inside and not (inside and new):
        return dict(tensors)
    if inside and stored_inside:
        return {k: v for k, v in tensors.items() if k.startswith(PREFIX) or k in wanted}
    if inside:
        # The encoder alone; only classification models may get a new head.
        return {PREFIX + k: v for k, v in tensors.items()}
    return {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}


def _complete_tied(
    state: dict[str, Tensor], wanted: Mapping[str, Tensor], where: str | os.PathLike[str]
) -> None:
    for key in wanted:
        other = _other_direction(key)
        if other is None:
            continue
        if key not in state and other in state:
            state[key] = state[other]
        elif key in state and other in state and not torch.equal(state[key], state[other]):
            raise CheckpointError(
                f"{where}: {key} and {other} differ, but the configuration says that the "
                "directions share their projections (bidirectional_weight_tie)"
            )


def _other_direction(key: str) -> str | None:
    """Name under which the other direction holds the same projection."""
    if ".in_proj." not in key and ".out_proj." not in key:
        return None
    if ".mamba_fwd." in key:
        return key.replace(".mamba_fwd.", ".mamba_rev.")
    return key.replace(".mamba_rev.", ".mamba_fwd.") if ".mamba_rev." in key else None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

"""Masking for masked-language-model training, after BERT (Devlin et al. 2019) and ESM-2.

Residues: a rate (15 %) of them is scored; of those 80 % become `<mask>`, 10 % a random standard
residue, 10 % stay.  Special tokens are never masked and never drawn as replacements.
Relation markers (`[EDGE]`, `[NO_EDGE]`), in stage 2, have a rate of their own and always become
`<mask>`: a marker left visible would give the answer away.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.numeric import real_number
from lcplm_graph.tokens.vocabulary import (
    EDGE,
    FIRST_RESIDUE,
    LAST_RESIDUE,
    MASK,
    NO_EDGE,
    STANDARD_RESIDUES,
)

IGNORE = -100
"""Label of positions that the loss leaves out, as in `torch.nn.functional.cross_entropy`."""


class MaskedTokens(NamedTuple):
    """Corrupted input and the labels to predict.

    Attributes
    ----------
    input_ids : Tensor, dtype=int64, shape=(T,)
    labels : Tensor, dtype=int64, shape=(T,)
        The original id at scored positions, `IGNORE` elsewhere.
    """

    input_ids: Tensor
    labels: Tensor


def is_residue(input_ids: Tensor) -> Tensor:
    """Tell residues (any amino-acid letter, gaps not counted) from other tokens."""
    return (input_ids >= FIRST_RESIDUE) & (input_ids <= LAST_RESIDUE)


def is_relation(input_ids: Tensor) -> Tensor:
    """Tell relation markers from other tokens."""
    return (input_ids == EDGE) | (input_ids == NO_EDGE)


def mask_tokens(
    input_ids: Tensor,
    *,
    rate: float = 0.15,
    relation_rate: float = 0.0,
    mask_only: bool = False,
    generator: torch.Generator | None = None,
) -> MaskedTokens:
    """Choose positions to predict and corrupt the input there.

    Parameters
    ----------
    input_ids : Tensor, dtype=int64, any shape
    rate : float
        Share of residues that is scored.
    relation_rate : float
        Share of relation markers that is scored; these always become `<mask>`.
    mask_only : bool
        Replace every scored residue by `<mask>` (the honest way to report perplexity: with
        80/10/10 a tenth of the answers is visible).
    generator : torch.Generator, optional
        Source of randomness, on the device of `input_ids`.

    Returns
    -------
    MaskedTokens

    Raises
    ------
    ConfigError
        If a rate is outside [0, 1].
    InputError
        If one is no number.
    """
    for name, value in (("rate", rate), ("relation_rate", relation_rate)):
        if not 0.0 <= real_number(value, name) <= 1.0:
            raise ConfigError(f"{name} must be between 0 and 1, not {value}")

    def uniform() -> Tensor:
        return torch.rand(
            input_ids.shape, generator=generator, device=input_ids.device, dtype=torch.float32
        )

    # One fixed sequence of draws, so that switching an option leaves the other choices alone.
    draw, fate, which = uniform(), uniform(), uniform()
    residue_hit = is_residue(input_ids) & (draw < rate)
    relation_hit = is_relation(input_ids) & (draw < relation_rate)
    labels = torch.where(residue_hit | relation_hit, input_ids, IGNORE)

    replacement = FIRST_RESIDUE + (which * len(STANDARD_RESIDUES)).long()
    to_mask = relation_hit | (residue_hit & (fate < (1.0 if mask_only else 0.8)))
    to_random = residue_hit & ~to_mask & (fate < 0.9)
    corrupted = torch.where(to_mask, MASK, torch.where(to_random, replacement, input_ids))
    return MaskedTokens(corrupted, labels)

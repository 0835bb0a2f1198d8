"""Where proteins of a stream begin and end, and how a layer forgets there what was before.

In a stream of several proteins the state that is carried over from one drowns what the next says
of itself.  A direction enters a protein by ``[BON]``, or, from the right, by ``[EON]``.  There its
state may decay faster:

    h_t = exp(softplus(delta_t + bias) A) h_{t-1} + softplus(delta_t) u_t B_t,

with a learned bias for each channel.  At 0 nothing is changed; a large one forgets all.  The
marker's own input enters as before, and relation markers between proteins still see both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.tokens.packing import pad_mask_to_cu_seqlens
from lcplm_graph.tokens.vocabulary import BON, EON


class Entrances(NamedTuple):
    """Tokens by which the two directions enter the proteins of streams.

    Attributes
    ----------
    forward, reverse : Tensor, dtype=int64
        Places of ``[BON]`` and of ``[EON]`` on the packed token axis.
    """

    forward: Tensor
    reverse: Tensor


def entrances_of(input_ids: Tensor | None, attention_mask: Tensor | None) -> Entrances:
    """Find the entrances of what `LcPlmModel` was given.

    Raises
    ------
    InputError
        If there are embeddings instead of ids.
    """
    if input_ids is None:
        raise InputError(
            "this model forgets at [BON] and [EON], which cannot be seen in inputs_embeds; give "
            "input_ids"
        )
    ids = input_ids.reshape(-1)
    if attention_mask is not None:
        ids = ids[pad_mask_to_cu_seqlens(attention_mask)[0]]
    return Entrances(*((ids == marker).nonzero()[:, 0] for marker in (BON, EON)))


def forget_at(
    operands: dict[str, Any], at: Tensor, bias: Tensor
) -> tuple[dict[str, Any], Callable[[Tensor, Tensor | None], Tensor]]:
    """Let the state decay faster at some tokens.

    Every kernel computes ``exp(dt A) h + dt u B`` with one step size for both terms.  So the step
    is made longer and the input smaller, and what the skip connection ``D u`` misses is given back
    to the output.

    Parameters
    ----------
    operands : dict
        Of `lcplm_graph.ops.selective_scan.selective_scan`.
    at : Tensor, dtype=int64, shape=(M,)
    bias : Tensor, shape=(E,)

    Returns
    -------
    operands : dict
    restore : callable
        Takes the scan's output and its gate, and gives the output.
    """
    u, delta = operands["u"], operands["delta"]
    weight, delta_bias = operands.get("delta_weight"), operands.get("delta_bias")
    wide = torch.promote_types(u.dtype, torch.float32)
    step = delta[at] if weight is None else F.linear(delta[at].to(weight.dtype), weight)
    step = step.to(wide) if delta_bias is None else step.to(wide) + delta_bias
    own = u[at].to(wide)
    less = own * F.softplus(step) / F.softplus(step + bias.to(wide))
    changed = {"u": u.index_copy(0, at, less.to(u.dtype))}
    if weight is None:
        changed["delta"] = delta.index_add(0, at, bias.to(delta.dtype).expand(len(at), -1))
    else:
        is_entrance = delta.new_zeros(len(delta), 1).index_fill(0, at, 1.0)
        changed["delta"] = torch.cat([delta, is_entrance], dim=1)
        changed["delta_weight"] = torch.cat([weight, bias[:, None].to(weight.dtype)], dim=1)
    missing = operands["D"] * (own - less)

    def restore(y: Tensor, z: Tensor | None) -> Tensor:
        gated = missing if z is None else missing * F.silu(z[at].to(wide))
        return y.index_add(0, at, gated.to(y.dtype))

    return operands | changed, restore

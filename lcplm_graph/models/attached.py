"""Which modules may be read as containers of their weights, and how all others are called.

The fused kernels take weights, not modules.  A module that something is attached to (an adapter, a
hook, a parametrisation, pruning, quantisation, a patched `forward`) does more than its weights
say, so it is called.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _hooks_of_all

from lcplm_graph.own_code import code_identity, is_installed

_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
_PLAIN_TENSORS = (nn.Parameter, Tensor)


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Tell whether a module does what its class and weights say, and nothing else.

    Parameters
    ----------
    module : nn.Module
    kind : type
        The class it was built as; parametrised, quantised and adapted modules have another.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> is_plain(layer, nn.Linear)
    True
    >>> handle = layer.register_forward_hook(lambda *_: None)
    >>> is_plain(layer, nn.Linear)
    False
    """
    if type(module) is not kind or "forward" in module.__dict__:
        return False
    if any(getattr(module, name) for name in _HOOKS) or _hooks_of_all._has_any_global_hook():
        return False
    # Some quantisers leave the module and change the class of its tensors.
    return all(type(tensor) in _PLAIN_TENSORS for tensor in module._parameters.values() if
               tensor is not None)  # fmt: skip


def is_second_name(module: nn.Module, first: nn.Module) -> bool:
    """Tell whether a module is only another name of `first`, or was so before an adapter came.

    An adapter replaces a shared module under its first name only.
    """
    if module is first:
        return True
    if not is_plain(module, nn.Linear):
        return False
    return not is_plain(first, nn.Linear) or module.weight is first.weight


def attached_code(module: nn.Module, *, of_our_own: bool) -> str:
    """Name the code that decides what a module returns beside its weights; nothing if it is plain.

    Parameters
    ----------
    module : nn.Module
    of_our_own : bool
        It is part of an encoder of this package, so a user's class in it has been put there.
    """
    found = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    if "forward" in module.__dict__:
        found.append(module.__dict__["forward"])
    if of_our_own and not is_installed(type(module).__module__.partition(".")[0]):
        found.append(type(module))
    return " ".join(map(code_identity, found))


def call(module: nn.Module, x: Tensor) -> Tensor:
    """Call a module that may be quantised or adapted, on its own dtype.

    The kernels return float32, so low-precision weights need a cast.
    """
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.is_floating_point():
        x = x.to(weight.dtype)
    return module(x)


def convolve_called(
    conv: nn.Module, x: Tensor, cu_seqlens: Tensor, taps: int, reverse: bool
) -> Tensor:
    """`lcplm_graph.ops.causal_conv.causal_conv` by calling a module, once for all streams.

    Parameters
    ----------
    conv : nn.Module
        Called on (1, E, L); a `torch.nn.Conv1d` without padding, or what stands in its place.
    x : Tensor, shape=(T, E)
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    taps : int
        Length of the kernel.
    reverse : bool

    Returns
    -------
    Tensor, dtype=float32, shape=(T, E)
    """
    lengths = cu_seqlens.diff().long()
    if reverse:
        x, lengths = x.flip(0), lengths.flip(0)
    # Zeros in front of every stream keep it apart from the one before.
    zeros = taps - 1
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=x.device), lengths)
    at = torch.arange(len(x), device=x.device) + zeros * owner
    apart = x.new_zeros(len(x) + zeros * len(lengths), x.shape[1])
    apart = apart.index_copy(0, at + zeros, x)
    out = nn.functional.silu(call(conv, apart.T[None])[0].T.float())[at]
    return out.flip(0) if reverse else out

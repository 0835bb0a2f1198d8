"""`cpu_op`: custom ops of torch that cost nothing where nobody has to see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class CpuOp:
    """A `torch.library.custom_op`, or its plain function where nothing of torch watches the call.

    The first call of a custom op imports torch's compiler, which takes longer than all the rest of
    embedding a few proteins.

    Parameters
    ----------
    name : str
        As ``namespace::op``.
    function : callable
        What it does, on CPU tensors.
    mutates_args : sequence of str
        Names of the arguments that it writes to.

    Attributes
    ----------
    op : torch.library.CustomOpDef
    """

    def __init__(
        self, name: str, function: Callable[..., Any], mutates_args: Sequence[str] = ()
    ) -> None:
        self.function = function
        self.op = torch.library.custom_op(
            name, function, mutates_args=mutates_args, device_types="cpu"
        )
        self.register_fake = self.op.register_fake
        self.register_autograd = self.op.register_autograd

    def __call__(self, *args: Any) -> Any:
        """Compute; by the op itself for gradients, compilers, tracers and tensor subclasses."""
        return (self.op if _watched(args) else self.function)(*args)


def cpu_op(name: str, mutates_args: Sequence[str] = ()) -> Callable[[Callable[..., Any]], CpuOp]:
    """Decorate a function as `CpuOp`."""
    return lambda function: CpuOp(name, function, mutates_args)


def _watched(args: tuple[Any, ...]) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    if torch._C._len_torch_dispatch_stack() or torch._C._are_functorch_transforms_active():
        return True
    gradients = torch.is_grad_enabled()
    return any(
        (gradients and x.requires_grad) or type(x) not in (Tensor, nn.Parameter)
        for x in args
        if isinstance(x, Tensor)
    )

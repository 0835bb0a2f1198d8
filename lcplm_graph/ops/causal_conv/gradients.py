"""What the custom ops of every backend share: shapes of gradients, and how autograd calls them."""

from __future__ import annotations

from typing import Any


def register_gradients(forward_op: Any, backward_op: Any) -> None:
    """Let `backward_op` give the gradients of `forward_op`.

    Parameters
    ----------
    forward_op, backward_op : torch.library.CustomOpDef, CpuOp or DeviceOp
        ``(x, weight, bias, cu_seqlens, reverse)``, and the same after ``dout``.
    """

    @backward_op.register_fake
    def _(dout, x, weight, bias, cu_seqlens, reverse):  # type: ignore[no-untyped-def]
        return x.new_empty(x.shape), weight.new_empty(weight.shape), bias.new_empty(bias.shape)

    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        *tensors, ctx.reverse = inputs
        ctx.save_for_backward(*tensors)

    def backward(ctx, dout):  # type: ignore[no-untyped-def]
        grads = backward_op(dout.contiguous(), *ctx.saved_tensors, ctx.reverse)
        return (*grads, None, None)

    forward_op.register_autograd(backward, setup_context=setup_context)

"""What can be trained: heads whose weights have gradients, on features at hand."""

from __future__ import annotations

from torch import Tensor, nn

from lcplm_graph.errors import InputError


def check_trainable(model: nn.Module) -> None:
    """Refuse a head whose weights can have no gradients.

    Raises
    ------
    InputError
    """
    if any(weight.is_inference() for weight in model.parameters()):
        raise InputError(
            "this head was made inside torch.inference_mode(), which leaves its weights without "
            "gradients; make it outside"
        )


def trained_on(features: Tensor, what: str = "features") -> Tensor:
    """Return features for training: on the CPU, where heads compute, and open to gradients.

    Raises
    ------
    InputError
        If they are on another device.
    """
    check_on_cpu(features, what)
    return features.clone() if features.is_inference() else features


def check_on_cpu(features: Tensor, what: str) -> None:
    """Refuse features that are elsewhere.

    Raises
    ------
    InputError
    """
    if features.device.type != "cpu":
        raise InputError(
            f"{what} are on {features.device}, but heads compute on the CPU; move them by .cpu()"
        )

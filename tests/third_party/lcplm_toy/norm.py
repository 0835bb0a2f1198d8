"""A kernel of `rms_norm`: the same sums as the reference, in another order."""


def supports(device, dtype, *, forced=False, width=16):
    """Whether a call can be computed, and why or why not."""
    return True, "lcplm-toy 1.0"


def run(x, weight, eps, dtype):
    """Compute ``x / sqrt(mean(x^2) + eps) * weight``."""
    return (x * weight / ((x * x).sum(-1, keepdim=True) / x.shape[-1] + eps).sqrt()).to(dtype)

"""Kernels: each operation as a plain reference and as faster forms that must equal it.

Four operations carry the time: `selective_scan`, `causal_conv`, `rms_norm` and `random_walk`. Each
is a folder with ``reference.py``, written to be read, and kernels beside it (Numba on the CPU,
Triton and mamba-ssm on GPUs). Streams are packed: one axis of tokens, and `cu_seqlens`.

>>> import torch
>>> from lcplm_graph.ops.causal_conv import causal_conv
>>> x, weight = torch.ones(5, 16), torch.ones(16, 4)
>>> bounds = torch.tensor([0, 2, 5], dtype=torch.int32)
>>> fast = causal_conv(x, weight, cu_seqlens=bounds)
>>> plain = causal_conv(x, weight, cu_seqlens=bounds, backend="reference")
>>> bool(torch.allclose(fast, plain))
True

`lcplm_graph.backends` chooses per call, from the device and dtype of the data, and says why;
``lcplm doctor`` prints it, ``LCPLM_BACKEND`` and ``backend=`` force it. A kernel that cannot run is
an error when it was asked for, never a silent replacement.

Next: CONTRIBUTING.md on adding a kernel, also from a package of your own.
"""

"""Decoders: from the states of two proteins to the log-odds that they interact.

All are symmetric: a pair has one score, whichever protein is named first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lcplm_graph.errors import UnknownNameError
from lcplm_graph.heads.convolutions import Scale
from lcplm_graph.heads.dropout import Dropout
from lcplm_graph.heads.structure import WIDTH
from lcplm_graph.process import default_dtype


class DotDecoder(nn.Module):
    """``<a, b> / sqrt(d) + c``.

    Parameters
    ----------
    channels : int
    """

    @default_dtype(torch.float32)
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = channels**-0.5
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Score pairs; `a` and `b` broadcast over all but the last axis."""
        return (a * b).sum(-1) * self.factor + self.offset


class HadamardMlpDecoder(nn.Module):
    """A small network over ``[a * b, |a - b|]``.

    Parameters
    ----------
    channels : int
    dropout : float
    outputs : int
        Numbers a pair; the axis of a single one is left out.
    """

    @default_dtype(torch.float32)
    def __init__(self, channels: int, dropout: float = 0.0, outputs: int = 1) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 * channels, channels),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(channels, outputs),
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Score pairs; `a` and `b` broadcast over all but the last axis."""
        scores = self.net(torch.cat([a * b, (a - b).abs()], dim=-1))
        return scores.squeeze(-1) if scores.shape[-1] == 1 else scores


class BilinearDecoder(nn.Module):
    """``a^T (W + W^T) b / (2 sqrt(d)) + c``.

    Parameters
    ----------
    channels : int
    """

    @default_dtype(torch.float32)
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))
        self.factor = channels**-0.5
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Score pairs; `a` and `b` broadcast over all but the last axis."""
        symmetric = (self.weight + self.weight.T) / 2
        return ((a @ symmetric) * b).sum(-1) * self.factor + self.offset


class StructureBranch(nn.Module):
    """A small network over what `PairStructure` says; adds nothing where it says nothing.

    Parameters
    ----------
    dropout : float
    """

    @default_dtype(torch.float32)
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        width = WIDTH - 1
        self.scale = Scale(width)
        self.net = nn.Sequential(
            nn.Linear(width, 64), nn.ReLU(), Dropout(dropout), nn.Linear(64, 1)
        )

    def fit(self, structure: Tensor) -> None:
        """Take mean and spread from pairs that have edges, shape (n, WIDTH)."""
        self.scale.fit(structure[structure[:, -1] > 0, :-1])

    def forward(self, structure: Tensor) -> Tensor:
        """Return what is added to the log-odds, shape (n,)."""
        known = structure[:, -1]
        return known * self.net(self.scale(structure[:, :-1])).squeeze(-1)


DECODERS = ("dot", "hadamard-mlp", "bilinear")


def make_decoder(name: str, channels: int, dropout: float = 0.0) -> nn.Module:
    """Build a decoder by name.

    Raises
    ------
    UnknownNameError
        If there is no such decoder.
    """
    if name == "dot":
        return DotDecoder(channels)
    if name == "hadamard-mlp":
        return HadamardMlpDecoder(channels, dropout)
    if name == "bilinear":
        return BilinearDecoder(channels)
    raise UnknownNameError(f"no decoder {name!r}; choose one of {', '.join(DECODERS)}")

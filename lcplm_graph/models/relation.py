"""`RelationDecoder`: what LC-PLM-G says of two proteins, from their pooled states.

Stage 2 trains it beside the encoder and stores it in the model folder.  A model without one, such
as a published checkpoint, scores pairs by its relation marker alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcplm_graph.tokens.vocabulary import EDGE, NO_EDGE


class MemberLinear(nn.Module):
    """Linear layers of several members, applied side by side.

    Parameters
    ----------
    members, width_in, width_out : int
    """

    def __init__(self, members: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(members, 1, width_out))
        nn.init.uniform_(self.weight, -math.sqrt(1 / width_in), math.sqrt(1 / width_in))

    def forward(self, x: Tensor) -> Tensor:
        """Map (members or 1, n, width_in) to (members, n, width_out)."""
        return torch.matmul(x, self.weight) + self.bias


class RelationDecoder(nn.Module):
    """The log-odds that two proteins interact: the mean of several small networks.

    Each standardises the pooled states by running statistics, projects them, and reads
    ``[a * b, |a - b|]``, so a pair has one score whichever protein is named first.  Inside a stream
    the marker's own log-odds are added, times a weight that is learned from 0.

    Parameters
    ----------
    width : int
        Of the pooled states.
    channels : int
        Of the projected states.
    members : int
        Networks that differ in their initial weights.

    Examples
    --------
    >>> decoder = RelationDecoder(8, channels=4, members=2)
    >>> h = decoder.embed(torch.rand(3, 8))
    >>> decoder(h[:, :2], h[:, 1:]).shape
    torch.Size([2])
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, channels: int = 128, members: int = 4) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float32))
        self.register_buffer("variance", torch.ones(width, dtype=torch.float32))
        self.project = MemberLinear(members, width, channels)
        self.hidden = MemberLinear(members, 2 * channels, channels)
        self.output = MemberLinear(members, channels, 1)
        self.marker_weight = nn.Parameter(torch.zeros((), dtype=torch.float32))

    @torch.no_grad()
    def observe(self, pooled: Tensor, momentum: float = 1.0) -> None:
        """Move the running statistics towards those of `pooled`, shape (n, width).

        Parameters
        ----------
        pooled : Tensor, shape=(n, width)
        momentum : float
            Share of the new; 1 forgets what was.
        """
        moved = pooled.float().mean(0) - self.mean
        spread = (pooled.float() - self.mean).pow(2).mean(0) - momentum * moved.pow(2)
        self.variance += momentum * (spread - self.variance)
        self.mean += momentum * moved

    def standardised(self, pooled: Tensor) -> Tensor:
        """Return pooled states (n, width) with the mean 0 and spread 1 of those observed."""
        return (pooled.float() - self.mean) * torch.rsqrt(self.variance + 1e-5)

    def embed(self, pooled: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Project pooled states (n, width) to what is decoded, (members, n, channels)."""
        x = self.standardised(pooled)
        h = F.relu(self.project(x.to(self.project.weight.dtype)[None]))
        return h if dropout is None else dropout(h)

    def each(self, a: Tensor, b: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Return each member's log-odds of pairs, shape (members, p).

        Parameters
        ----------
        a, b : Tensor, shape=(members, p, channels)
            From `embed`.
        dropout : Dropout, optional
            For training.
        """
        h = F.relu(self.hidden(torch.cat([a * b, (a - b).abs()], dim=-1)))
        return self.output(h if dropout is None else dropout(h)).squeeze(-1).float()

    def forward(self, a: Tensor, b: Tensor, marker: Tensor | None = None) -> Tensor:
        """Return log-odds of pairs, shape (p,).

        Parameters
        ----------
        a, b : Tensor, shape=(members, p, channels)
        marker : Tensor, shape=(p,), optional
            `marker_log_odds` of the markers between them in a stream.
        """
        score = self.each(a, b).mean(0)
        return score if marker is None else score + self.marker_weight.float() * marker


def marker_log_odds(logits: Tensor) -> Tensor:
    """Return ``logit([EDGE]) - logit([NO_EDGE])`` in float32, (k,), from markers' logits (k, V)."""
    return (logits[:, EDGE] - logits[:, NO_EDGE]).float()


class Dropout:
    """Dropout whose masks depend on a generator alone, so that a resumed run draws the same.

    Parameters
    ----------
    p : float
        Share that is dropped.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(self, p: float, generator: torch.Generator) -> None:
        self.p, self.generator = p, generator

    def __call__(self, x: Tensor) -> Tensor:
        """Drop, and scale up what stays."""
        keep = torch.rand(x.shape, generator=self.generator, device="cpu") >= self.p
        return x * (keep.to(x.device, x.dtype) / (1 - self.p))

"""`FunctionPredictor`: which terms a protein has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from lcplm_graph.heads.base import Head
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.numeric import whole_number
from lcplm_graph.process import default_dtype


class FunctionPredictor(Head):
    """Node features, any PyG convolution, one logit a term.

    Parameters
    ----------
    in_channels : int, optional
        Width of the node features; leave it out with `encoder`.
    num_terms : int
    channels, layers, conv, dropout, encoder, pool
        As in `LinkPredictor`.
    """

    @default_dtype(torch.float32)
    def __init__(
        self,
        in_channels: int | None = None,
        *,
        num_terms: int,
        channels: int = 256,
        layers: int = 2,
        conv: str = "GraphSAGE",
        dropout: float = 0.3,
        encoder: Encoder | str | Path | None = None,
        pool: str | None = None,
    ) -> None:
        super().__init__(in_channels, channels, layers, conv, dropout, encoder, pool)
        self.out = nn.Linear(channels, whole_number(num_terms, "num_terms"))

    def forward(
        self,
        x: Tensor | Iterable[str],
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of all terms, shape (n, num_terms), or of the proteins `rows` only."""
        states = self.embed(x, edge_index, edge_weight)
        return self.out(states if rows is None else states[rows])

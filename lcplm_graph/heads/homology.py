"""`HomologyClassifier`: which fold (superfamily, family) a domain has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from lcplm_graph.heads.base import Head
from lcplm_graph.heads.convolutions import no_edges
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.numeric import whole_number
from lcplm_graph.process import default_dtype


class HomologyClassifier(Head):
    """Features and one logit a class; domains come without a graph, so the default uses none.

    Parameters
    ----------
    in_channels : int, optional
        Width of the features; leave it out with `encoder`.
    num_classes : int
    channels, layers, conv, dropout, encoder, pool
        As in `LinkPredictor`.
    """

    @default_dtype(torch.float32)
    def __init__(
        self,
        in_channels: int | None = None,
        *,
        num_classes: int,
        channels: int = 256,
        layers: int = 2,
        conv: str = "none",
        dropout: float = 0.3,
        encoder: Encoder | str | Path | None = None,
        pool: str | None = None,
    ) -> None:
        super().__init__(in_channels, channels, layers, conv, dropout, encoder, pool)
        self.out = nn.Linear(channels, whole_number(num_classes, "num_classes"))

    def forward(
        self,
        x: Tensor | Iterable[str],
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of all classes, shape (n, num_classes)."""
        if edge_index is None:
            edge_index = no_edges(self.out.weight.device)
        return self.out(self.embed(x, edge_index, edge_weight))

"""`PropertyHead`: any property of a protein, a residue or a pair, from the states of an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lcplm_graph.heads.convolutions import Scale
from lcplm_graph.heads.decoders import HadamardMlpDecoder
from lcplm_graph.heads.dropout import Dropout
from lcplm_graph.numeric import flag
from lcplm_graph.process import default_dtype


class PropertyHead(nn.Module):
    """Features of equal scale, a hidden layer, and an output layer or a symmetric decoder of pairs.

    Parameters
    ----------
    width : int
        Of the features.
    outputs : int
    channels : int
        Of the hidden layer; 0 for none, which leaves a linear map.
    dropout : float
    paired : bool
        Outputs are of pairs, whichever protein is named first.

    Examples
    --------
    >>> head = PropertyHead(4, 3, channels=8).eval()
    >>> head(torch.rand(5, 4)).shape
    torch.Size([5, 3])
    >>> head = PropertyHead(4, 1, channels=8, paired=True).eval()
    >>> head(torch.rand(5, 4), torch.tensor([[0, 1], [1, 0]])).shape
    torch.Size([2, 1])
    """

    @default_dtype(torch.float32)
    def __init__(
        self,
        width: int,
        outputs: int,
        *,
        channels: int = 128,
        dropout: float = 0.1,
        paired: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.outputs, self.channels = width, outputs, channels
        self.paired = flag(paired, "paired")
        self.scale = Scale(width)
        self.hidden: nn.Module = nn.Identity()
        if channels:
            self.hidden = nn.Sequential(nn.Linear(width, channels), nn.ReLU(), Dropout(dropout))
        inner = channels or width
        self.out: nn.Module = (
            HadamardMlpDecoder(inner, dropout, outputs) if paired else nn.Linear(inner, outputs)
        )

    def distance(self, features: Tensor) -> Tensor:
        """Return how far rows are from the training proteins, see `Scale.distance`."""
        return self.scale.distance(features)

    def forward(self, features: Tensor, pairs: Tensor | None = None) -> Tensor:
        """Return one row of outputs for each row of features, or for each pair of rows.

        Parameters
        ----------
        features : Tensor, shape=(n, width)
        pairs : Tensor, dtype=int64, shape=(p, 2), optional
            Of a head of pairs.
        """
        states = self.hidden(self.scale(features))
        if pairs is None:
            return self.out(states)
        scores = self.out(states[pairs[:, 0]], states[pairs[:, 1]])
        return scores.view(len(pairs), self.outputs)

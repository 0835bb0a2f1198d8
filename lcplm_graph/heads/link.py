"""`LinkPredictor`: whether two proteins interact."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.heads.base import Head, checked_pairs
from lcplm_graph.heads.decoders import StructureBranch, make_decoder
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.numeric import flag


class LinkPredictor(Head):
    """Node features, any PyG convolution, a symmetric decoder of pairs.

    Parameters
    ----------
    in_channels : int, optional
        Width of the node features; leave it out with `encoder`.
    channels : int
        Width of the node states.
    layers : int
        Number of convolutions.
    conv : str
        ``GCN``, ``GraphSAGE``, ``GAT``, ``GIN``, ... or ``none``, which uses the sequence alone.
    decoder : {"dot", "hadamard-mlp", "bilinear"}
    dropout : float
    structure : bool
        Add what `PairStructure` says about two proteins that both have edges.
    gated : int
        This many of the last features count for proteins with edges only.
    encoder : Encoder or str, optional
        Trained end to end; `forward` then takes sequences.
    pool : str, optional
        Pooling of that encoder; by default the one it recommends.

    Examples
    --------
    >>> import torch
    >>> model = LinkPredictor(20, channels=8, conv="GCN").eval()
    >>> x, edges = torch.rand(3, 20), torch.tensor([[0, 1], [1, 0]])
    >>> model(x, edges, torch.tensor([[0, 2], [2, 0]]))[0].shape
    torch.Size([])
    """

    #: Share of the learning rate that it is trained at.
    lr_share = 1.0

    def __init__(
        self,
        in_channels: int | None = None,
        *,
        channels: int = 128,
        layers: int = 2,
        conv: str = "GraphSAGE",
        decoder: str = "hadamard-mlp",
        dropout: float = 0.1,
        structure: bool = False,
        gated: int = 0,
        encoder: Encoder | str | Path | None = None,
        pool: str | None = None,
    ) -> None:
        super().__init__(in_channels, channels, layers, conv, dropout, encoder, pool, gated=gated)
        self.decoder = make_decoder(decoder, channels, dropout)
        self.between = StructureBranch(dropout) if flag(structure, "structure") else None

    def forward(
        self,
        x: Tensor | Iterable[str],
        edge_index: Tensor,
        pairs: Tensor,
        edge_weight: Tensor | None = None,
        structure: Tensor | None = None,
    ) -> Tensor:
        """Return the log-odds of pairs, shape (p,).

        Parameters
        ----------
        x, edge_index, edge_weight
            As in `embed`.
        pairs : Tensor, dtype=int64, shape=(p, 2)
        structure : Tensor, shape=(p, WIDTH), optional
            From `PairStructure`; without it that part is silent.

        Raises
        ------
        InputError
            As `decode`.
        """
        return self.decode(self.embed(x, edge_index, edge_weight), pairs, structure)

    def decode(self, h: Tensor, pairs: Tensor, structure: Tensor | None = None) -> Tensor:
        """Return the log-odds of pairs from node states.

        Raises
        ------
        InputError
            If `pairs` are not whole numbers of shape (p, 2), or name a protein that has no state,
            or `structure` is given to a head that does not read it.
        """
        pairs = checked_pairs(pairs, len(h))
        logits = self.decoder(h[pairs[:, 0]], h[pairs[:, 1]])
        return self._with(logits, structure)

    def row(self, h: Tensor, node: int, others: Tensor, structure: Tensor | None = None) -> Tensor:
        """Return the log-odds of one node with others, int64 of shape (n,), as `decode` does."""
        return self._with(self.decoder(h[node][None], h[others]), structure)

    def check_reads(self, structure: object) -> None:
        """Refuse a pair structure if the head has no part that reads it.

        Raises
        ------
        InputError
        """
        if structure is not None and self.between is None:
            raise InputError(
                "this head does not read `structure`; make it with structure=True, or leave it out"
            )

    def _with(self, logits: Tensor, structure: Tensor | None) -> Tensor:
        self.check_reads(structure)
        if self.between is None or structure is None:
            return logits
        return logits + self.between(structure)

"""`CrossAttentionPredictor`: parts of two proteins that look at each other."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError
from lcplm_graph.heads.base import checked_pairs
from lcplm_graph.heads.dropout import Dropout
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.models.pooling import NUM_PARTS
from lcplm_graph.numeric import flag, whole_number
from lcplm_graph.process import default_dtype


class CrossAttentionPredictor(LinkPredictor):
    """Whether two proteins interact, from their parts and from each as a whole.

    The parts of a protein, means of `NUM_PARTS` stretches, attend to each other; those of a pair
    then attend to the other protein's.  What does not depend on the partner is in the states, so
    that a pair costs two small attentions.  It is for pairs of unseen proteins: it uses no edges.

    Parameters
    ----------
    in_channels : int
        Width of the features: mean, spread and `NUM_PARTS` means of an encoder's states.
    channels : int
        Width of the state of a part.
    attention_heads : int
    dropout : float
    conv, decoder, structure, gated
        As `Recipe` names them for every head: without a graph, and with the decoder left as it is,
        since it has one of its own.

    Raises
    ------
    ConfigError
        If the width is of other features, the graph or another decoder is asked for, or `channels`
        cannot be shared out to the attention heads.
    InputError
        If a width is none.

    References
    ----------
    Attention between two proteins as in TUnA (Ko et al., Briefings in Bioinformatics 25, 2024).

    Examples
    --------
    >>> model = CrossAttentionPredictor((2 + NUM_PARTS) * 8, channels=16).eval()
    >>> h = model.embed(torch.rand(3, 80), torch.empty((2, 0), dtype=torch.int64))
    >>> both = model.decode(h, torch.tensor([[0, 2], [2, 0]]))
    >>> bool(both[0] == both[1])
    True
    """

    #: It is trained at this share of the others' learning rate.
    lr_share = 0.4

    @default_dtype(torch.float32)
    def __init__(
        self,
        in_channels: int,
        *,
        channels: int = 64,
        attention_heads: int = 4,
        dropout: float = 0.3,
        conv: str = "none",
        decoder: str = Recipe.decoder,
        structure: bool = False,
        gated: int = 0,
    ) -> None:
        in_channels = whole_number(in_channels, "in_channels")
        dim, rest = divmod(in_channels, 2 + NUM_PARTS)
        if rest:
            raise ConfigError(
                f"features of width {in_channels} are not mean, spread and {NUM_PARTS} parts; "
                "embed with pooling mean_std_max_min_parts"
            )
        if conv != "none" or flag(structure, "structure") or gated:
            raise ConfigError("attention between proteins uses no graph; give conv none")
        if decoder != Recipe.decoder:
            raise ConfigError(f"attention between proteins leaves decoder {decoder!r} unused")
        if whole_number(channels, "channels") % whole_number(attention_heads, "attention_heads"):
            raise ConfigError(
                f"{channels} channels cannot be shared out to {attention_heads} attention heads"
            )
        super().__init__(in_channels, channels=channels, conv="none", decoder="dot")
        self.channels, self.dim, self.attention_heads = channels, dim, attention_heads
        self.gnn.project = nn.Sequential(nn.Linear(2 * dim, channels), nn.GELU(), Dropout(dropout))
        self.read = nn.Linear(dim, channels)
        self.place = nn.Parameter(0.02 * torch.randn(NUM_PARTS, channels))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.qkv = nn.ModuleList(nn.Linear(channels, 3 * channels) for _ in range(2))
        self.proj = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * channels, channels),
        )
        self.out = nn.Sequential(
            nn.Linear(4 * channels, channels), nn.GELU(), Dropout(dropout), nn.Linear(channels, 1)
        )
        self.dropout = Dropout(dropout)

    def embed(
        self,
        x: Tensor | Iterable[str],
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Return states: the whole, the parts, and their queries, keys and values in a pair.

        Returns
        -------
        Tensor, shape=(n, channels * (1 + 4 * NUM_PARTS))
        """
        scaled = self.gnn.scale(self._features(x))
        whole = self.gnn.project(scaled[:, : 2 * self.dim])
        parts = self.read(
            self.dropout(scaled[:, 2 * self.dim :].unflatten(1, (NUM_PARTS, self.dim)))
        )
        parts = parts + self.place
        qkv = self.qkv[0](self.norms[0](parts))
        parts = parts + self.proj[0](self._attend(qkv, qkv))
        return torch.cat([whole, parts.flatten(1), self.qkv[1](self.norms[1](parts)).flatten(1)], 1)

    def decode(self, h: Tensor, pairs: Tensor, structure: Tensor | None = None) -> Tensor:
        """Return the log-odds of pairs from states, as `LinkPredictor.decode` does."""
        self.check_reads(structure)
        pairs = checked_pairs(pairs, len(h))
        return self._score(h[pairs[:, 0]], h[pairs[:, 1]])

    def row(self, h: Tensor, node: int, others: Tensor, structure: Tensor | None = None) -> Tensor:
        """Return the log-odds of one node with others, as `decode` does."""
        self.check_reads(structure)
        return self._score(h[node].expand(len(others), -1), h[others])

    def _score(self, a: Tensor, b: Tensor) -> Tensor:
        (a, own, own_qkv), (b, other, other_qkv) = self._taken_apart(a), self._taken_apart(b)
        first = torch.cat([self._met(own, own_qkv, other_qkv), a], 1)
        second = torch.cat([self._met(other, other_qkv, own_qkv), b], 1)
        scores: Tensor = self.out(torch.cat([first * second, first + second], 1))
        return scores.squeeze(1)

    def _taken_apart(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        whole, parts, qkv = h.tensor_split((self.channels, self.channels * (1 + NUM_PARTS)), dim=1)
        return whole, parts.unflatten(1, (NUM_PARTS, -1)), qkv.unflatten(1, (NUM_PARTS, -1))

    def _met(self, parts: Tensor, qkv: Tensor, other: Tensor) -> Tensor:
        """Return the mean of a protein's parts after they looked at those of the other one."""
        parts = parts + self.proj[1](self._attend(qkv, other))
        return (parts + self.mlp(self.norms[2](parts))).mean(1)

    def _attend(self, qkv: Tensor, other: Tensor) -> Tensor:
        """Attend with the queries of one to keys and values of another, (n, parts, channels)."""
        query = self._by_head(qkv.chunk(3, dim=2)[0])
        key, value = (self._by_head(part) for part in other.chunk(3, dim=2)[1:])
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.attention_heads, -1)).transpose(1, 2)

"""What all heads share: node features, or an encoder that is trained along."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.heads.convolutions import GraphEncoder
from lcplm_graph.heads.edges import checked_edges
from lcplm_graph.models.encoders import MAX_TOKENS, Encoder, as_encoder, length_sorted_batches
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.numeric import edge_weights, whole_number
from lcplm_graph.strings import string_list
from lcplm_graph.tokens.vocabulary import check_proteins

_NODES = ("int64", "int32")


class Head(nn.Module):
    """Node features (or sequences through an encoder) and a stack of convolutions.

    Parameters
    ----------
    in_channels : int, optional
        Width of the features; not needed with an encoder.
    channels, layers, conv, dropout
        See `GraphEncoder`.
    encoder : Encoder or str, optional
        Trained together with the head; nodes are then given as sequences.
    pool : str, optional
        How the encoder's residues become one vector; by default as it recommends.
    max_tokens : int
        Tokens per batch of the encoder.
    gated : int
        See `GraphEncoder`.

    Raises
    ------
    ConfigError
        If features and encoder are both given, or neither, or a pooling without an encoder; or
        `conv` needs more than its widths.
    InputError
        If a width or a number is none.
    UnknownNameError
        If PyG has no such convolution.
    """

    def __init__(
        self,
        in_channels: int | None,
        channels: int,
        layers: int,
        conv: str,
        dropout: float,
        encoder: Encoder | str | Path | None = None,
        pool: str | None = None,
        max_tokens: int = MAX_TOKENS,
        gated: int = 0,
    ) -> None:
        super().__init__()
        if (in_channels is None) == (encoder is None):
            raise ConfigError("give either the width of the features or an encoder")
        if encoder is None and pool is not None:
            raise ConfigError(f"pool={pool!r} is of an encoder, and this head takes features")
        encoder = None if encoder is None else as_encoder(encoder)
        pool = "mean" if encoder is None else encoder.chosen_pool(pool)
        width = in_channels if encoder is None else pooled_dim(encoder.dim, pool)
        width = whole_number(width, "in_channels")
        channels, layers = whole_number(channels, "channels"), whole_number(layers, "layers", 0)
        if whole_number(gated, "gated", 0) >= width:
            raise InputError(f"gated={gated} leaves nothing of {width} features for all proteins")
        self.in_channels = width
        self.encoder, self.pool, self.max_tokens = encoder, pool, max_tokens
        self.gnn = GraphEncoder(width, channels, layers, conv, dropout, gated)

    def embed(
        self,
        x: Tensor | Iterable[str],
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Return node states, shape (n, channels).

        Parameters
        ----------
        x : Tensor, shape=(n, in_channels), or iterable of str
            Features, or with an encoder sequences, through which gradients then flow.
        edge_index : Tensor, dtype=int64, shape=(2, m)
            Message edges, both directions.
        edge_weight : Tensor, shape=(m,), optional
            Used by those convolutions that know weights; finite and not negative.
        known : Tensor, dtype=bool, shape=(n,), optional
            Proteins with message edges, where `edge_index` does not tell.

        Raises
        ------
        InputError
            If the features are not of the width that it was made for, an edge names a protein that
            does not exist, or weights are not one number for each edge.
        """
        features = self._features(x)
        edge_index = checked_edges(edge_index, len(features))
        if edge_weight is not None:
            edge_weight = _checked_weight(edge_weight, edge_index).to(self.gnn.scale.dtype)
        return self.gnn(features, edge_index, edge_weight, known)

    def _features(self, x: Tensor | Iterable[str]) -> Tensor:
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            raise InputError("features are a tensor; torch.from_numpy makes one of an array")
        features = x if isinstance(x, Tensor) else self._encode(x)
        if features.device != self.gnn.scale.device:
            raise InputError(
                f"features are on {features.device} and this head is on {self.gnn.scale.device}; "
                "move one of them"
            )
        if features.dim() != 2 or features.shape[1] != self.in_channels:
            raise InputError(
                f"this head was made for features of width {self.in_channels}, got "
                f"{tuple(features.shape)}; make a new head, or use the encoder it was made for"
            )
        return features

    def _encode(self, sequences: Iterable[str]) -> Tensor:
        if self.encoder is None:
            raise InputError("this head has no encoder: give features, not sequences")
        texts = string_list(sequences)
        check_proteins(texts, range(len(texts)))
        if not texts:
            raise InputError("there are no sequences: a graph has at least one protein")
        lengths = np.array([len(s) for s in texts], dtype=np.int64)
        batches = length_sorted_batches(lengths, self.max_tokens)
        parts = [self.encoder.embed_batch([texts[i] for i in b], self.pool) for b in batches]
        place = np.argsort(np.concatenate(batches), kind="stable")
        return torch.cat(parts)[torch.from_numpy(place)]


def checked_pairs(pairs: Tensor, count: int) -> Tensor:
    """Return pairs of nodes as they are; -1, which unknown names have, would be the last node.

    Raises
    ------
    InputError
        If they are not whole numbers of shape (p, 2), or one is not a node.
    """
    shape = tuple(getattr(pairs, "shape", ()))
    if len(shape) != 2 or shape[1] != 2 or str(pairs.dtype).removeprefix("torch.") not in _NODES:
        found = f"{pairs.dtype} of shape {shape}" if shape else type(pairs).__name__
        raise InputError(f"pairs must be an int64 tensor of shape (p, 2), not {found}")
    outside = (pairs < 0) | (pairs >= count)
    if bool(outside.any()):
        raise InputError(
            f"pairs name a protein outside 0..{count - 1}: {int(pairs[outside][0])}; an unknown "
            "name has the number -1"
        )
    return pairs


def _checked_weight(weight: Tensor, edge_index: Tensor) -> Tensor:
    if not isinstance(weight, Tensor) or weight.shape != edge_index.shape[1:]:
        found = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise InputError(
            f"edge_weight must be a tensor of shape ({edge_index.shape[1]},), one number for each "
            f"edge, not {found}"
        )
    # On its device: the weights of a large graph are not copied in every step.
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        edge_weights(weight, edge_index.T.cpu(), highest=float("inf"))
    return weight

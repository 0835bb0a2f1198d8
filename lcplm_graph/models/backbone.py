"""`Backbone`: embedding, layers and final norm over packed tokens; all models share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lcplm_graph.models.architecture import Architecture
from lcplm_graph.models.bimamba import Layer, RMSNorm
from lcplm_graph.models.entrances import Entrances
from lcplm_graph.models.streaming import can_stream, stream_layer

_CHECKPOINT = partial(checkpoint, use_reentrant=False)


class TokenEmbedding(nn.Embedding):
    """`torch.nn.Embedding` that draws nothing on the meta device; torch would import a compiler."""

    def reset_parameters(self) -> None:
        """Draw the initial values, as the base class does."""
        if not self.weight.is_meta:
            super().reset_parameters()


class Backbone(nn.Module):
    """Embedding, layers and final norm, over packed tokens."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.embedding: nn.Embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.n_layer)])
        self.norm_f = RMSNorm(config.d_model, config.norm_epsilon)
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden: Tensor,
        cu_seqlens: Tensor,
        window: int | None = None,
        keep: Callable[[Tensor], None] = lambda _: None,
        entrances: Entrances | None = None,
    ) -> Tensor:
        """Run the layers on embeddings (T, d_model); `keep` is shown every layer's input."""
        hidden = hidden.float()
        more = () if entrances is None else (entrances,)
        if window is not None and len(hidden) > window and not torch.is_grad_enabled():
            hidden = hidden.clone()
            for layer in self.layers:
                keep(hidden)
                if can_stream(layer):
                    stream_layer(cast(Layer, layer), hidden, cu_seqlens, window, entrances)
                else:
                    hidden = layer(hidden, cu_seqlens, *more)
            return self.norm_f(hidden)
        for layer in self.layers:
            keep(hidden)
            if self.gradient_checkpointing and self.training:
                # Hugging Face sets this one when it is told how to checkpoint.
                run = getattr(self, "_gradient_checkpointing_func", _CHECKPOINT)
                hidden = run(layer, hidden, cu_seqlens, *more)
            else:
                hidden = layer(hidden, cu_seqlens, *more)
        return self.norm_f(hidden)

"""The encoder in Hugging Face's shape: `LcPlmModel`, over padded batches or packed streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.utils import ModelOutput

from lcplm_graph.errors import InputError
from lcplm_graph.models.backbone import Backbone
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.entrances import entrances_of
from lcplm_graph.models.layouts import to_packed, tokens_of
from lcplm_graph.models.pretrained import LcPlmPreTrainedModel
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.vocabulary import PAD


@dataclass
class EncoderOutput(ModelOutput):
    """Output of `LcPlmModel`.

    Attributes
    ----------
    last_hidden_state : Tensor, dtype=float32, shape=(B, L, d_model) or (T, d_model)
        After the final norm; zeros at pads.
    hidden_states : tuple of Tensor, optional
        Embeddings, the output of every layer but the last, and `last_hidden_state`.
    """

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class LcPlmModel(LcPlmPreTrainedModel):
    """The encoder.

    Parameters
    ----------
    config : LcPlmConfig

    Examples
    --------
    >>> import torch
    >>> from lcplm_graph.tokens.packing import tokenize
    >>> model = LcPlmModel(LcPlmConfig(d_model=32, n_layer=2)).eval()
    >>> packed = tokenize(["MKTAYIAK", "GA"])
    >>> model(packed.input_ids, cu_seqlens=packed.cu_seqlens).last_hidden_state.shape
    torch.Size([14, 32])
    """

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__(config)
        self.backbone = Backbone(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.backbone.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.backbone.embedding = cast(nn.Embedding, value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        window: int | None = None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """Encode a padded batch or packed streams.

        Parameters
        ----------
        input_ids : Tensor, dtype=int64, shape=(B, L), or with `cu_seqlens` (T,) or (1, T)
        attention_mask : Tensor, shape=(B, L), optional
            1 at real tokens, 0 at pads, which may stand on either side and have any id.
            Default: all tokens are real.
        inputs_embeds : Tensor, shape=(..., d_model), optional
            Instead of `input_ids`.
        cu_seqlens : Tensor, dtype=int32, shape=(S + 1,), optional
            Boundaries of packed streams.
        output_attentions : bool, optional
            True is refused: there is no attention.
        output_hidden_states, return_dict : bool, optional
            As everywhere in Hugging Face; default: as the configuration says.
        window : int, optional
            Without gradients, encode at most this many tokens at a time, carrying the state; the
            result is that of the whole, in less memory.

        Returns
        -------
        EncoderOutput, or a tuple of its fields that are not None

        Raises
        ------
        InputError
            If the inputs contradict each other or have a wrong shape, or embeddings are given to a
            model with marker steps, which looks for markers.
        """
        if output_attentions or self.config.output_attentions:
            raise InputError("LC-PLM has no attention to return; leave output_attentions False")
        if output_hidden_states is None:
            output_hidden_states = bool(self.config.output_hidden_states)
        tokens = tokens_of(input_ids, inputs_embeds, self.config.d_model)
        hidden = self.backbone.embedding(tokens) if inputs_embeds is None else inputs_embeds
        flat, cu_seqlens, restore = to_packed(
            hidden, tokens, attention_mask, cu_seqlens, self.config.pad_token_id or PAD
        )
        entrances = None
        if self.config.marker_step_bias:
            entrances = entrances_of(input_ids, attention_mask)
        states: list[Tensor] = []

        def keep(state: Tensor) -> None:
            if output_hidden_states:
                states.append(restore(state.clone() if window else state))

        last = restore(self.backbone(flat, cu_seqlens, window, keep, entrances))
        output = EncoderOutput(
            last_hidden_state=last,
            hidden_states=(*states, last) if output_hidden_states else None,
        )
        return as_asked(output, return_dict, self.config)


Output = TypeVar("Output", bound=ModelOutput)


def as_asked(
    output: Output, return_dict: bool | None, config: LcPlmConfig
) -> Output | tuple[Any, ...]:
    """Return an output as it is, or as a tuple if that was asked for."""
    as_dict = config.return_dict if return_dict is None else return_dict
    return output if as_dict else output.to_tuple()


def token_loss(logits: Tensor, labels: Tensor, items: Tensor | int | None = None) -> Tensor:
    """Cross-entropy over the labels that are not -100: their mean, or their sum over `items`."""
    if labels.shape != logits.shape[:-1]:
        raise InputError(
            f"labels must be of shape {tuple(logits.shape[:-1])}, not {tuple(labels.shape)}"
        )
    flat, asked = logits.flatten(0, -2), labels.flatten().to(logits.device)
    if items is None:
        return F.cross_entropy(flat, asked, ignore_index=IGNORE)
    total = F.cross_entropy(flat, asked, ignore_index=IGNORE, reduction="sum")
    return total / (items.to(total.device) if isinstance(items, Tensor) else items)

"""LC-PLM in Hugging Face's shape: `LcPlmModel` and `LcPlmForMaskedLM`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedModel
from transformers.utils import ModelOutput

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.models.bimamba import Layer, MambaDirection, RMSNorm
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.layouts import to_packed, tokens_of
from lcplm_graph.models.streaming import stream_layer
from lcplm_graph.tokens.masking import IGNORE


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


@dataclass
class MaskedLMOutput(ModelOutput):
    """Output of `LcPlmForMaskedLM`.

    Attributes
    ----------
    loss : Tensor, shape=(), optional
        Mean cross-entropy over the labels that are not -100.
    logits : Tensor, dtype=float32, shape=(B, L, vocab_size) or (T, vocab_size)
    hidden_states : tuple of Tensor, optional
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class Backbone(nn.Module):
    """Embedding, layers and final norm, over packed tokens."""

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.n_layer)])
        self.norm_f = RMSNorm(config.d_model, config.norm_epsilon)
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden: Tensor,
        cu_seqlens: Tensor,
        window: int | None = None,
        keep: Callable[[Tensor], None] = lambda _: None,
    ) -> Tensor:
        """Run the layers on embeddings (T, d_model); `keep` is shown every layer's input."""
        hidden = hidden.float()
        if window is not None and len(hidden) > window and not torch.is_grad_enabled():
            hidden = hidden.clone()
            for layer in self.layers:
                keep(hidden)
                stream_layer(cast(Layer, layer), hidden, cu_seqlens, window)
            return self.norm_f(hidden)
        for layer in self.layers:
            keep(hidden)
            if self.gradient_checkpointing and self.training:
                hidden = checkpoint(layer, hidden, cu_seqlens, use_reentrant=False)
            else:
                hidden = layer(hidden, cu_seqlens)
        return self.norm_f(hidden)


class LcPlmPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the models below."""

    config_class = LcPlmConfig
    base_model_prefix = "bimamba"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Layer"]  # noqa: RUF012 (name and type are Hugging Face's)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, MambaDirection):
            # Mamba scales the projections into the residual stream by depth.
            scale = self.config.n_layer**-0.5
            nn.init.kaiming_uniform_(module.out_proj.weight, a=5**0.5)
            module.out_proj.weight.mul_(scale)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # fewer options than Hugging Face
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        config: LcPlmConfig | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        **ignored: Any,
    ) -> Self:
        """Load a checkpoint from a folder or from the Hugging Face hub.

        Parameters
        ----------
        pretrained_model_name_or_path : str or path-like
            A folder with ``config.json`` and ``model.safetensors`` (or shards), or a hub id.
        config : LcPlmConfig, optional
            Use this configuration instead of the stored one.
        dtype : torch.dtype, optional
            Of the parameters; default float32.
        revision : str, optional
            Of the hub repository.
        local_files_only : bool
            Do not ask the hub; use what was downloaded before.
        **ignored
            What Hugging Face's auto classes pass along and has no meaning here
            (``trust_remote_code``, ``adapter_kwargs``); anything else is refused.

        Raises
        ------
        ConfigError
            If an option is not known.
        CheckpointError
            If files are missing, are Git-LFS pointers, or parameters are missing, unexpected or of
            the wrong shape (all are listed).
        """
        from lcplm_graph.models.checkpoints import load_model

        if unknown := set(ignored) - {"trust_remote_code", "adapter_kwargs"}:
            raise ConfigError(f"from_pretrained does not know {', '.join(sorted(unknown))}")
        return load_model(
            cls,
            pretrained_model_name_or_path,
            config=config,
            dtype=dtype,
            revision=revision,
            local_files_only=local_files_only,
        )

    def save_pretrained(  # type: ignore[override]  # always whole, always safetensors
        self, save_directory: str | PathLike[str], **_: Any
    ) -> None:
        """Write ``config.json`` and ``model.safetensors`` in the published layout."""
        from lcplm_graph.models.checkpoints import save_model

        save_model(self, save_directory)


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
        output_hidden_states, return_dict : bool, optional
            As everywhere in Hugging Face.
        window : int, optional
            Without gradients, encode at most so many tokens at a time, carrying the state; the
            result is that of the whole, in less memory.

        Returns
        -------
        EncoderOutput, or a tuple of its fields that are not None

        Raises
        ------
        InputError
            If the inputs contradict each other or have a wrong shape.
        """
        output_hidden_states, return_dict = self._defaults(output_hidden_states, return_dict)
        tokens = tokens_of(input_ids, inputs_embeds, self.config.d_model)
        hidden = self.backbone.embedding(tokens) if inputs_embeds is None else inputs_embeds
        flat, cu_seqlens, restore = to_packed(
            hidden, tokens, attention_mask, cu_seqlens, self.config.pad_token_id
        )
        states: list[Tensor] = []

        def keep(state: Tensor) -> None:
            if output_hidden_states:
                states.append(restore(state.clone() if window else state))

        last = restore(self.backbone(flat, cu_seqlens, window, keep))
        output = EncoderOutput(
            last_hidden_state=last,
            hidden_states=(*states, last) if output_hidden_states else None,
        )
        return output if return_dict else output.to_tuple()

    def _defaults(
        self, output_hidden_states: bool | None, return_dict: bool | None
    ) -> tuple[bool, bool]:
        if output_hidden_states is None:
            output_hidden_states = bool(self.config.output_hidden_states)
        return output_hidden_states, True if return_dict is None else return_dict


class LcPlmForMaskedLM(LcPlmPreTrainedModel):
    """The encoder with an output layer over the vocabulary.

    Parameters
    ----------
    config : LcPlmConfig
    """

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__(config)
        self.bimamba = LcPlmModel(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.bimamba.backbone.embedding.weight
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.bimamba.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the output layer."""
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """Encode and predict every token.

        Parameters
        ----------
        input_ids, attention_mask, **options
            As in `LcPlmModel.forward`.
        labels : Tensor, dtype=int64, shape of `input_ids`, optional
            Tokens to predict, -100 where there is nothing to predict.

        Returns
        -------
        MaskedLMOutput, or a tuple of its fields that are not None
        """
        encoded = self.bimamba(input_ids, attention_mask, return_dict=True, **options)
        logits = self.lm_head(encoded.last_hidden_state.to(self.lm_head.weight.dtype)).float()
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:-1]:
                raise InputError(
                    f"labels must be of shape {tuple(logits.shape[:-1])}, not {tuple(labels.shape)}"
                )
            loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE)
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output if return_dict in (None, True) else output.to_tuple()


AutoConfig.register(LcPlmConfig.model_type, LcPlmConfig, exist_ok=True)
AutoModel.register(LcPlmConfig, LcPlmModel, exist_ok=True)
AutoModelForMaskedLM.register(LcPlmConfig, LcPlmForMaskedLM, exist_ok=True)

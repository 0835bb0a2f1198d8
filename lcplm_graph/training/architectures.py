"""The models stage 1 trains: BiMamba-S, its ablations, and ESM-2, all of equal size."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError, UnknownNameError
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM, MaskedLMOutput
from lcplm_graph.tokens.packing import PackedTokens, pad
from lcplm_graph.tokens.vocabulary import MASK, PAD

MAMBA_OPTIONS: dict[str, dict[str, bool]] = {
    "bimamba-s": {},
    "bimamba": {"share_projections": False},
    "mamba": {"bidirectional": False},
}
ARCHITECTURES = (*MAMBA_OPTIONS, "esm2")
_ESM2_TOKENS = 33
_HEAD = 16
_GRID = 8


class Esm2ForPacked(nn.Module):
    """ESM-2's masked LM (Lin et al. 2023) over packed streams, padded on the way in.

    Parameters
    ----------
    config : transformers.EsmConfig
    esm2 : transformers.EsmForMaskedLM, optional
        Default: an untrained one.
    """

    def __init__(self, config: Any, esm2: Any = None) -> None:
        from transformers import EsmForMaskedLM

        super().__init__()
        self.config = config
        self.esm2 = EsmForMaskedLM(config) if esm2 is None else esm2
        # The contact head takes no part in masked-LM training.
        self.esm2.esm.contact_head.requires_grad_(False)

    def forward(
        self, input_ids: Tensor, *, cu_seqlens: Tensor, output_hidden_states: bool = False
    ) -> MaskedLMOutput:
        """Predict every token; `input_ids` are flat, logits too, shape (T, 33)."""
        ids, mask = pad(PackedTokens(input_ids, cu_seqlens))
        output = self.esm2(ids, attention_mask=mask, output_hidden_states=output_hidden_states)
        real = mask.bool()
        states = output.hidden_states
        return MaskedLMOutput(
            logits=output.logits[real].float(),
            hidden_states=None if states is None else tuple(state[real] for state in states),
        )

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write a checkpoint that transformers reads."""
        self.esm2.save_pretrained(folder)


def build_model(arch: str, preset: str, shape: Mapping[str, int] | None = None) -> nn.Module:
    """Build an untrained model.

    Parameters
    ----------
    arch : {"bimamba-s", "bimamba", "mamba", "esm2"}
        ``bimamba-s`` has the preset's shape.  The others have as many layers, and the width that
        brings their number of parameters nearest to it.
    preset : str
        One of `lcplm_graph.models.architecture.PRESETS`.
    shape : mapping, optional
        Any of ``d_model``, ``n_layer`` and ``d_state``, in place of the preset's.

    Raises
    ------
    UnknownNameError
        If either is not known.

    Examples
    --------
    >>> sizes = {a: count_parameters(build_model(a, "1m")) for a in ("bimamba-s", "esm2")}
    >>> abs(sizes["esm2"] / sizes["bimamba-s"] - 1) < 0.05
    True
    """
    if arch not in ARCHITECTURES:
        raise UnknownNameError(f"unknown architecture {arch!r}; known: {', '.join(ARCHITECTURES)}")
    config = _config(preset, **(shape or {}))
    if arch == "bimamba-s":
        return LcPlmForMaskedLM(config)
    with torch.device("meta"):
        target = count_parameters(LcPlmForMaskedLM(config))
        width = _matching_width(arch, config, target)
    return _of_width(arch, width, config)


def _config(preset: str, d_state: int | None = None, **options: Any) -> LcPlmConfig:
    ssm_cfg = None if d_state is None else {"d_state": d_state}
    return LcPlmConfig.from_preset(preset, ssm_cfg=ssm_cfg, **options)


def load_trainable(name: str) -> LcPlmEncoder:
    """Load an LC-PLM to go on training.

    Raises
    ------
    ConfigError
        If the encoder is not an LC-PLM.
    """
    encoder = load_encoder(name)
    if not isinstance(encoder, LcPlmEncoder):
        raise ConfigError(f"encoder {name!r} cannot be trained here; give an LC-PLM")
    return encoder


def count_parameters(model: nn.Module) -> int:
    """Count trained parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _matching_width(arch: str, config: LcPlmConfig, target: int) -> int:
    """Search by bisection: the number of parameters grows with the width."""
    grid = 2 * _HEAD if arch == "esm2" else _GRID

    def size(step: int) -> int:
        return count_parameters(_of_width(arch, step * grid, config))

    low, high = 1, 2
    while size(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < target else (low, middle)
    return grid * min((low, high), key=lambda step: abs(size(step) - target))


def _of_width(arch: str, width: int, like: LcPlmConfig) -> nn.Module:
    if arch != "esm2":
        shape: dict[str, Any] = {"n_layer": like.n_layer, "ssm_cfg": like.ssm_cfg}
        return LcPlmForMaskedLM(LcPlmConfig(d_model=width, **(shape | MAMBA_OPTIONS[arch])))
    from transformers import EsmConfig

    config = EsmConfig(
        vocab_size=_ESM2_TOKENS,
        mask_token_id=MASK,
        pad_token_id=PAD,
        hidden_size=width,
        num_hidden_layers=like.n_layer,
        num_attention_heads=width // _HEAD,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    return Esm2ForPacked(config)

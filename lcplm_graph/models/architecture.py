"""`Architecture`: the shape of an LC-PLM in the keys of the published checkpoints, and the presets.

It knows nothing of Hugging Face, whose import takes longer than embedding a protein.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.config_checks import check_token_ids, check_values
from lcplm_graph.models.pooling import check_pool
from lcplm_graph.tokens.vocabulary import EOS, PAD

PRESETS: dict[str, dict[str, int]] = {
    "1m": {"d_model": 160, "n_layer": 5},
    "8m": {"d_model": 384, "n_layer": 7},
    "35m": {"d_model": 512, "n_layer": 20},
    "130m": {"d_model": 768, "n_layer": 24},
    "370m": {"d_model": 1024, "n_layer": 48},
    "790m": {"d_model": 1536, "n_layer": 48},
    "1b4": {"d_model": 2048, "n_layer": 48},
}
"""Shapes by name.  From 130m on they are those of the Mamba paper, whose names count a larger
vocabulary; 790m is the published LC-PLM."""


@dataclass(kw_only=True, repr=False, eq=False)
class Architecture:
    """Shape of a BiMamba-S encoder and what stands on it.

    Parameters
    ----------
    d_model : int
        Width of the residual stream.
    n_layer : int
        Number of layers.
    vocab_size : int
        Rows of the embedding table; rounded up to `pad_vocab_size_multiple`.
    pad_vocab_size_multiple : int
        A vocabulary that was resized is stored with 1, so that it is not rounded again.
    ssm_cfg : dict
        Options of the state-space layer: ``d_state`` (16), ``d_conv`` (4), ``expand`` (2),
        ``dt_rank`` ("auto" = d_model / 16), ``bias`` (False), ``conv_bias`` (True).
    bidirectional : bool
        False gives a plain, left-to-right Mamba.
    bidirectional_weight_tie : bool
        Whether both directions share their projections (BiMamba-S); also `share_projections`.
    bidirectional_strategy : {"add", "ew_multiply"}
        How the directions' outputs are combined.
    tie_embeddings : bool
        Whether the output layer reuses the input embedding.
    norm_epsilon : float
    initializer_range : float
        Standard deviation of the embeddings at initialisation.
    pool : str
        Pooling that serves the encoder's features best.
    relation_channels : int
        Width of the relation decoder that stage 2 trains; 0 for none, as in published checkpoints.
    relation_members : int
        Networks of that decoder.
    marker_step_bias : bool
        Whether the layers learn how far to forget what was before a protein of a stream, by a bias
        on the step size at the markers around it; False in published checkpoints.
    classifier_dropout : float
        Dropout before the output layer of the classification models.

    Raises
    ------
    ConfigError
        If an option is out of range, or asks for a part of the published code's configuration
        space that no published checkpoint uses (attention layers, MLPs, Mamba-2).

    Examples
    --------
    >>> Architecture(d_model=160, n_layer=5).d_inner
    320
    """

    d_model: int = 1536
    n_layer: int = 48
    d_intermediate: int = 0
    vocab_size: int = 128
    pad_vocab_size_multiple: int = 128
    ssm_cfg: dict | None = None
    attn_layer_idx: list | None = None
    attn_cfg: dict | None = None
    layer: str = "Mamba1"
    rms_norm: bool = True
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = True
    fused_add_norm: bool = True
    initializer_cfg: dict | None = None
    initializer_range: float = 0.02
    bidirectional: bool = True
    bidirectional_strategy: str | None = "add"
    bidirectional_weight_tie: bool = True
    tie_embeddings: bool = False
    pad_token_id: int | None = PAD
    eos_token_id: int | None = EOS
    pool: str = "mean"
    classifier_dropout: float = 0.0
    relation_channels: int = 0
    relation_members: int = 4
    marker_step_bias: bool = False

    def __post_init__(self) -> None:
        check_values(self)
        self.ssm_cfg = dict(self.ssm_cfg or {})
        multiple = self.pad_vocab_size_multiple
        self.vocab_size = math.ceil(self.vocab_size / multiple) * multiple
        check_token_ids(self, {})
        # The published config has pad_token_id -100 (a loss label, no token).
        if self.pad_token_id is None or self.pad_token_id < 0:
            self.pad_token_id = PAD
        self._check()

    def _check(self) -> None:
        unsupported = {
            "d_intermediate > 0 (MLP layers)": self.d_intermediate > 0,
            "attn_layer_idx (attention layers)": bool(self.attn_layer_idx),
            "rms_norm=False": not self.rms_norm,
            "a layer type other than Mamba1": self._ssm("layer", "Mamba1") != "Mamba1",
        }
        if asked := [what for what, is_asked in unsupported.items() if is_asked]:
            raise ConfigError(
                f"not supported: {', '.join(asked)}; no published LC-PLM checkpoint uses it"
            )
        check_pool(self.pool)
        if self.bidirectional_strategy not in ("add", "ew_multiply", None):
            raise ConfigError(
                "bidirectional_strategy must be 'add' or 'ew_multiply', "
                f"not {self.bidirectional_strategy!r}"
            )

    def _ssm(self, key: str, default: Any) -> Any:
        return (self.ssm_cfg or {}).get(key, default)

    @property
    def d_inner(self) -> int:
        """Channels of the state-space layer, E."""
        return self._ssm("expand", 2) * self.d_model

    @property
    def expand(self) -> int:
        """Ratio of `d_inner` to `d_model`."""
        return self._ssm("expand", 2)

    @property
    def d_state(self) -> int:
        """States per channel, N."""
        return self._ssm("d_state", 16)

    @property
    def d_conv(self) -> int:
        """Taps of the short convolution, K."""
        return self._ssm("d_conv", 4)

    @property
    def dt_rank(self) -> int:
        """Rank of the step-size projection."""
        rank = self._ssm("dt_rank", "auto")
        return math.ceil(self.d_model / 16) if rank == "auto" else rank

    @property
    def projection_bias(self) -> bool:
        """Whether in_proj and out_proj have biases."""
        return self._ssm("bias", False)

    @property
    def conv_bias(self) -> bool:
        """Whether the convolution has a bias."""
        return self._ssm("conv_bias", True)

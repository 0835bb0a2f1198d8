"""Whether a saved head belongs to the encoder that it is asked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcplm_graph.errors import ConfigError

if TYPE_CHECKING:
    from lcplm_graph.heads.function_model import FunctionModel
    from lcplm_graph.heads.link_model import LinkModel
    from lcplm_graph.models.encoders import Encoder


def check_encoder(model: LinkModel | FunctionModel, encoder: Encoder, folder: str) -> None:
    """Refuse a head from `folder` that was trained on features of another encoder."""
    if model.facts.get("fingerprint") != encoder.fingerprint():
        raise ConfigError(
            f"{folder} was trained on features of {model.facts.get('encoder')!r} in "
            f"{model.facts.get('precision', 'float32')}, not of {encoder.name!r} in "
            f"{encoder.precision}; give those as --encoder and --precision"
        )

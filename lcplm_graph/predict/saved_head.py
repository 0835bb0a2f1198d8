"""What goes with a saved head: its encoder, and no option of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lcplm_graph.errors import ConfigError
from lcplm_graph.options import options_given

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


def refuse_training_options(options: Any, names: Sequence[str]) -> None:
    """Refuse options of training, where given, beside ``--head``; names as in the dataclass."""
    if options.head is not None and (given := options_given(options, names)):
        raise ConfigError(
            f"the saved head is trained already: leave out {', '.join(given)}, or --head"
        )

"""How an encoder is named in tables, and what it is compared with."""

from __future__ import annotations

from typing import Any

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoders import Encoder, LcPlmEncoder
from lcplm_graph.models.masked_lm import MaskedLM, load_masked_lm
from lcplm_graph.process import default_device, initialised


def shown_name(encoder: Encoder) -> str:
    """Return the name for tables, which says so if the encoder never learned anything."""
    return f"{encoder.name} (untrained)" if encoder.name.startswith("random") else encoder.name


#: Encoders without training that every table has, by their names there.
PLAIN = {"composition": "composition", "composition + dipeptides": "dipeptide"}


def plain_name(encoder: Encoder, pool: str | None) -> str | None:
    """Return which of `PLAIN` an encoder with this pooling is, whose row tables have anyway.

    Examples
    --------
    >>> from lcplm_graph.models.encoders import load_encoder
    >>> plain_name(load_encoder("dipeptide"), None)
    'composition + dipeptides'
    >>> plain_name(load_encoder("dipeptide"), "max") is None
    True
    """
    if not isinstance(encoder, CompositionEncoder) or encoder.chosen_pool(pool) != "mean":
        return None
    return next((name for name, key in PLAIN.items() if key == encoder.name), None)


def random_twin(encoder: Encoder) -> Encoder | None:
    """Make an encoder of the same shape with random weights; None where that makes no sense.

    What a trained encoder gains over it is what training gave.
    """
    if not isinstance(encoder, LcPlmEncoder) or encoder.name.startswith("random"):
        return None
    with initialised(0):
        make: Any = type(encoder.model)
        model = make(encoder.model.config)
    return LcPlmEncoder(model.eval(), "random-init").eval().to(encoder.device)


def masked_lms(name: str, *, untrained: bool = False) -> dict[str, MaskedLM]:
    """Load a masked language model, and with `untrained` its random twin, by their names in tables.

    Raises
    ------
    ConfigError
        If there is no twin: only an LC-PLM that was trained has one.
    """
    lm: Any = load_masked_lm(name, default_device())
    models: dict[str, MaskedLM] = {shown_name(lm): lm}
    if untrained:
        twin: Any = random_twin(lm)
        if twin is None:
            raise ConfigError(f"only a trained LC-PLM has an untrained twin; {name} is not one")
        models[f"{lm.name} untrained"] = twin
    return models

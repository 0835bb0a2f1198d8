"""Configuration of LC-PLM as Hugging Face has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedConfig

from lcplm_graph.errors import CheckpointError, ConfigError, UnknownNameError
from lcplm_graph.models.architecture import PRESETS, Architecture
from lcplm_graph.models.checkpoints import first_line, read_json
from lcplm_graph.models.config_checks import (
    check_keys,
    check_standard,
    check_token_ids,
    named_dtype,
)
from lcplm_graph.models.names import CONFIG, PROMISE


class LcPlmConfig(Architecture, PreTrainedConfig):
    """Configuration of a BiMamba-S encoder.

    Parameters
    ----------
    d_model, n_layer, ...
        See `lcplm_graph.models.architecture.Architecture`.
    **kwargs
        Options of every Hugging Face configuration, such as ``num_labels``.

    Raises
    ------
    ConfigError
        As `Architecture`, and if an option of Hugging Face is not one that this model can obey.

    Examples
    --------
    >>> config = LcPlmConfig.from_preset("8m", share_projections=False)
    >>> config.d_model, config.d_inner, config.bidirectional_weight_tie
    (384, 768, False)
    """

    model_type = "lc_plm"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "share_projections": "bidirectional_weight_tie",
        "tie_word_embeddings": "tie_embeddings",
    }

    def __post_init__(self, **kwargs: Any) -> None:
        for name, own in self.attribute_map.items():
            if name in kwargs:
                setattr(self, own, kwargs.pop(name))
        # Of the weights beside it, not of another model of this configuration.
        kwargs.pop(PROMISE, None)
        dtypes = [self.dtype, kwargs.pop("torch_dtype", None)]
        named = [named_dtype(dtype) for dtype in dtypes if dtype is not None]
        self.dtype = named[0] if named else None
        check_keys(type(self), kwargs)
        Architecture.__post_init__(self)
        check_standard(self)
        check_token_ids(self, kwargs)
        try:
            PreTrainedConfig.__post_init__(self, **kwargs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"Hugging Face refuses this configuration: {error}") from error

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoConfig") -> None:
        """Do nothing: the code of this class is this package, and is not copied into folders."""

    @classmethod
    def from_preset(cls, preset: str, **options: Any) -> LcPlmConfig:
        """Return the configuration of a named size, with `options` on top."""
        if preset not in PRESETS:
            raise UnknownNameError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
        options = {cls.attribute_map.get(k, k): v for k, v in options.items()}
        return cls(**{**PRESETS[preset], **options})

    def to_dict(self) -> dict[str, Any]:
        """Return all options; a vocabulary that was resized is kept as it is."""
        stored = super().to_dict()
        if self.vocab_size % self.pad_vocab_size_multiple:
            stored["pad_vocab_size_multiple"] = 1
        # The folder or hub id it was loaded from: of no use elsewhere.
        stored.pop("_name_or_path", None)
        return stored


def read_config(folder: Path, **changes: Any) -> tuple[LcPlmConfig, dict[str, Any]]:
    """Read ``config.json``, which must be that of an LC-PLM.

    Parameters
    ----------
    folder : Path
    **changes
        Options in place of the stored ones.

    Returns
    -------
    config : LcPlmConfig
    unused : dict
        Changes that are not options of a configuration.

    Raises
    ------
    CheckpointError
        If it cannot be read, or a stored option is out of range.
    """
    path = folder / CONFIG
    stored = read_json(path)
    if stored.get("model_type") != LcPlmConfig.model_type:
        raise CheckpointError(
            f"{path}: model_type is {stored.get('model_type')!r}, not {LcPlmConfig.model_type!r}; "
            "for ESM-2 checkpoints use load_encoder('esm2:...')"
        )
    try:
        config = LcPlmConfig.from_dict(dict(stored))
    except Exception as error:  # Hugging Face's own checks raise many classes
        raise CheckpointError(f"{path}: {first_line(error)}") from error
    known = {k: v for k, v in changes.items() if hasattr(config, k)}
    if "num_labels" in known:
        stored = {k: v for k, v in stored.items() if k not in ("id2label", "label2id")}
    # Given to the constructor, so that they are checked as stored ones are.
    config = LcPlmConfig.from_dict({**stored, **known})
    return config, {k: v for k, v in changes.items() if k not in known}

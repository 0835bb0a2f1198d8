"""Types and bounds of a configuration, checked before anything is built from it."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

from lcplm_graph.errors import ConfigError
from lcplm_graph.io import warn_once
from lcplm_graph.models.names import PROBLEMS

_WIDTH, _DEPTH, _ROWS = 1 << 20, 1 << 14, 1 << 24
_MOST_LABELS = 1 << 20


class Bounds(NamedTuple):
    """A number's kind and range, both ends included."""

    kind: type
    low: float
    high: float


_NUMBERS = {
    "d_model": Bounds(int, 1, _WIDTH),
    "n_layer": Bounds(int, 1, _DEPTH),
    "d_intermediate": Bounds(int, 0, _WIDTH),
    "vocab_size": Bounds(int, 1, _ROWS),
    "pad_vocab_size_multiple": Bounds(int, 1, _ROWS),
    "norm_epsilon": Bounds(float, 0, 1),
    "initializer_range": Bounds(float, 0, 1e3),
    "classifier_dropout": Bounds(float, 0, 1),
    "relation_channels": Bounds(int, 0, _WIDTH),
    "relation_members": Bounds(int, 1, 1 << 10),
}
_SWITCHES = (
    "rms_norm", "residual_in_fp32", "fused_add_norm", "bidirectional",
    "bidirectional_weight_tie", "tie_embeddings", "marker_step_bias",
)  # fmt: skip
_SSM_NUMBERS = {
    "d_state": Bounds(int, 1, 1 << 12),
    "d_conv": Bounds(int, 1, 1 << 12),
    "expand": Bounds(int, 1, 1 << 10),
    "dt_rank": Bounds(int, 1, _WIDTH),
}
_SSM_SWITCHES = ("bias", "conv_bias")
_SSM_KEYS = (*_SSM_NUMBERS, *_SSM_SWITCHES, "layer")
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "ssm_cfg": dict,
    "attn_layer_idx": list,
    "attn_cfg": dict,
    "initializer_cfg": dict,
    "bidirectional_strategy": str,
}
_STANDARD_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "id2label": dict,
    "label2id": dict,
    "problem_type": str,
    "architectures": list,
    "output_hidden_states": bool,
    "return_dict": bool,
    "transformers_version": str,
}
"""Fields of every configuration of Hugging Face."""
_OF_HUGGING_FACE: dict[str, type | tuple[type, ...]] = {
    "output_attentions": bool,
    "use_cache": bool,
    "use_bfloat16": bool,
    "torchscript": bool,
    "is_decoder": bool,
    "add_cross_attention": bool,
    "gradient_checkpointing": bool,
    "name_or_path": (str, os.PathLike),
    "_name_or_path": (str, os.PathLike),
    "tokenizer_class": str,
    "prefix": str,
    "finetuning_task": str,
    "auto_map": dict,
    "task_specific_params": dict,
    "pruned_heads": dict,
}
"""What those configurations may hold beside their fields."""
_SPELLED_ELSEWHERE = {
    **dict.fromkeys(
        ("norm_eps", "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "eps"), "norm_epsilon"
    ),
    **dict.fromkeys(("num_layers", "n_layers", "depth"), "n_layer"),
    **dict.fromkeys(("n_embd", "embed_dim", "model_dim", "dim"), "d_model"),
    **dict.fromkeys(("hidden_dropout_prob", "dropout"), "classifier_dropout"),
    **dict.fromkeys(("state_size", "d_state"), 'ssm_cfg["d_state"]'),
    **dict.fromkeys(("conv_kernel", "d_conv"), 'ssm_cfg["d_conv"]'),
    **dict.fromkeys(("time_step_rank", "dt_rank"), 'ssm_cfg["dt_rank"]'),
    **dict.fromkeys(("use_conv_bias", "conv_bias"), 'ssm_cfg["conv_bias"]'),
    **dict.fromkeys(("use_bias", "bias"), 'ssm_cfg["bias"]'),
    "expand": 'ssm_cfg["expand"]',
}
"""How other models call what is an option here."""
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}
_PUBLISHED_PAD = -100


def named_dtype(dtype: Any) -> torch.dtype:
    """Return the dtype of weights that is meant.

    Raises
    ------
    ConfigError
        If this package cannot hold weights in it.
    """
    found = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or found not in _DTYPES.values():
        raise ConfigError(
            f"dtype must be 'auto' or a floating-point dtype ({', '.join(_DTYPES)}), "
            f"not {dtype!r:.50}"
        )
    return found


def check_keys(config: type, kwargs: Mapping[str, Any]) -> None:
    """Check what is given beside the fields.

    Options that would replace a part of the class, misspelt ones and those that this model cannot
    obey are refused; what nothing here knows is kept, as Hugging Face does, with a warning.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    fields = set(config.__dataclass_fields__) | set(config.attribute_map)  # type: ignore[attr-defined]
    unknown = []
    for key in kwargs:
        found = getattr(config, key, None)
        if callable(found) or (isinstance(found, property) and found.fset is None):
            raise ConfigError(f"{key} is not an option of an LC-PLM configuration")
        if hasattr(config, key) or key.startswith("_") or _is_standard(key):
            continue
        _refuse_misspelt(key, fields)
        unknown.append(key)
    if unknown:
        warn_once(
            f"a configuration holds {', '.join(sorted(unknown))}, which LC-PLM does not know: "
            "kept, but without effect"
        )
    if kwargs.get("quantization_config") is not None:
        raise ConfigError(
            "quantization_config: weights that are stored quantised are not read; load the "
            "floating-point weights and give quantization_config to from_pretrained"
        )
    for key in ("attn_implementation", "_attn_implementation"):
        if kwargs.get(key) not in (None, "eager"):
            raise ConfigError(f"{key} must be 'eager' or null, not {kwargs[key]!r:.50}")
    labels = kwargs.get("num_labels")
    if labels is not None:
        check_number("num_labels", labels, Bounds(int, 0, _MOST_LABELS))
    for key, kind in _OF_HUGGING_FACE.items():
        _check_optional(key, kwargs.get(key), kind)


def _is_standard(key: str) -> bool:
    from transformers import GenerationConfig

    return (
        key in _OF_HUGGING_FACE
        or key.endswith("_token_id")
        or key in ("attn_implementation", "experts_implementation", "quantization_config")
        or key in GenerationConfig._get_default_generation_params()
    )


def _refuse_misspelt(key: str, fields: Iterable[str]) -> None:
    meant = _SPELLED_ELSEWHERE.get(key)
    if meant is None:
        near = difflib.get_close_matches(key, sorted(fields), 1, cutoff=0.85)
        meant = near[0] if near else None
    if meant is not None:
        raise ConfigError(
            f"{key} is not an option of an LC-PLM configuration; it is called {meant}"
        )


def check_token_ids(config: Any, kwargs: Mapping[str, Any]) -> None:
    """Check that every special token is one of the vocabulary.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    given = {key: value for key, value in kwargs.items() if key.endswith("_token_id")}
    given |= {"pad_token_id": config.pad_token_id, "eos_token_id": config.eos_token_id}
    if given["pad_token_id"] == _PUBLISHED_PAD:
        del given["pad_token_id"]
    for key, value in given.items():
        is_list = key == "eos_token_id" and isinstance(value, list)
        for number in value if is_list else [] if value is None else [value]:
            check_number(key, number, Bounds(int, 0, config.vocab_size - 1))


def check_standard(config: Any) -> None:
    """Check types and ranges of the fields that every configuration of Hugging Face has.

    Raises
    ------
    ConfigError
        Naming the first field that does not fit.
    """
    check_number("chunk_size_feed_forward", config.chunk_size_feed_forward, Bounds(int, 0, _WIDTH))
    _check_type("is_encoder_decoder", config.is_encoder_decoder, bool, "true or false")
    for name, kind in _STANDARD_OPTIONAL.items():
        _check_optional(name, getattr(config, name), kind)
    _check_labels(config)


def check_values(config: Any) -> None:
    """Check types and ranges of the architecture's fields.

    Raises
    ------
    ConfigError
        Naming the first field that does not fit.
    """
    for name, bounds in _NUMBERS.items():
        check_number(name, getattr(config, name), bounds)
    for name in _SWITCHES:
        _check_type(name, getattr(config, name), bool, "true or false")
    for name, kind in _OPTIONAL.items():
        _check_optional(name, getattr(config, name), kind)
    for name in ("layer", "pool"):
        _check_type(name, getattr(config, name), str, "a string")
    _check_ssm(config.ssm_cfg or {})


def _check_ssm(options: Mapping[str, Any]) -> None:
    if unknown := [key for key in options if key not in _SSM_KEYS]:
        raise ConfigError(f"unknown ssm_cfg keys {unknown}; known: {', '.join(sorted(_SSM_KEYS))}")
    for name, bounds in _SSM_NUMBERS.items():
        if name in options and not (name == "dt_rank" and options[name] == "auto"):
            check_number(name, options[name], bounds)
    for name in _SSM_SWITCHES:
        if name in options:
            _check_type(name, options[name], bool, "true or false")


def _check_labels(config: Any) -> None:
    if config.problem_type not in (None, *PROBLEMS):
        known = ", ".join(PROBLEMS)
        raise ConfigError(f"problem_type must be one of {known}, not {config.problem_type!r:.50}")
    for name in config.architectures or ():
        _check_type("architectures", name, str, "a list of strings")
    for number, label in (config.id2label or {}).items():
        if not str(number).isascii() or not str(number).isdigit() or not isinstance(label, str):
            raise ConfigError(
                f"id2label must map numbers to names, not {number!r:.50} to {label!r:.50}"
            )
    for label, number in (config.label2id or {}).items():
        if not isinstance(label, str) or type(number) is not int:
            raise ConfigError(
                f"label2id must map names to numbers, not {label!r:.50} to {number!r:.50}"
            )


def _check_optional(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    wrong_bool = isinstance(value, bool) and kind is not bool
    if value is not None and (wrong_bool or not isinstance(value, kind)):
        raise ConfigError(f"{name} must be {_spelled(kind)} or null, not {value!r:.50}")


def check_number(name: str, value: Any, bounds: Bounds) -> None:
    """Check a number's type and range.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    accepted = (int, float) if bounds.kind is float else int
    if isinstance(value, bool) or not isinstance(value, accepted):
        what = "a number" if bounds.kind is float else "a whole number"
        raise ConfigError(f"{name} must be {what}, not {value!r:.50}")
    if not math.isfinite(value) or not bounds.low <= value <= bounds.high:
        if bounds.low == 1 and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")
        raise ConfigError(
            f"{name} must be between {bounds.low:,} and {bounds.high:,}, not {value!r:.50}"
        )


def _check_type(name: str, value: Any, kind: type, spelled: str) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be {spelled}, not {value!r:.50}")


def _spelled(kind: type | tuple[type, ...]) -> str:
    names = {
        dict: "a mapping", list: "a list", str: "a string", int: "a whole number",
        bool: "true or false", os.PathLike: "a path",
    }  # fmt: skip
    kinds: tuple[type, ...] = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(names[one] for one in kinds)

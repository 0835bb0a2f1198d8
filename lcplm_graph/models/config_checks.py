"""Types and bounds of a configuration, checked before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lcplm_graph.errors import ConfigError

_WIDTH, _DEPTH, _ROWS = 1 << 20, 1 << 14, 1 << 24
_MOST_LABELS = 1 << 20


class _Bounds(NamedTuple):
    """A number's kind and range, both ends included."""

    kind: type
    low: float
    high: float


_NUMBERS = {
    "d_model": _Bounds(int, 1, _WIDTH),
    "n_layer": _Bounds(int, 1, _DEPTH),
    "d_intermediate": _Bounds(int, 0, _WIDTH),
    "vocab_size": _Bounds(int, 1, _ROWS),
    "pad_vocab_size_multiple": _Bounds(int, 1, _ROWS),
    "norm_epsilon": _Bounds(float, 0, 1),
    "initializer_range": _Bounds(float, 0, 1e3),
    "classifier_dropout": _Bounds(float, 0, 1),
}
_SWITCHES = (
    "rms_norm", "residual_in_fp32", "fused_add_norm", "bidirectional",
    "bidirectional_weight_tie", "tie_embeddings",
    "marker_step_bias",
)  # fmt: skip
_SSM_NUMBERS = {
    "d_state": _Bounds(int, 1, 1 << 12),
    "d_conv": _Bounds(int, 1, 1 << 12),
    "expand": _Bounds(int, 1, 1 << 10),
    "dt_rank": _Bounds(int, 1, _WIDTH),
}
_SSM_SWITCHES = ("bias", "conv_bias")
_SSM_KEYS = (*_SSM_NUMBERS, *_SSM_SWITCHES, "layer")
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "ssm_cfg": dict,
    "attn_layer_idx": list,
    "attn_cfg": dict,
    "initializer_cfg": dict,
    "bidirectional_strategy": str,
    "pad_token_id": int,
    "eos_token_id": (int, list),
    "id2label": dict,
    "label2id": dict,
    "problem_type": str,
    "architectures": list,
    "output_hidden_states": bool,
    "return_dict": bool,
}


def check_keys(config: type, kwargs: Mapping[str, Any]) -> None:
    """Refuse options that would replace a part of the class, and numbers of labels beyond reason.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    for key in kwargs:
        found = getattr(config, key, None)
        if callable(found) or (isinstance(found, property) and found.fset is None):
            raise ConfigError(f"{key} is not an option of an LC-PLM configuration")
    labels = kwargs.get("num_labels")
    if labels is not None:
        _check_number("num_labels", labels, _Bounds(int, 0, _MOST_LABELS))


def check_values(config: Any) -> None:
    """Check types and ranges of all fields.

    Raises
    ------
    ConfigError
        Naming the first field that does not fit.
    """
    for name, bounds in _NUMBERS.items():
        _check_number(name, getattr(config, name), bounds)
    for name in _SWITCHES:
        _check_type(name, getattr(config, name), bool, "true or false")
    for name, kind in _OPTIONAL.items():
        value = getattr(config, name)
        wrong_bool = isinstance(value, bool) and kind is not bool
        if value is not None and (wrong_bool or not isinstance(value, kind)):
            raise ConfigError(f"{name} must be {_spelled(kind)} or null, not {value!r:.50}")
    for name in ("layer", "pool"):
        _check_type(name, getattr(config, name), str, "a string")
    _check_ssm(config.ssm_cfg or {})


def _check_ssm(options: Mapping[str, Any]) -> None:
    if unknown := [key for key in options if key not in _SSM_KEYS]:
        raise ConfigError(f"unknown ssm_cfg keys {unknown}; known: {', '.join(sorted(_SSM_KEYS))}")
    for name, bounds in _SSM_NUMBERS.items():
        if name in options and not (name == "dt_rank" and options[name] == "auto"):
            _check_number(name, options[name], bounds)
    for name in _SSM_SWITCHES:
        if name in options:
            _check_type(name, options[name], bool, "true or false")


def _check_number(name: str, value: Any, bounds: _Bounds) -> None:
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
        bool: "true or false",
    }  # fmt: skip
    kinds: tuple[type, ...] = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(names[one] for one in kinds)

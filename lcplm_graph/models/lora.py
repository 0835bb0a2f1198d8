"""Low-rank adapters (LoRA, Hu et al. 2021) by peft: the modules of a layer that they go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcplm_graph.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from peft import LoraConfig

LORA_TARGETS: dict[str, list[str] | str] = {
    "projections": ["in_proj", "out_proj"],
    "state": ["x_proj", "dt_proj"],
    "all": ["in_proj", "out_proj", "x_proj", "dt_proj"],
    "attention": ["query", "key", "value"],
    "linear": "all-linear",
}
"""Presets of target modules.  Of an LC-PLM: the wide projections, which both directions share; what
makes step sizes, inputs and outputs of the state, in each direction; all of them.  Of an ESM-2: the
projections of attention.  Of any model: every linear map."""


def lora_config(
    targets: str = "projections",
    *,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    task: str | None = None,
    **options: Any,
) -> LoraConfig:
    """Return a peft configuration for any of the models.

    Parameters
    ----------
    targets : str
        One of `LORA_TARGETS`.
    rank : int
    alpha : float, optional
        The update is scaled by ``alpha / rank``; default: twice the rank.
    dropout : float
        On the input of the adapters.
    task : str, optional
        peft's task type: ``"SEQ_CLS"`` and ``"TOKEN_CLS"`` also train and save the new head.
    **options
        Further options of `peft.LoraConfig`.

    Returns
    -------
    peft.LoraConfig

    Raises
    ------
    UnknownNameError
        If there is no such preset.
    ConfigError
        If peft is not installed.

    Examples
    --------
    >>> sorted(lora_config("state", rank=4).target_modules)
    ['dt_proj', 'x_proj']
    """
    if targets not in LORA_TARGETS:
        raise UnknownNameError(
            f"unknown LoRA targets {targets!r}; known: {', '.join(LORA_TARGETS)}"
        )
    return import_peft().LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=LORA_TARGETS[targets],
        task_type=task,
        **options,
    )


def import_peft() -> Any:
    """Import Hugging Face's peft.

    Raises
    ------
    ConfigError
        If it is not installed; the message says how to.
    """
    try:
        import peft
    except ImportError as error:
        raise ConfigError(
            "LoRA needs the package peft; pip install 'lcplm-graph[finetune]'"
        ) from error
    return peft

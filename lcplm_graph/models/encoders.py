"""Learned encoders behind the common interface, and `load_encoder` for all of them by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError, UnknownNameError
from lcplm_graph.models.checkpoints import (
    HUB_OPTIONS,
    dtype_named,
    first_line,
    is_adapter,
    read_json,
    resolve_checkpoint,
)
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoder import MAX_TOKENS, Encoder, length_sorted_batches
from lcplm_graph.models.esm2 import Esm2Encoder
from lcplm_graph.models.folder import ModelFolder, Record, model_folder
from lcplm_graph.models.names import CONFIG
from lcplm_graph.models.network import Network, read_network
from lcplm_graph.models.shipped import check_spelling, shipped_encoders, shipped_folder
from lcplm_graph.process import checked_device, initialised, on_cpu
from lcplm_graph.registry import Registry
from lcplm_graph.tokens.packing import PackedTokens

if TYPE_CHECKING:
    from lcplm_graph.models.pretrained import LcPlmPreTrainedModel
    from lcplm_graph.models.relation import RelationDecoder


class LcPlmEncoder(Encoder):
    """LC-PLM: linear in length, no limit, exact for any batch.

    Parameters
    ----------
    model : LcPlmPreTrainedModel or Network
        Any of the models; only masked LMs give logits.
    name : str
    seen_edges : ndarray of uint64, optional
        Hashes of pairs that it saw beside those that the model's own record has.
    window : int
        Without gradients, batches of more tokens are encoded in windows of this many tokens.
    """

    def __init__(
        self,
        model: LcPlmPreTrainedModel | Network,
        name: str = "lcplm",
        *,
        seen_edges: np.ndarray | None = None,
        window: int = 2 * MAX_TOKENS,
    ) -> None:
        super().__init__()
        self._modules["model"], self.name, self.window = model, name, window
        self.dim = model.config.d_model
        self.pool = model.config.pool
        if seen_edges is not None:
            self.record = self.record.having_seen(seen_edges)

    @property
    def model(self) -> LcPlmPreTrainedModel:
        """The model in Hugging Face's shape, with the parameters that encode."""
        if isinstance(self._held, Network):
            from lcplm_graph.models.modeling import of_network

            model = of_network(self._held)
            self._modules["model"], model.name_or_path = model, self.name
        return self._held

    @property
    def _held(self) -> Any:
        """What encodes: a plain network until somebody asks for the model."""
        return self._modules["model"]

    @property
    def record(self) -> Record:
        """What the model was trained on."""
        return getattr(self._held, "record", Record())

    @record.setter
    def record(self, value: Record) -> None:
        self._held.record = value

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return the states after the final norm, shape (T, dim)."""
        return self._run(self._held.base_model, packed).last_hidden_state

    def logits(self, packed: PackedTokens) -> Tensor:
        """Return the masked-LM logits, shape (T, vocab_size).

        Raises
        ------
        ConfigError
            If the model has another head, or none.
        """
        if self._held.get_output_embeddings() is None:
            raise ConfigError(
                f"{self.name} has no masked-LM head: its weights are those of a "
                f"{type(self._held).__name__}"
            )
        return self._run(self._held, packed).logits

    def _run(self, part: nn.Module, packed: PackedTokens) -> Any:
        # A model may be configured to return tuples; a network always names what it returns.
        named = {} if isinstance(self._held, Network) else {"return_dict": True}
        return part(packed.input_ids, cu_seqlens=packed.cu_seqlens, window=self.window, **named)

    @property
    def relation(self) -> RelationDecoder | None:
        """The decoder of pairs, if stage 2 gave the model one."""
        return getattr(self._held, "relation", None)

    def _identity(self) -> str:
        config = self._held.config
        keys = ("ssm_cfg", "bidirectional", "bidirectional_strategy", "norm_epsilon")
        identity = {k: getattr(config, k) for k in keys}
        if self.precision == "bfloat16":
            # Earlier versions had float32 between the kernels: other features.
            identity["activations"] = self.precision
        return json.dumps(identity, sort_keys=True)


_HERE = "lcplm_graph.models.encoders"
ENCODERS: Registry[Callable[..., Encoder]] = Registry(
    "encoder",
    "lcplm_graph.encoders",
    composition=f"{_HERE}:_made_encoder",
    dipeptide=f"{_HERE}:_made_encoder",
    random=f"{_HERE}:_made_encoder",
    esm2="lcplm_graph.models.esm2:esm2_encoder",
    esmc="lcplm_graph.models.esmc:esmc_encoder",
    **dict.fromkeys(shipped_encoders(), f"{_HERE}:_shipped_encoder"),
)
"""Encoders by the first word of their name; each is called with the whole name."""
_PREFIXES = ("random", "esm2", "esmc")


def load_encoder(
    name: str | Path,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    **options: Any,
) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name : str or path-like
        ``"composition"`` or ``"dipeptide"``; ``"lcplm-2m"`` and other shipped names;
        ``"random:8m"`` (an untrained encoder of a preset's shape, the same for every call;
        ``"random:8m:7"`` for seed 7); ``"esm2:facebook/esm2_t6_8M_UR50D"`` or ``"esm2:path"``;
        ``"esmc:biohub/ESMC-300M-hf"`` likewise;
        ``NAME`` or ``NAME:...`` of an installed package that has the entry point `NAME` in the
        group ``lcplm_graph.encoders``; a folder of a checkpoint, of a peft adapter, or of a
        training or fine-tuning run; a hub id such as ``"amazon-science/LC-PLM"``.
    device : str or torch.device, optional
        Default: the CPU.
    dtype : {"float32", "bfloat16", "auto"} or torch.dtype, optional
        Of the weights, default float32; ``"auto"`` is what the checkpoint was stored as. States
        and embeddings are float32 in any case.
    **options
        For hub ids, and encoders of other packages: ``revision``, ``local_files_only``,
        ``cache_dir``, ``token``, ``force_download`` and ``subfolder``.

    Returns
    -------
    Encoder
        In evaluation mode.

    Raises
    ------
    UnknownNameError
        If a shipped name or preset is not known.
    ConfigError
        If the name is none, or the device or an option is not usable.
    CheckpointError
        If a checkpoint cannot be read.
    PluginError
        If another package's encoder fails.

    Examples
    --------
    >>> load_encoder("composition").embed(["MKTAYIAK", "GGGG"]).shape
    torch.Size([2, 20])
    """
    if not isinstance(name, str | os.PathLike):
        raise ConfigError(
            f"an encoder is loaded by its name or folder, not by {type(name).__name__} {name!r:.60}"
        )
    text = str(name)
    family = ModelFolder(model_folder(name)).family()
    if unknown := set(options) - set(HUB_OPTIONS):
        raise ConfigError(f"load_encoder does not know {', '.join(sorted(unknown))}")
    wanted = dtype_named(dtype)
    with on_cpu():
        if family is not None and family != "lcplm":
            encoder = _tuned_encoder(family, model_folder(name), text, wanted)
        else:
            encoder = _named_encoder(name, text, wanted, options)
    return _on_device(encoder.eval(), device)


def _named_encoder(
    source: str | Path, name: str, dtype: str | torch.dtype, options: dict[str, Any]
) -> Encoder:
    """Load an encoder of a name that is registered or ships, or a folder of LC-PLM."""
    key, colon, _ = name.partition(":")
    if key in ENCODERS and bool(colon) == (key in _PREFIXES) and ENCODERS.is_ours(key):
        return ENCODERS.make(key, name, dtype, base=Encoder, **options)
    if key in ENCODERS and not ENCODERS.is_ours(key):
        # Other packages' encoders compute in float32 unless they know better.
        given = {} if dtype in ("auto", torch.float32) else {"dtype": dtype}
        return ENCODERS.make(key, name, base=Encoder, **given, **options)
    if name.startswith("lcplm-") and not Path(name).exists():
        return _shipped_encoder(name, dtype, **options)
    check_spelling(name)
    return _lcplm_encoder(source, name, dtype, options)


def as_encoder(encoder: Encoder | str | Path) -> Encoder:
    """Return an encoder as it is, and load one that is named.

    Raises
    ------
    ConfigError
        If it is neither.

    Examples
    --------
    >>> as_encoder("composition").dim
    20
    """
    if isinstance(encoder, Encoder):
        return encoder
    if isinstance(encoder, str | Path):
        return load_encoder(encoder)
    raise ConfigError(
        "encoder is an Encoder as load_encoder gives it, or the name of one, not "
        f"{type(encoder).__name__}"
    )


def _shipped_encoder(name: str, dtype: str | torch.dtype, **options: Any) -> Encoder:
    return _lcplm_encoder(shipped_folder(name), name, dtype, options)


def _on_device(encoder: Encoder, device: str | torch.device | None) -> Encoder:
    if device is None:
        return encoder
    try:
        return encoder.to(checked_device(device))
    except RuntimeError as error:  # such as too little memory
        raise ConfigError(
            f"device {str(device)!r} cannot be used here: {first_line(error)}"
        ) from error


def _no_options(name: str, options: dict[str, Any]) -> None:
    if options:
        raise ConfigError(f"encoder {name!r} takes no options, got {', '.join(options)}")


def _tuned_encoder(family: str, folder: Path, name: str, dtype: str | torch.dtype) -> Encoder:
    """Load the encoder of a fine-tuned model other than LC-PLM."""
    source = f"{family}:{folder}" if family in _PREFIXES else family
    encoder = ENCODERS.make(family, source, dtype, base=Encoder)
    if family in _PREFIXES:
        encoder.name = name
    return encoder


def _lcplm_encoder(
    source: str | Path, name: str, dtype: str | torch.dtype, options: dict[str, Any]
) -> LcPlmEncoder:
    folder = model_folder(source)
    if not is_adapter(folder):
        folder = resolve_checkpoint(source if folder == Path(source) else folder, **options)
        network = read_network(folder) if dtype == torch.float32 else None
        if network is not None:
            return LcPlmEncoder(network, name)
    from lcplm_graph.models.modeling import LcPlmForMaskedLM, model_class

    cls = LcPlmForMaskedLM if is_adapter(folder) else model_class(read_json(folder / CONFIG))
    model = cls.from_pretrained(folder, dtype=dtype)
    model.name_or_path = name
    return LcPlmEncoder(model, name)


def _made_encoder(name: str, dtype: str | torch.dtype, **options: Any) -> Encoder:
    """Return an encoder that is read from no files."""
    _no_options(name, options)
    if not name.startswith("random:"):
        if dtype not in ("auto", torch.float32):
            raise ConfigError(f"encoder {name!r} has no weights, so dtype {dtype} means nothing")
        return CompositionEncoder(dipeptides=name == "dipeptide")
    from lcplm_graph.models.config import LcPlmConfig
    from lcplm_graph.models.modeling import LcPlmForMaskedLM

    preset, seed = _preset_and_seed(name)
    config = LcPlmConfig.from_preset(preset)
    with initialised(seed):
        model = LcPlmForMaskedLM(config)
    wanted = dtype if isinstance(dtype, torch.dtype) else torch.float32
    return LcPlmEncoder(nn.Module.to(model, wanted), name)


def _preset_and_seed(name: str) -> tuple[str, int]:
    preset, *seed = name.split(":")[1:]
    is_number = not seed or (seed[0].isascii() and seed[0].isdigit() and len(seed[0]) < 19)
    if len(seed) > 1 or not is_number:
        raise UnknownNameError(
            f"no encoder {name!r}: write random:PRESET or random:PRESET:SEED, the seed a whole "
            "number of at most 18 digits"
        )
    return preset, int(seed[0]) if seed else 0


__all__ = [
    "MAX_TOKENS",
    "CompositionEncoder",
    "Encoder",
    "Esm2Encoder",
    "LcPlmEncoder",
    "length_sorted_batches",
    "load_encoder",
]

"""`LcPlmPreTrainedModel`: loading, saving and initialisation of all LC-PLM models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from lcplm_graph.errors import CheckpointError, ConfigError, LcPlmError
from lcplm_graph.models.bimamba import MambaDirection
from lcplm_graph.models.checkpoint_writer import write_checkpoint
from lcplm_graph.models.checkpoints import (
    HUB_OPTIONS,
    adapted_model,
    dtype_named,
    first_line,
    is_adapter,
    read_tensors,
    resolve_checkpoint,
    say_licence,
)
from lcplm_graph.models.config import LcPlmConfig, read_config
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.models.names import RECORD, SEEN_EDGES
from lcplm_graph.models.remote import AUTO_MAP
from lcplm_graph.models.state_dicts import fit_state, second_names, stored_once
from lcplm_graph.models.tokenizer import LcPlmTokenizer

_PASSED_ON = (
    "device_map", "max_memory", "offload_folder", "offload_buffers", "quantization_config",
    "output_loading_info", "ignore_mismatched_sizes",
)  # fmt: skip
_WITHOUT_EFFECT = (
    "trust_remote_code", "code_revision", "low_cpu_mem_usage", "weights_only", "disable_mmap",
    "_from_auto", "_from_pipeline", "_commit_hash", "tqdm_class", "_fast_init",
    "resume_download", "mirror", "offload_state_dict",
)  # fmt: skip
"""What Hugging Face's auto classes pass along, and switches for what is always so here: nothing is
unpickled, and the model is built without memory before its weights are read."""
_NOT_HERE = (
    "from_tf", "from_flax", "gguf_file", "tp_plan", "tp_size", "device_mesh", "distributed_config",
    "key_mapping", "generation_config", "use_kernels", "kernel_config", "proxies",
    "load_in_8bit", "load_in_4bit",
)  # fmt: skip
"""What Hugging Face knows and this model does not; switched off they may be given."""


class LcPlmPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by all models."""

    config: LcPlmConfig
    config_class = LcPlmConfig
    base_model_prefix = "bimamba"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Layer"]  # noqa: RUF012 (name and type are Hugging Face's)
    _record: Record = Record()
    _new_parts: tuple[str, ...] = ()
    """Beginnings of parameter names that a checkpoint need not have: they are initialised."""

    @property
    def record(self) -> Record:
        """What the model was trained on, as the folder says that it was loaded from."""
        inside: Any = self.base_model  # which may be saved without its head
        return inside._record

    @record.setter
    def record(self, value: Record) -> None:
        inside: Any = self.base_model
        inside._record = value

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, MambaDirection):
            # Mamba scales the projections into the residual stream by depth.
            scale = self.config.n_layer**-0.5
            nn.init.kaiming_uniform_(module.out_proj.weight, a=5**0.5)
            module.out_proj.weight.mul_(scale)

    def post_init(self) -> None:
        """Finish building; names that a checkpoint leaves out are made known to Hugging Face."""
        super().post_init()
        self._keys_to_ignore_on_save = set(second_names(self.state_dict().keys(), self.config))

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoModel") -> None:
        """Do nothing: the code of these classes is this package, and is not copied into folders."""

    @classmethod
    def from_pretrained(  # type: ignore[override]  # keyword arguments only
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        config: LcPlmConfig | str | os.PathLike[str] | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        state_dict: dict[str, Tensor] | None = None,
        variant: str | None = None,
        use_safetensors: bool | None = None,
        adapter_kwargs: dict[str, Any] | None = None,
        adapter_name: str = "default",
        **options: Any,
    ) -> Self:
        """Load a checkpoint from a folder or from the Hugging Face hub.

        Parameters
        ----------
        pretrained_model_name_or_path : str or path-like or None
            A folder with ``config.json`` and ``model.safetensors`` (or shards), a folder of a peft
            adapter, or a hub id; None if `config` and `state_dict` are given.
        config : LcPlmConfig or path-like, optional
            Use this configuration, or that of this folder, instead of the stored one.
        dtype, torch_dtype : torch.dtype or str, optional
            Of the parameters; default float32, ``"auto"`` is what ``config.json`` says.
        state_dict : dict, optional
            Take the weights from here.
        variant : str, optional
            As in ``model.fp16.safetensors``.
        use_safetensors : bool, optional
            False is refused: nothing is ever unpickled.
        adapter_kwargs, adapter_name
            Of a peft adapter.
        **options
            ``cache_dir``, ``force_download``, ``local_files_only``, ``token``, ``revision`` and
            ``subfolder`` for the hub; ``device_map``, ``max_memory``, ``offload_folder``,
            ``offload_buffers``, ``quantization_config``, ``output_loading_info`` and
            ``ignore_mismatched_sizes`` as in Hugging Face; options of the configuration, such as
            ``num_labels``.

        Raises
        ------
        ConfigError
            If an option is not known.
        CheckpointError
            If files are missing, damaged, or Git-LFS pointers, or parameters are missing,
            unexpected or of the wrong shape (all are listed).
        """
        if use_safetensors is False:
            raise ConfigError("use_safetensors=False is refused: pickled weights are not read")
        options, hub, passed_on = _sorted_options(options)
        adapters = dict(adapter_kwargs or {})
        adapter = adapters.pop("_adapter_model_path", None)
        source = pretrained_model_name_or_path
        if adapter is None and source is not None and is_adapter(Path(source)):
            adapter, source = source, adapted_model(Path(source))
        if source is not None:
            folder = resolve_checkpoint(source, **hub)
        elif isinstance(config, PreTrainedConfig) and state_dict is not None:
            folder = Path("the given state dict")
        else:
            raise ConfigError("give a folder or a hub id, or both a config and a state_dict")
        config, options = _config(config, folder, options)
        if options:
            raise ConfigError(f"from_pretrained does not know {', '.join(sorted(options))}")
        record = Record() if source is None else ModelFolder(folder).record()
        if adapter is not None:
            record = record.joined(ModelFolder(adapter).record())
        if source is not None:
            say_licence(source, config, own=ModelFolder(folder).training.is_file())
        tensors = read_tensors(folder, config, variant) if state_dict is None else state_dict
        with torch.device("meta"):
            wanted = cls(config).state_dict()
        state = fit_state(
            tensors, wanted, config, folder, new=cls._new_parts,
            ignore_mismatched=bool(passed_on.get("ignore_mismatched_sizes")),
        )  # fmt: skip
        loaded = cls._filled(config, state, dtype if dtype is not None else torch_dtype, passed_on)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.record = record
        model.config._name_or_path = model.name_or_path = os.fspath(source or "")
        if adapter is not None:
            model.load_adapter(adapter, adapter_name=adapter_name, adapter_kwargs=adapters)
        return loaded

    @classmethod
    def _filled(
        cls,
        config: LcPlmConfig,
        state: dict[str, Tensor],
        dtype: torch.dtype | str | None,
        passed_on: dict[str, Any],
    ) -> Any:
        """Let Hugging Face build the model of these tensors; what it refuses is said in a line."""
        try:
            with _no_progress_bar():
                return super().from_pretrained(
                    None, config=config, state_dict=state, dtype=dtype_named(dtype), **passed_on
                )
        except (
            ImportError, LookupError, TypeError, AttributeError, ValueError, AssertionError,
            RuntimeError,
        ) as error:  # fmt: skip
            # A torch without CUDA raises an assertion of its own.
            if not passed_on or isinstance(error, LcPlmError):
                raise
            raise ConfigError(
                f"Hugging Face refuses {', '.join(passed_on)}: {first_line(error)}"
            ) from error

    def save_pretrained(  # type: ignore[override]  # always safetensors
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "50GB",
        variant: str | None = None,
        token: str | bool | None = None,
        save_peft_format: bool = True,
        **hub_options: Any,
    ) -> None:
        """Write ``config.json`` and ``model.safetensors`` in the published layout.

        Parameters
        ----------
        save_directory : path-like
        is_main_process : bool
            Other processes write nothing.
        state_dict : dict, optional
            Save these tensors instead of the model's.
        push_to_hub : bool
            Upload the folder afterwards.
        max_shard_size : int or str
            Larger checkpoints are divided into shards with an index.
        variant : str, optional
            As in ``model.fp16.safetensors``.
        token, **hub_options
            For the upload: ``repo_id``, ``commit_message``, ``private``, ...
        save_peft_format : bool
            Of a model with adapters only the adapter is saved; with peft's names.

        Raises
        ------
        CheckpointError
            If the tensors are not those of this model.
        """
        if not is_main_process:
            return
        if getattr(self, "_hf_peft_config_loaded", False):
            super().save_pretrained(
                save_directory, state_dict=state_dict, max_shard_size=max_shard_size,
                variant=variant, save_peft_format=save_peft_format,
            )  # fmt: skip
            self._write_record(Path(save_directory))
        else:
            own = self.state_dict()
            if getattr(self, "hf_quantizer", None) is None:
                self._refuse_attached(own)
            # A configuration that was changed since it was checked could not be read.
            LcPlmConfig.from_dict(self.stored_config())
            if state_dict is not None:
                state_dict = fit_state(state_dict, own, self.config, "the given state dict")
            write_checkpoint(
                save_directory, stored_once(state_dict or own, self.config), self.stored_config(),
                max_shard_size=max_shard_size, variant=variant,
                beside=self._write_beside, replaced=(RECORD, SEEN_EDGES),
            )  # fmt: skip
        if push_to_hub:
            repository = hub_options.pop("repo_id", Path(save_directory).name)
            self.push_to_hub(repository, token=token, **hub_options)

    def _write_beside(self, folder: Path) -> None:
        LcPlmTokenizer().save_pretrained(folder)
        self._write_record(folder)

    def _write_record(self, folder: Path) -> None:
        if self.record:
            # What is saved may have been trained further; its past is that of what was loaded.
            ModelFolder(folder).write_record(self.record.followed_by({}))

    def _refuse_attached(self, state: dict[str, Tensor]) -> None:
        """Refuse names that a model of this configuration could not be loaded from."""
        own = next(c for c in type(self).__mro__ if not c.__name__.startswith("FSDP"))
        with torch.device("meta"):
            usual = own(self.config).state_dict()
        if others := [name for name in state if name not in usual]:
            raise CheckpointError(
                f"this model is not saved, because it could not be loaded again: {others[0]} and "
                f"{len(others) - 1} more weights are not of {own.__name__}; something is attached "
                "to it (an adapter, a parametrisation, quantised layers), so merge or remove that "
                "first, or save an adapter by peft"
            )

    def stored_config(self) -> dict[str, Any]:
        """Return what ``config.json`` shall say of this model."""
        return {
            **self.config.to_dict(),
            "architectures": [type(self).__name__.removeprefix("FSDP")],
            "auto_map": AUTO_MAP,
            "dtype": str(next(self.parameters()).dtype).removeprefix("torch."),
        }


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Say nothing: the weights are in memory, and putting them in place takes no time."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _sorted_options(
    options: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Sort options into those of the configuration, of the hub, and for Hugging Face's own code."""
    options = {k: v for k, v in options.items() if k not in _WITHOUT_EFFECT}
    options = {k: v for k, v in options.items() if v or k not in _NOT_HERE}
    attention = options.pop("attn_implementation", None)
    if attention not in (None, "eager"):
        raise ConfigError(
            f"attn_implementation={attention!r} is refused: this model has no attention"
        )
    hub = {k: v for k, v in options.items() if k in HUB_OPTIONS and v is not None}
    passed_on = {k: v for k, v in options.items() if k in _PASSED_ON}
    own = {k: v for k, v in options.items() if k not in (*HUB_OPTIONS, *_PASSED_ON)}
    return own, hub, passed_on


def _config(
    config: PreTrainedConfig | str | os.PathLike[str] | None, folder: Path, options: dict[str, Any]
) -> tuple[LcPlmConfig, dict[str, Any]]:
    """Return the configuration, and the options that are not its own."""
    if not isinstance(config, PreTrainedConfig | str | os.PathLike | None):
        raise ConfigError(f"config is an LcPlmConfig or a folder, not {type(config).__name__}")
    if not isinstance(config, PreTrainedConfig):
        return read_config(folder if config is None else Path(config), **options)
    if not isinstance(config, LcPlmConfig):
        raise ConfigError(f"config must be an LcPlmConfig, not {type(config).__name__}")
    return LcPlmConfig.from_dict(config.to_dict()), options

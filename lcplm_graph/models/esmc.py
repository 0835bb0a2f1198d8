"""ESM C behind the common interface, through transformers, where its release has it."""

from __future__ import annotations

from typing import Any

import torch

from lcplm_graph.errors import BackendError, CheckpointError
from lcplm_graph.models.checkpoints import read_json
from lcplm_graph.models.folder import ModelFolder
from lcplm_graph.models.from_transformers import PaddedEncoder, find_folder, load_whole
from lcplm_graph.models.names import CONFIG

_TITLE = "ESM C"


class EsmcEncoder(PaddedEncoder):
    """ESM Cambrian through transformers; its first 29 token ids are those of ESM-2.

    Parameters
    ----------
    model : EsmcModel
    name : str
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name
        self.dim = model.config.hidden_size


def esmc_encoder(name: str, dtype: str | torch.dtype, **options: Any) -> EsmcEncoder:
    """Load ``esmc:...``, a folder or a hub id such as ``esmc:biohub/ESMC-300M-hf``.

    Raises
    ------
    BackendError
        If transformers is too old to know ESM C.
    CheckpointError
        If the files are missing or damaged, or a weight is missing or of the wrong shape.
    """
    try:
        from transformers import EsmcModel
    except ImportError as error:
        raise BackendError(
            "this transformers does not know ESM C; it came with 5.21, update it"
        ) from error
    folder = find_folder(name.removeprefix("esmc:"), _TITLE, options)
    kind = read_json(folder / CONFIG).get("model_type")
    if kind != "esmc":
        raise CheckpointError(f"{folder / CONFIG}: model_type is {kind!r}, not 'esmc'")
    encoder = EsmcEncoder(load_whole(EsmcModel, folder, _TITLE, dtype), name)
    encoder.record = ModelFolder(folder).record()
    return encoder

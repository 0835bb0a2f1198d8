"""A trained head in a folder: weights and a JSON configuration, both of one head or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from lcplm_graph.errors import CheckpointError, shortened
from lcplm_graph.io import json_bytes, staged_files
from lcplm_graph.process import initialised
from lcplm_graph.strings import as_path


@dataclass(frozen=True)
class HeadFiles:
    """The two files of one kind of saved head.

    Attributes
    ----------
    kind : str
        What is saved, for messages: ``"link model"``.
    made_by : str
        The command that makes one, for messages.
    weights, config : str
        Names of the files: safetensors and JSON.
    format : int
        The newest that this version reads, and what it writes.
    """

    kind: str
    made_by: str
    weights: str
    config: str
    format: int = 1

    def write(
        self, folder: str | os.PathLike[str], weights: Mapping[str, Tensor], config: dict[str, Any]
    ) -> Path:
        """Write both files into a folder, and return it.

        Raises
        ------
        InputError
            If the configuration holds what JSON cannot.
        """
        # The configuration last, and an older one first away: a kill leaves no mixture of two.
        with staged_files(folder, last=self.config) as staging:
            save_file(dict(weights), staging / self.weights)
            config = {"format": self.format, **config}
            (staging / self.config).write_bytes(json_bytes(config, self.config))
        return Path(folder)

    @contextmanager
    def reading(
        self, folder: str | os.PathLike[str]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
        """Give configuration and weights to a block that makes the head of them.

        Raises
        ------
        CheckpointError
            If a file is missing or damaged, or the block cannot make a head of the two.
        """
        folder = as_path(folder)
        try:
            config = json.loads((folder / self.config).read_text(encoding="utf-8"))
            if config.get("format", 1) > self.format:
                raise ValueError(
                    f"format {config['format']}, this version reads {self.format}; update it"
                )
            weights = load_file(folder / self.weights)
            with initialised(0):  # the block's head gets the weights' numbers, and draws none
                yield config, weights
        except FileNotFoundError as error:
            missing = Path(error.filename or self.weights).name  # safetensors names no file
            raise CheckpointError(
                f"{folder}: no saved {self.kind}, {missing} is missing; make one with "
                f"{self.made_by} --save-head DIR"
            ) from error
        except Exception as error:  # what a damaged file says makes heads raise nearly anything
            reason = shortened(f"{error}" or type(error).__name__)
            raise CheckpointError(f"{folder}: the {self.kind} cannot be read ({reason})") from error

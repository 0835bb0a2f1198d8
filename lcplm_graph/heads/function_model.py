"""`FunctionModel`: a trained function predictor with its terms; one answer, probabilities."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lcplm_graph.errors import CheckpointError
from lcplm_graph.go.ontology import Ontology
from lcplm_graph.heads.fit import FitOptions, fit_function
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.io import staged_files
from lcplm_graph.process import one_thread
from lcplm_graph.seeds import checked_seed

WEIGHTS, CONFIG = "function.safetensors", "function.json"
_FORMAT = 1
_ROWS = 4096


@dataclass
class FunctionModel:
    """A head on features of sequences, its terms, their parents, and where it comes from.

    Attributes
    ----------
    head : FunctionPredictor
        Without convolutions, in evaluation mode.
    terms, names : sequence of str
        Id and name of each output.
    aspect : str
        ``MF``, ``BP`` or ``CC``.
    parents : array-like, dtype=int64, shape=(m, 2)
        Outputs (child, parent).
    facts : dict
        Encoder, data and whatever a user must know; JSON types only.
    """

    head: FunctionPredictor
    terms: Sequence[str]
    names: Sequence[str]
    aspect: str
    parents: Any
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        features: Tensor,
        data: Any,
        options: FitOptions = FitOptions(),  # noqa: B008
        facts: dict[str, Any] | None = None,
    ) -> FunctionModel:
        """Train on the training proteins, and keep the state that did best on the validation part.

        Parameters
        ----------
        features : Tensor, shape=(num_nodes, d)
            Rows of proteins in neither part do not count.
        data : Data
            ``dataset[0]`` of a `GOFunction` of one aspect.
        options : FitOptions
            `seed` also decides about the weights at the start.
        facts : dict, optional
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(checked_seed(options.seed))
            head = FunctionPredictor(features.shape[1], num_terms=data.y.shape[1], conv="none")
        fit_function(
            head, features, _no_edges(), data.y, data.train_mask, data.val_mask, options
        )  # fmt: skip
        parents = data.go_parents.T.tolist()
        return cls(
            head.eval(), list(data.go_terms), list(data.go_names), data.go_aspect[0], parents,
            facts or {},
        )  # fmt: skip

    @cached_property
    def ontology(self) -> Ontology:
        """The terms of the model and who is whose ancestor among them."""
        return Ontology(self.terms, [self.aspect] * len(self.terms), self.parents, self.names)

    def probability(self, features: Tensor) -> npt.NDArray[np.floating]:
        """Return the probability of each term for each protein, shape (n, terms).

        The sigmoid of the head's logit, raised to the largest among the term and its descendants:
        who has a term has its ancestors.

        Parameters
        ----------
        features : Tensor, shape=(n, d)
            From the encoder and pooling of training.
        """
        with torch.inference_mode(), one_thread():
            parts = [
                self.head(rows, _no_edges()).sigmoid().double().numpy()
                for rows in features.split(_ROWS)
            ]
        return self.ontology.propagate_scores(np.concatenate(parts))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write weights and configuration into `folder`, and return it."""
        folder = Path(folder)
        config = {
            "format": _FORMAT,
            "aspect": self.aspect,
            "terms": list(self.terms),
            "names": list(self.names),
            "parents": self.parents,
            "facts": self.facts,
        }
        with staged_files(folder, last=CONFIG) as staging:
            save_file(self.head.state_dict(), staging / WEIGHTS)
            text = json.dumps(config, ensure_ascii=False) + "\n"
            (staging / CONFIG).write_text(text, encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FunctionModel:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If a file is missing or damaged, or the two do not fit.
        """
        folder = Path(folder)
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            weights = load_file(folder / WEIGHTS)
            width = len(weights["gnn.scale.running_mean"])
            head = FunctionPredictor(width, num_terms=len(config["terms"]), conv="none")
            head.load_state_dict(weights)
            keys = ("terms", "names", "aspect", "parents", "facts")
            return cls(head.eval(), **{key: config[key] for key in keys})
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{folder}: no saved function model, {Path(error.filename or WEIGHTS).name} is "
                "missing; make one with lcplm predict function ... --save-head DIR"
            ) from error
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder}: the function model cannot be read ({error})"
            ) from error


def _no_edges() -> Tensor:
    return torch.empty((2, 0), dtype=torch.int64)

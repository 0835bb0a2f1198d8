"""`FunctionModel`: a trained function predictor with its terms; one answer, probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcplm_graph.go.ontology import Ontology
from lcplm_graph.heads.fit import FitOptions, fit_function
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.saved import HeadFiles
from lcplm_graph.process import one_thread, seeded
from lcplm_graph.seeds import checked_seed

_FILES = HeadFiles(
    "function model", "lcplm predict function ...", "function.safetensors", "function.json"
)
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
        with seeded(checked_seed(options.seed)):
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

    def distance(self, features: Tensor) -> npt.NDArray[np.floating]:
        """Return how far proteins are from the training proteins: their mean squared feature."""
        with torch.inference_mode():
            scaled: Tensor = self.head.gnn.scale(features)
        return scaled.double().square().mean(dim=1).numpy()

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
        config = {
            "format": _FORMAT,
            "aspect": self.aspect,
            "terms": list(self.terms),
            "names": list(self.names),
            "parents": self.parents,
            "facts": self.facts,
        }
        return _FILES.write(folder, self.head.state_dict(), config)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FunctionModel:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If a file is missing or damaged, or the two do not fit.
        """
        with _FILES.reading(folder) as (config, weights):
            width = len(weights["gnn.scale.running_mean"])
            head = FunctionPredictor(width, num_terms=len(config["terms"]), conv="none")
            head.load_state_dict(weights)
            keys = ("terms", "names", "aspect", "parents", "facts")
            return cls(head.eval(), **{key: config[key] for key in keys})


def _no_edges() -> Tensor:
    return torch.empty((2, 0), dtype=torch.int64)

"""`FunctionModel`: a trained function predictor with its terms; one answer, probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from lcplm_graph.callers import for_training
from lcplm_graph.errors import InputError
from lcplm_graph.go.ontology import Ontology
from lcplm_graph.heads.convolutions import no_edges
from lcplm_graph.heads.fit import FitOptions, fit_function
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homologues import PREFIX, AnnotatedProteins, best_weight, mixed
from lcplm_graph.heads.saved import HeadFiles
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.process import initialised, one_thread
from lcplm_graph.seeds import checked_seed
from lcplm_graph.strings import string_list

_FILES = HeadFiles(
    "function model", "lcplm predict function ...", "function.safetensors", "function.json"
)
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
    homologues : AnnotatedProteins, optional
        The proteins of training; their terms count for proteins like them.
    homologue_weight : float
        Of their terms beside the head, from 0 to 1; at 0 no homologues are searched.
    """

    head: FunctionPredictor
    terms: Sequence[str]
    names: Sequence[str]
    aspect: str
    parents: Any
    facts: dict[str, Any] = field(default_factory=dict)
    homologues: AnnotatedProteins | None = None
    homologue_weight: float = 0.0

    def __repr__(self) -> str:
        homologues = "no" if self.homologues is None else len(self.homologues.sequences)
        return (
            f"{type(self).__name__}({len(self.terms)} terms of {self.aspect}, {homologues} "
            "annotated proteins)"
        )

    @classmethod
    @for_training()
    def fit(
        cls,
        features: Tensor,
        data: Any,
        options: FitOptions = FitOptions(),  # noqa: B008
        facts: dict[str, Any] | None = None,
        sequences: Iterable[str] | None = None,
        homologues: bool = True,
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
        sequences : iterable of str, optional
            Of all rows.  With them the model knows which terms the proteins of both parts have.
        homologues : bool
            Give these terms to their homologues, too, with a weight that was chosen on the
            validation part and homologues in the training part.
        """
        with initialised(checked_seed(options.seed)):
            head = FunctionPredictor(features.shape[1], num_terms=data.y.shape[1], conv="none")
        fit_function(
            head, features, no_edges(), data.y, data.train_mask, data.val_mask, options
        )  # fmt: skip
        parents = data.go_parents.T.tolist()
        model = cls(
            head.eval(), list(data.go_terms), list(data.go_names), data.go_aspect[0], parents,
            facts or {},
        )  # fmt: skip
        if sequences is None:
            return model
        texts = string_list(sequences)
        if homologues:
            valid = _annotated(data, data.val_mask, texts)
            found = _annotated(data, data.train_mask, texts).transfer(
                valid.sequences, options.progress
            )
            scores = model.probability(features[data.val_mask])
            model.homologue_weight = best_weight(valid.labels.toarray(), scores, found)
        model.homologues = _annotated(data, data.train_mask | data.val_mask, texts)
        return model

    @cached_property
    def ontology(self) -> Ontology:
        """The terms of the model and who is whose ancestor among them."""
        return Ontology(self.terms, [self.aspect] * len(self.terms), self.parents, self.names)

    def distance(self, features: Tensor) -> npt.NDArray[np.floating]:
        """Return how far proteins are from the training proteins: their mean squared feature."""
        return self.head.gnn.scale.distance(features).numpy()

    def probability(
        self, features: Tensor, sequences: Iterable[str] | None = None, progress: bool = False
    ) -> npt.NDArray[np.floating]:
        """Return the probability of each term for each protein, shape (n, terms).

        The sigmoid of the head's logit, averaged with the share of homologues that have the term,
        where there are any; raised to the largest among the term and its descendants: who has a
        term has its ancestors.

        Parameters
        ----------
        features : Tensor, shape=(n, d)
            From the encoder and pooling of training.
        sequences : iterable of str, optional
            Of the same proteins; a model that looks at homologues needs them.
        progress : bool
            Show that the search for homologues is at work.

        Raises
        ------
        InputError
            If sequences are missing, or not as many as features.
        """
        asked = None if sequences is None else string_list(sequences)
        if asked is not None and len(asked) != len(features):
            raise InputError(f"{len(asked)} sequences for features of {len(features)} proteins")
        with torch.inference_mode(), evaluating(self.head), one_thread():
            parts = [
                self.head(rows, no_edges()).sigmoid().double().numpy()
                for rows in features.split(_ROWS)
            ]
        scores = self.ontology.propagate_scores(np.concatenate(parts))
        if self.homologues is None or not self.homologue_weight:
            return scores
        if asked is None:
            raise InputError("this model looks at homologues, too; give the sequences")
        known = self.homologues.transfer(asked, progress)
        return self.ontology.propagate_scores(mixed(scores, known, self.homologue_weight))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write weights and configuration into `folder`, and return it."""
        config = {
            "aspect": self.aspect,
            "terms": list(self.terms),
            "names": list(self.names),
            "parents": self.parents,
            "facts": self.facts,
        }
        tensors = dict(self.head.state_dict())
        if self.homologues is not None:
            config["homologue_weight"] = self.homologue_weight
            tensors |= self.homologues.tensors()
        return _FILES.write(folder, tensors, config)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FunctionModel:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If a file is missing or damaged, or the two do not fit.
        """
        with _FILES.reading(folder) as (config, weights):
            width, terms = len(weights["gnn.scale.running_mean"]), len(config["terms"])
            known = {key: weights.pop(key) for key in list(weights) if key.startswith(PREFIX)}
            head = FunctionPredictor(width, num_terms=terms, conv="none")
            head.load_state_dict(weights)
            keys = ("terms", "names", "aspect", "parents", "facts")
            model = cls(head.eval(), **{key: config[key] for key in keys})
            if known:
                model.homologues = AnnotatedProteins.from_tensors(known, terms)
                model.homologue_weight = _share(config["homologue_weight"])
            return model


def _annotated(data: Any, rows: Tensor, sequences: list[str]) -> AnnotatedProteins:
    at = rows.nonzero()[:, 0].tolist()
    return AnnotatedProteins([sequences[i] for i in at], sparse.csr_array(data.y[rows].numpy()))


def _share(value: Any) -> float:
    if not 0 <= float(value) <= 1:
        raise ValueError(f"homologue_weight is {value}, not from 0 to 1")
    return float(value)

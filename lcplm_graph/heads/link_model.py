"""`LinkModel`: trained link predictors with one answer, a calibrated probability."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lcplm_graph.callers import for_training
from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.heads.convolutions import resolve_convolution
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.fit_link import LINK_FIT, validation
from lcplm_graph.heads.interologs import NO_WEIGHT, Interologs, interolog_weights
from lcplm_graph.heads.kinds import link_head
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_scores import LinkScores
from lcplm_graph.heads.members import fit_members, untrained
from lcplm_graph.heads.recipe import BASE, CROSS, SEQUENCE_ONLY, WITH_GRAPH, Blocks, Recipe, serving
from lcplm_graph.heads.saved import HeadFiles
from lcplm_graph.heads.trainable import check_on_cpu, trained_on
from lcplm_graph.models.names import CONFIG, WEIGHTS
from lcplm_graph.options import check_count
from lcplm_graph.seeds import derived_seed
from lcplm_graph.splits.split import Labelled, Split

_FILES = HeadFiles("link model", "lcplm predict ...", WEIGHTS, CONFIG)


@dataclass
class LinkModel:
    """Link predictors of several kinds and seeds, the calibration of their mean, their origin.

    Attributes
    ----------
    members : list of LinkPredictor
        In evaluation mode.
    recipes : list of Recipe
        Of each member.
    calibration : Calibration
    facts : dict
        Encoder, data and whatever a user must know; JSON types only.
    interolog_weight : tuple of float
        What evidence of `Interologs` adds to the log-odds of pairs of C1, C2 and C3; 0 everywhere
        for a model that does not look at relatives.
    """

    members: list[LinkPredictor]
    recipes: list[Recipe]
    calibration: Calibration = field(default_factory=Calibration)
    facts: dict[str, Any] = field(default_factory=dict)
    interolog_weight: tuple[float, ...] = NO_WEIGHT

    def __repr__(self) -> str:
        kinds = ", ".join(r.head if r.conv == "none" else r.conv for r in self.recipes)
        return f"{type(self).__name__}({len(self.members)} members: {kinds})"

    @classmethod
    @for_training()
    def fit(
        cls,
        features: Blocks | Tensor,
        split: Split,
        *,
        members: int = 4,
        options: FitOptions = LINK_FIT,
        conv: str | None = None,
        decoder: str = "hadamard-mlp",
        head: str = "link",
        kinds: Sequence[Recipe] | None = None,
        facts: dict[str, Any] | None = None,
        relatives: sparse.csr_array | None = None,
    ) -> LinkModel:
        """Train the members and calibrate their mean on the validation pairs.

        Parameters
        ----------
        features : mapping of str to Tensor, or Tensor, shape=(num_nodes, d)
            From `link_features`, or one block.
        split : Split
        members : int
            The kinds of members take turns; there is at least one of each.
        options : FitOptions
            `seed` decides about all members.
        conv : str, optional
            By default the recipe that did best on validation: with the graph if a validation
            pair has a protein with edges, else of the sequences alone.  Another convolution takes
            the place of GraphSAGE; ``none`` is a plain head on the block ``base``.
        decoder : str
        head : str
            Class of the members, see `link_head`.
        kinds : sequence of Recipe, optional
            Instead of what `conv` says.
        facts : dict, optional
        relatives : sparse array, shape=(num_nodes, num_nodes), optional
            Count interactions of relatives, too, see `Interologs`, with weights that validation
            pairs choose; without validation pairs they do not count.

        Raises
        ------
        ConfigError
            If there is to be no member, or `head` is one for pairs of new proteins only.
        InputError
            If features are not finite, or not one row for each protein.
        UnknownNameError
            If there is no such convolution, decoder or head.
        """
        check_count(members, "members")
        if head == CROSS:
            raise ConfigError(
                f"{CROSS} cannot take the place of all heads: it is among them where all pairs are "
                "of new proteins"
            )
        blocks = {name: trained_on(block) for name, block in as_blocks(features).items()}
        kinds = kinds or serving(_kinds(split, conv), blocks)
        if (decoder, head) != (Recipe.decoder, Recipe.head):
            # Members of other kinds have neither.
            kinds = [kind for kind in kinds if kind.head == Recipe.head]
            kinds = [replace(kind, decoder=decoder, head=head) for kind in kinds]
        recipes = [kinds[number % len(kinds)] for number in range(max(members, len(kinds)))]
        seeds = [derived_seed(options.seed, len(recipes), n) for n in range(len(recipes))]
        heads = [
            (untrained(seed, **recipe.arguments(blocks)), recipe.features(blocks))
            for seed, recipe in zip(seeds, recipes, strict=True)
        ]
        model = cls(fit_members(heads, split, seeds, options), recipes, facts=facts or {})
        return model.judged(blocks, split, relatives, options.seed)

    def judged(
        self,
        features: Blocks | Tensor,
        split: Split,
        relatives: sparse.csr_array | None = None,
        seed: int = 0,
        draws: int = 1,
    ) -> LinkModel:
        """Return the model with weights of relatives and a calibration from validation pairs.

        Parameters
        ----------
        features, split, relatives
            As for `fit`.
        seed : int
            Of the negatives.
        draws : int
            How often negatives are drawn; their chance then counts less.

        Raises
        ------
        ConfigError
            If they are to be drawn less than once.
        """
        check_count(draws, "draws")
        plain = replace(self, interolog_weight=NO_WEIGHT)
        scores, valid = plain.on(features, split), _valid_pairs(split, seed, draws)
        if valid is None:
            return replace(plain, calibration=Calibration())
        (pairs, labels), classes = valid, split.classify(valid.pairs)
        mean = scores.log_odds(pairs).mean(axis=0)
        weight: tuple[float, ...] = NO_WEIGHT
        if relatives is not None:
            evidence = _interologs(relatives, split).of(pairs)
            weight = interolog_weights(mean, evidence, labels, classes)
            mean = mean + np.array(weight)[classes - 1] * evidence
        calibration = Calibration.fit(mean, labels, classes)
        return replace(self, calibration=calibration, interolog_weight=weight)

    def on(
        self,
        features: Blocks | Tensor,
        split: Split,
        relatives: sparse.csr_array | None = None,
    ) -> LinkScores:
        """Let the members look at the proteins and message edges of a split.

        Parameters
        ----------
        features : mapping of str to Tensor, or Tensor, shape=(num_nodes, d)
        split : Split
        relatives : sparse array, shape=(num_nodes, m), optional
            Of the proteins among the first m of the graph, which have all edges.

        Raises
        ------
        InputError
            If the model looks at relatives and none are given, or not of all proteins.
        """
        interologs = None
        if any(self.interolog_weight):
            if relatives is None:
                raise InputError(
                    "this link model looks at relatives of proteins, too; give `relatives`, from "
                    "lcplm_graph.features.relatives"
                )
            interologs = _interologs(relatives, split)
        blocks = as_blocks(features)
        heads = [
            (member, recipe.features(blocks))
            for member, recipe in zip(self.members, self.recipes, strict=True)
        ]
        classes = [recipe.classes for recipe in self.recipes]
        return LinkScores(
            heads, split, self.calibration, classes, interologs, self.interolog_weight
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write weights (matrices in float16) and configuration into `folder`, and return it."""
        weights = {
            f"{number}.{name}": _stored(tensor)
            for number, member in enumerate(self.members)
            for name, tensor in member.state_dict().items()
        }
        config = {
            "members": [recipe.as_dict() for recipe in self.recipes],
            "calibration": self.calibration.as_dict(),
            "interolog_weight": list(self.interolog_weight),
            "facts": self.facts,
        }
        return _FILES.write(folder, weights, config)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> LinkModel:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If a file is missing or damaged, or the two do not fit.
        """
        with _FILES.reading(folder) as (config, weights):
            recipes = [Recipe.of(values) for values in config["members"]]
            members = [_member(recipe, weights, n) for n, recipe in enumerate(recipes)]
            calibration = Calibration.from_dict(config["calibration"])
            # Models of 0.2 look at no relatives.
            weight = tuple(map(float, config.get("interolog_weight", NO_WEIGHT)))
            if len(weight) != len(NO_WEIGHT) or not np.isfinite(weight).all():
                raise ValueError(f"{len(weight)} weights of interologs, not one for each class")
            return cls(members, recipes, calibration, config["facts"], weight)


def _interologs(relatives: sparse.csr_array, split: Split) -> Interologs:
    if relatives.shape[0] != split.num_nodes:
        raise InputError(
            f"relatives of {relatives.shape[0]} proteins for a graph of {split.num_nodes} proteins"
        )
    return Interologs(relatives, split.message)


def as_blocks(features: Blocks | Tensor) -> Blocks:
    """Return features as blocks; a tensor is the block ``base``.

    Raises
    ------
    InputError
        If a block is no tensor of two axes on the CPU, or holds NaN or infinite numbers.
    """
    blocks = {BASE: features} if isinstance(features, Tensor) else features
    if not isinstance(blocks, Mapping):
        raise InputError(
            "features are a tensor of shape (n, d), or a mapping of names to such, not "
            f"{type(features).__name__}; torch.from_numpy makes one of an array"
        )
    for name, block in blocks.items():
        if not isinstance(block, Tensor) or block.dim() != 2:
            found = getattr(block, "shape", type(block).__name__)
            raise InputError(f"features {name!r} are no tensor of shape (n, d) but {found}")
        check_on_cpu(block, f"features {name!r}")
        wrong = int((~torch.isfinite(block)).any(dim=1).sum())
        if wrong:
            raise InputError(
                f"features {name!r} of {wrong} of {len(block)} proteins are NaN or infinite"
            )
    return blocks


def _kinds(split: Split, conv: str | None) -> tuple[Recipe, ...]:
    if isinstance(conv, str) and conv.lower() == "none":
        return (Recipe(),)
    if conv is not None:
        resolve_convolution(conv)
    if not serves_known_proteins(split):
        return SEQUENCE_ONLY
    graph, *others = WITH_GRAPH
    return (graph if conv is None else replace(graph, conv=conv), *others)


def _stored(tensor: Tensor) -> Tensor:
    """Return what is written: matrices in float16; the scale of features needs its range."""
    if tensor.ndim > 1 and tensor.is_floating_point():
        half = tensor.half()
        tensor = half if half.isfinite().all() else tensor
    return tensor.contiguous()


def _member(recipe: Recipe, weights: dict[str, Tensor], number: int) -> LinkPredictor:
    prefix = f"{number}."
    own = {
        name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    gated = own.get("gnn.project_known.0.weight")
    member = link_head(
        recipe.head,
        in_channels=len(own["gnn.scale.running_mean"]),
        conv=recipe.conv,
        decoder=recipe.decoder,
        structure=recipe.structure,
        gated=0 if gated is None else gated.shape[1],
    )
    member.load_state_dict(own)
    return member.eval()


def serves_known_proteins(split: Split) -> bool:
    """Tell whether validation asks about proteins that have message edges."""
    parts = validation(split, 0)
    return any(bool((split.classify(part.pairs) < 3).any()) for part in parts)


def _valid_pairs(split: Split, seed: int, draws: int) -> Labelled | None:
    """Return validation pairs with several draws of negatives; None without any."""
    parts = [part for k in range(draws) for part in validation(split, derived_seed(seed, 1, k))]
    if not parts:
        return None
    return Labelled(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

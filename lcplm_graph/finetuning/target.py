"""What is predicted: kinds of labels, their names, their loss, and answers in their terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.errors import CheckpointError, ConfigError, UnknownNameError
from lcplm_graph.tokens.masking import IGNORE

Kind = Literal["regression", "binary", "multiclass", "multilabel", "residue"]
KINDS: tuple[Kind, ...] = ("regression", "binary", "multiclass", "multilabel", "residue")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Target:
    """What a model predicts.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    names : tuple of str
        Classes or labels; the second of two is the positive one; of a number, its column.
    mean, spread : float
        Of the training labels, where they are numbers.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    ConfigError
        If the kind has other names, or mean and spread are not those of numbers.
    """

    kind: Kind
    names: tuple[str, ...]
    mean: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError(
                f"no kind of target {self.kind!r:.60}; choose one of {', '.join(KINDS)}"
            )
        if not self._makes_sense():
            raise ConfigError(
                f"no {self.kind} target has the names {self.names!r:.60}, mean {self.mean} and "
                f"spread {self.spread}; give one name for a number, two for yes or no, else "
                "several, all different, and a spread above 0"
            )

    @property
    def outputs(self) -> int:
        """Numbers that a head must give."""
        return 1 if self.kind in ("regression", "binary") else len(self.names)

    def loss(self, logits: Tensor, labels: Tensor, total: float) -> Tensor:
        """Return the summed loss over `total`, which counts what is labelled in a whole step.

        Parameters
        ----------
        logits : Tensor, shape=(n, outputs)
            A row for each protein, pair or residue.
        labels : Tensor
            As `standardised` returns them.
        total : float
        """
        if self.kind in ("multiclass", "residue"):
            return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / total
        if self.kind == "regression":
            return F.mse_loss(logits[:, 0], labels, reduction="sum") / total
        if self.kind == "binary":
            logits = logits[:, 0]
        summed = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return summed / (total * self.outputs)

    def answers(self, logits: Tensor) -> Array:
        """Return values in units of the labels, or probabilities.

        Returns
        -------
        ndarray, dtype=float64
            (n,) of regression (values) and binary (of the second name), else (n, names).
        """
        given = logits.double()
        if self.kind == "regression":
            return (given[:, 0] * self.spread + self.mean).numpy()
        if self.kind == "binary":
            return given[:, 0].sigmoid().numpy()
        if self.kind == "multilabel":
            return given.sigmoid().numpy()
        return given.softmax(dim=1).numpy()

    def standardised(self, labels: Array) -> Tensor:
        """Return labels as the loss takes them."""
        if self.kind == "regression":
            return torch.from_numpy(((labels - self.mean) / self.spread).astype(np.float32))
        if self.kind in ("binary", "multilabel"):
            return torch.from_numpy(labels.astype(np.float32))
        return torch.from_numpy(labels.astype(np.int64))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Target:
        """Undo `as_dict`.

        Raises
        ------
        CheckpointError
            If `stored` was not made by `as_dict`.
        """
        try:
            return cls(
                stored["kind"], tuple(stored["names"]), float(stored["mean"]),
                float(stored["spread"]),
            )  # fmt: skip
        except ConfigError as error:
            raise CheckpointError(f"not the description of a target ({error})") from error
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"not the description of a target ({error!r})") from error

    def _makes_sense(self) -> bool:
        wanted = {"regression": self.names[:1], "binary": self.names[:2]}
        return (
            isinstance(self.names, tuple | list)
            and all(isinstance(name, str) for name in self.names)
            and len(set(self.names)) == len(self.names) > 0
            and self.names == wanted.get(self.kind, self.names)
            and (self.kind == "regression" or len(self.names) > 1)
            and math.isfinite(self.mean)
            and 0 < self.spread < math.inf
        )

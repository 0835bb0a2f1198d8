"""`Part`: what a protein or a pair serves for, and shares drawn at random."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import InputError
from lcplm_graph.seeds import checked_seed

# A `Part` for each protein or pair.
Parts = npt.NDArray[np.int8]


class Part(IntEnum):
    """What a protein or a pair serves for.

    The numbers are those of `Split.held_out_part` and `Split.node_part`, in memory and in saved
    splits.

    Examples
    --------
    >>> Part.of("valid"), Part.TEST.label, Part.VALID.mask
    (<Part.VALID: 0>, 'test', 'val_mask')
    """

    NOWHERE = -2
    TRAIN = -1
    VALID = 0
    TEST = 1

    @classmethod
    def of(cls, name: str | Part) -> Part:
        """Return the part of a name.

        Raises
        ------
        InputError
            If `name` is not one of ``train``, ``valid`` and ``test``.
        """
        for part in PARTS:
            if name in (part, part.label):
                return part
        known = ", ".join(part.label for part in PARTS)
        raise InputError(f"no part {name!r}; choose one of {known}")

    @property
    def label(self) -> str:
        """Name in arguments and tables: ``train``, ``valid``, ``test``."""
        return self.name.lower()

    @property
    def mask(self) -> str:
        """Name of the mask in PyG's data: ``train_mask``, ``val_mask``, ``test_mask``."""
        return "val_mask" if self is Part.VALID else f"{self.label}_mask"


PARTS = (Part.TRAIN, Part.VALID, Part.TEST)
"""The parts of every split, in their order in time."""


def random_parts(
    candidates: npt.NDArray[np.bool_], groups: Any, valid: float, test: float, seed: int
) -> Parts:
    """Share candidates out at random, a group (equal sequences) as a whole.

    Parameters
    ----------
    candidates : ndarray, dtype=bool, shape=(n,)
        Proteins to share out; the others are `Part.NOWHERE`.
    groups : array-like, shape (n,)
        Proteins with the same value stay together.
    valid, test : float
        Fractions of the groups.
    seed : int
        The same seed gives the same parts.

    Returns
    -------
    ndarray, dtype=int8, shape=(n,)

    Examples
    --------
    >>> random_parts(np.array([True, True, True, False]), [5, 5, 6, 7], 0, 0.5, 0).tolist()
    [1, 1, -1, -2]
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    members = np.unique(group[candidates])
    order = np.random.default_rng(checked_seed(seed)).permutation(members)
    n_test, n_valid = round(test * len(order)), round(valid * len(order))
    part_of_group = np.full(group.max(initial=0) + 1, Part.TRAIN, np.int8)
    part_of_group[order[:n_test]] = Part.TEST
    part_of_group[order[n_test : n_test + n_valid]] = Part.VALID
    return np.where(candidates, part_of_group[group], Part.NOWHERE).astype(np.int8)

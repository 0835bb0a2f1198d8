"""What the members of a link model are made of: features in named blocks, and kinds of members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoders import Encoder, load_encoder
from lcplm_graph.proteins.store import SequenceStore

#: Features of proteins by the name of the block, each of shape (n, width).
Blocks = Mapping[str, Tensor]
BASE, EXTREMES, COMPOSITION, DIPEPTIDES = "base", "extremes", "composition", "dipeptides"
#: Means of the stretches of a protein.
PARTS = "parts"
_LETTERS = 20
#: Pooling that has both `BASE` and `EXTREMES`.
WIDE = "mean_std_max_min"
#: The same and `PARTS`.
WIDE_PARTS = "mean_std_max_min_parts"
EVERY_CLASS, NEW_ONLY = (1, 2, 3), (3,)


@dataclass(frozen=True)
class Recipe:
    """One kind of member.

    Attributes
    ----------
    conv : str
        Convolution, or none.
    structure : bool
        Whether it looks at what lies between two proteins.
    blocks : tuple of str
        Features; those that an encoder has not are left out.
    gated : str
        Block that counts for proteins with edges only; empty for none.
    decoder : str
    head : str
        Class of the member, see `link_head`.
    classes : tuple of int
        Of the pairs that it speaks about: C1, C2, C3 of two, one, no protein with edges.
    """

    conv: str = "none"
    structure: bool = False
    blocks: tuple[str, ...] = (BASE,)
    gated: str = ""
    decoder: str = "hadamard-mlp"
    head: str = "link"
    classes: tuple[int, ...] = EVERY_CLASS

    def features(self, blocks: Blocks) -> Tensor:
        """Put the blocks side by side, the gated one last."""
        if BASE not in blocks:
            raise InputError(f"a link model needs the features {BASE!r}, got {', '.join(blocks)}")
        names = [*self.blocks, self.gated]
        return torch.cat([blocks[name] for name in names if name in blocks], dim=1)

    def arguments(self, blocks: Blocks) -> dict[str, Any]:
        """Return the arguments of `untrained`."""
        gated = blocks[self.gated].shape[1] if self.gated in blocks else 0
        return {
            "in_channels": self.features(blocks).shape[1],
            "conv": self.conv,
            "decoder": self.decoder,
            "structure": self.structure,
            "gated": gated,
            "head": self.head,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; ``Recipe.of`` takes it back."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """Undo `as_dict`; until 0.2 a member was for pairs of new proteins, or for all."""
        known = dict(values)
        new_only = known.pop("new_only", False)
        known.setdefault("classes", NEW_ONLY if new_only else EVERY_CLASS)
        tuples = {name: tuple(known[name]) for name in ("blocks", "classes")}
        return cls(**{**known, **tuples})


#: Kinds of members where proteins have edges.  For two new proteins a plain head is as good as the
#: others are, and the mean of all is better, see docs/notebook/evaluation.md.
WITH_GRAPH = (
    Recipe(conv="GraphSAGE", structure=True),
    Recipe(structure=True, blocks=(BASE, COMPOSITION), gated=DIPEPTIDES),
    Recipe(classes=NEW_ONLY),
)
#: Head of members that look at `PARTS`.
CROSS = "cross"
#: Where all pairs asked about are of new proteins.
SEQUENCE_ONLY = (Recipe(blocks=(BASE, EXTREMES)), Recipe(blocks=(BASE, PARTS), head=CROSS))


def wide_blocks(wide: Tensor, dim: int) -> dict[str, Tensor]:
    """Divide features of the pooling `WIDE` or `WIDE_PARTS` of an encoder into blocks."""
    base, extremes, parts = wide.tensor_split((2 * dim, 4 * dim), dim=1)
    return {BASE: base, EXTREMES: extremes, **({PARTS: parts} if parts.shape[1] else {})}


def pooling_of(kinds: Sequence[Recipe]) -> str:
    """Return the pooling that has all blocks of members without a graph."""
    return WIDE_PARTS if any(PARTS in kind.blocks for kind in kinds) else WIDE


def serving(kinds: Sequence[Recipe], blocks: Blocks) -> tuple[Recipe, ...]:
    """Return the kinds of members that these features are enough for."""
    return tuple(kind for kind in kinds if kind.head != CROSS or PARTS in blocks)


def link_features(
    encoder: Encoder,
    sequences: SequenceStore | Sequence[str],
    *,
    pool: str | None = None,
    parts: bool = False,
    progress: bool = False,
) -> dict[str, Tensor]:
    """Return the blocks that a link model may take, from the cache where they are known.

    Parameters
    ----------
    encoder : Encoder
    sequences : SequenceStore or sequence of str
    pool : str, optional
        Of the block ``base``; by default the one the encoder recommends.
    parts : bool
        With the block `PARTS`, which members for pairs of new proteins take.
    progress : bool
    """
    pool = encoder.chosen_pool(pool)
    if isinstance(encoder, CompositionEncoder) or pool != "mean_std":
        return {BASE: cached_embeddings(encoder, sequences, pool, progress=progress)}
    wide = cached_embeddings(encoder, sequences, WIDE_PARTS if parts else WIDE, progress=progress)
    letters = cached_embeddings(load_encoder("dipeptide"), sequences, progress=progress)
    return {
        **wide_blocks(wide, encoder.dim),
        COMPOSITION: letters[:, :_LETTERS],
        DIPEPTIDES: letters[:, _LETTERS:],
    }

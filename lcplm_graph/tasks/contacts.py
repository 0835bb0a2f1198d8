"""Contacts from the categorical Jacobian: how residues at one place change predictions at another.

Every residue is replaced by each of the 20 in its turn, and the change of all logits is recorded
(Zhang et al. 2024, "Protein language models learn evolutionary statistics of interacting sequence
motifs").  Nothing is read from attention, so it works for a state-space model.  Of two proteins,
joined as a walk over the ``[EDGE]`` marker, the part between them is an interface map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.models.encoder import MAX_TOKENS
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array
from lcplm_graph.pairs import IntArray
from lcplm_graph.tasks.marginals import check_length
from lcplm_graph.tasks.passes import COLUMNS, Stream, run_passes
from lcplm_graph.tokens.vocabulary import (
    EDGE,
    STANDARD_RESIDUES,
    encode_protein,
    encode_residues,
    pair_walk,
)

SIZE = len(STANDARD_RESIDUES)
_CENTRED_BLOCK = 32


class Layout(NamedTuple):
    """Tokens of a stream, which of them are changed, and where the change is looked at."""

    ids: IntArray
    changed: IntArray
    seen: IntArray

    @property
    def tokens(self) -> int:
        """Tokens that the Jacobian runs through the model."""
        return (1 + len(self.changed) * SIZE) * len(self.ids)

    @property
    def memory(self) -> int:
        """Bytes of the Jacobian."""
        return len(self.changed) * len(self.seen) * SIZE * SIZE * 4


def protein_layout(lm: MaskedLM, sequence: str) -> Layout:
    """Lay out one protein: ``<cls> residues <eos>``."""
    check_length(lm, sequence)
    ids = encode_protein(sequence)
    residues = np.arange(1, len(ids) - 1)
    return Layout(ids, residues, residues)


def pair_layouts(lm: MaskedLM, a: str, b: str) -> tuple[Layout, Layout]:
    """Lay two proteins out as a walk over ``[EDGE]``: a changed and b seen, and the reverse.

    Raises
    ------
    ConfigError
        If the model does not know the markers of walks.
    """
    if not isinstance(lm, LcPlmEncoder):
        raise ConfigError(
            f"{lm.name} knows no [EDGE] marker; contacts between two proteins need an LC-PLM"
        )
    left, right = encode_residues(a), encode_residues(b)
    ids = pair_walk(left, right, EDGE)
    first = np.arange(len(left)) + 2
    second = np.arange(len(right)) + len(left) + 5
    return Layout(ids, first, second), Layout(ids, second, first)


def categorical_jacobian(
    lm: MaskedLM, layout: Layout, *, max_tokens: int = MAX_TOKENS, bar: tqdm | None = None
) -> Float32Array:
    """Return the change of logits for each replaced residue.

    Parameters
    ----------
    lm : MaskedLM
    layout : Layout
        Of `protein_layout` or `pair_layouts`.
    max_tokens : int
        Tokens per batch; does not change the result.
    bar : tqdm, optional
        Told the tokens that are done.

    Returns
    -------
    ndarray, dtype=float32, shape=(changed, 20, seen, 20)
        Logits with the changed residue minus logits of the stream as it is, residues in the
        order of `STANDARD_RESIDUES`.

    Raises
    ------
    InputError
        If it does not fit into memory.
    """
    shape = (len(layout.changed) * SIZE, len(layout.seen), SIZE)
    try:
        jacobian = np.empty(shape, np.float32)
    except MemoryError:
        raise InputError(
            f"the Jacobian of {len(layout.changed):,} by {len(layout.seen):,} residues takes "
            f"{layout.memory / 1e9:,.0f} GB, which this machine has not free; give domains instead "
            "of whole proteins"
        ) from None
    (plain,) = run_passes(lm, [Stream(layout.ids, layout.seen)], log_probabilities=False, bar=bar)
    rows = run_passes(
        lm, _replaced(layout), max_tokens=max_tokens, log_probabilities=False, bar=bar
    )
    for number, logits in enumerate(rows):
        np.subtract(logits[:, :SIZE], plain[:, :SIZE], out=jacobian[number])
    return jacobian.reshape(len(layout.changed), SIZE, len(layout.seen), SIZE)


def _replaced(layout: Layout) -> Iterator[Stream]:
    for position in layout.changed.tolist():
        for letter in range(SIZE):
            ids = layout.ids.copy()
            ids[position] = COLUMNS.start + letter
            yield Stream(ids, layout.seen)


def contact_map(
    lm: MaskedLM, sequence: str, *, max_tokens: int = MAX_TOKENS, bar: tqdm | None = None
) -> Float32Array:
    """Return APC-corrected contact scores of a protein.

    Parameters
    ----------
    lm : MaskedLM
    sequence : str
    max_tokens, bar
        As in `categorical_jacobian`.

    Returns
    -------
    ndarray, dtype=float32, shape=(L, L)
        Symmetric, 0 on the diagonal; higher is more likely a contact.
    """
    layout = protein_layout(lm, sequence)
    if len(layout.changed) < 2:
        raise InputError("contacts need a protein of at least 2 residues")
    jacobian = centred(categorical_jacobian(lm, layout, max_tokens=max_tokens, bar=bar))
    scores = coupling(jacobian, jacobian)
    np.fill_diagonal(scores, 0)
    scores = average_product_corrected(scores)
    np.fill_diagonal(scores, 0)
    return scores


def interface_map(
    lm: MaskedLM, a: str, b: str, *, max_tokens: int = MAX_TOKENS, bar: tqdm | None = None
) -> Float32Array:
    """Return APC-corrected contact scores between two proteins, shape (len(a), len(b)).

    The proteins stand in one stream, ``[BON] a [EON] [EDGE] [BON] b [EON]``, in the order given.
    """
    there, back = (
        centred(categorical_jacobian(lm, layout, max_tokens=max_tokens, bar=bar))
        for layout in pair_layouts(lm, a, b)
    )
    return average_product_corrected(coupling(there, back))


def centred(jacobian: Float32Array) -> Float32Array:
    """Take the mean along each of the four axes off, in place."""
    for axis in range(4):
        jacobian -= jacobian.mean(axis=axis, keepdims=True)
    return jacobian


def coupling(there: Float32Array, back: Float32Array) -> Float32Array:
    """Return the Frobenius norm over residues of the mean of a Jacobian and its transpose.

    Parameters
    ----------
    there : ndarray, shape=(n, 20, m, 20)
    back : ndarray, shape=(m, 20, n, 20)

    Returns
    -------
    ndarray, dtype=float32, shape=(n, m)
    """
    scores = np.empty((there.shape[0], there.shape[2]), np.float32)
    for start in range(0, len(scores), _CENTRED_BLOCK):
        block = slice(start, start + _CENTRED_BLOCK)
        mean = (there[block] + back[:, :, block].transpose(2, 3, 0, 1)) / 2
        scores[block] = np.sqrt(np.einsum("iajb,iajb->ij", mean, mean))
    return scores


def average_product_corrected(scores: Float32Array) -> Float32Array:
    """Take off what a row and a column have of their own (Dunn et al. 2008).

    Examples
    --------
    >>> rank_one = np.outer([1.0, 2.0], [3.0, 4.0])
    >>> float(np.abs(average_product_corrected(rank_one)).max())
    0.0
    """
    total = scores.sum()
    if total == 0:
        return scores
    expected = scores.sum(0, keepdims=True) * scores.sum(1, keepdims=True) / total
    return scores - expected


def ranked_pairs(
    scores: npt.NDArray[np.floating], least_separation: int = 6, *, between: bool = False
) -> Iterator[tuple[int, int, float]]:
    """Yield positions (from 0) and scores, best first.

    Parameters
    ----------
    scores : ndarray, shape=(n, m)
    least_separation : int
        Of one protein, leave out pairs nearer than this along the chain.
    between : bool
        The scores are between two proteins: all pairs are kept.
    """
    if between:
        rows, columns = (index.ravel() for index in np.indices(scores.shape))
    else:
        rows, columns = np.triu_indices(len(scores), least_separation)
    values = scores[rows, columns]
    for k in np.argsort(-values, kind="stable").tolist():
        yield int(rows[k]), int(columns[k]), float(values[k])

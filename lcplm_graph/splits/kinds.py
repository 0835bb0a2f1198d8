"""How each kind of split shares out pairs or proteins between train, valid and test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.io import warn_once
from lcplm_graph.numeric import finite, numbers
from lcplm_graph.pairs import PairGraph, rows_of_columns
from lcplm_graph.splits.parts import Part, Parts


class Request(NamedTuple):
    """What every kind is asked: the graph, where it is from, a generator, the fractions."""

    graph: PairGraph
    data: Any
    sequences: Any
    rng: np.random.Generator
    valid: float
    test: float


class Assignment(NamedTuple):
    """Part of each pair, shape (m,); part of each protein or None; counts for `Split.info`."""

    pair_part: Parts
    node_part: Parts | None = None
    info: dict[str, Any] = {}  # noqa: RUF012 - never written to


def random_pairs(request: Request) -> Assignment:
    """Hold out pairs at random, whatever their proteins."""
    warn_once(
        "a random edge split is transductive: most held-out pairs join two proteins that training "
        "saw; report C1, C2 and C3 apart, or use kind='C3' or 'cluster' for new proteins",
        key="random split",
    )
    return Assignment(_share(len(request.graph.pairs), request))


def c1_pairs(request: Request) -> Assignment:
    """Hold out pairs at random, but only while both proteins keep a training pair."""
    part = _share(len(request.graph.pairs), request)
    returned = _return_unseen(request.graph, part)
    return Assignment(part, info={"returned_to_train": returned})


def c2_pairs(request: Request) -> Assignment:
    """Hold out proteins; held-out pairs join one of them with a training protein."""
    return by_proteins(request.graph, _share(request.graph.num_nodes, request), across=True)


def c3_pairs(request: Request) -> Assignment:
    """Hold out proteins; held-out pairs join two of them, pairs across the border are dropped."""
    return by_proteins(request.graph, _share(request.graph.num_nodes, request), inside=True)


def node_pairs(request: Request) -> Assignment:
    """Hold out proteins and a share of the training proteins' pairs: C1, C2 and C3 in one split."""
    graph = request.graph
    node_part = _share(graph.num_nodes, request)
    part = by_proteins(graph, node_part, inside=True, across=True).pair_part
    rows = np.flatnonzero((node_part[graph.pairs] == Part.TRAIN).all(axis=1))
    shared = _share(len(rows), request)
    returned = _return_unseen(graph._replace(pairs=graph.pairs[rows]), shared)
    part[rows] = shared
    return Assignment(part, node_part, {"returned_to_train": returned})


def species_pairs(
    request: Request,
    taxon: Sequence[int] | None = None,
    valid_taxa: Sequence[int] = (),
    test_taxa: Sequence[int] = (),
) -> Assignment:
    """Hold out whole species (default: species drawn until the fractions are reached)."""
    graph = request.graph
    species = _node_values(taxon, request, "taxon")
    valid_taxa, test_taxa = _taxa(valid_taxa, "valid_taxa"), _taxa(test_taxa, "test_taxa")
    if valid_taxa or test_taxa:
        missing = sorted({*valid_taxa, *test_taxa} - set(species.tolist()))
        if missing:
            raise InputError(f"no protein of this graph is of taxon {missing[0]}")
        node_part = np.full(graph.num_nodes, Part.TRAIN, np.int8)
        node_part[np.isin(species, valid_taxa)] = Part.VALID
        node_part[np.isin(species, test_taxa)] = Part.TEST
    else:
        groups = np.unique(species, return_inverse=True)[1]
        if groups.max(initial=0) < 2:
            raise InputError(
                "a species split needs at least three species, or `valid_taxa` and `test_taxa`"
            )
        node_part = share_groups(groups, request.rng, request.valid, request.test)
    return by_proteins(graph, node_part, inside=True)


def temporal_pairs(
    request: Request,
    time: Sequence[float] | None = None,
    valid_from: float | None = None,
    test_from: float | None = None,
) -> Assignment:
    """Hold out the newest pairs.

    `time` has one number per column of `edge_index` (a release, a year); the earlier one of a
    pair's two directions counts. Without cuts they are set so that the fractions are reached,
    and None for a fraction of 0; pairs of one time always stay together.
    """
    when = _pair_times(request, time)
    given = {"valid": (valid_from, request.valid), "test": (test_from, request.test)}
    for name, (cut, share) in given.items():
        if cut is None:
            continue
        check_real(cut, f"{name}_from")
        if not share:
            raise ConfigError(f"{name}=0 holds nothing out and {name}_from={cut} does; leave one")
    if test_from is None and request.test:
        test_from = float(np.quantile(when, 1 - request.test, method="higher"))
    before = when if test_from is None else when[when < test_from]
    if valid_from is None and request.valid:
        share = request.valid / max(1 - request.test, 1e-9)
        valid_from = (
            float(np.quantile(before, 1 - share, method="higher")) if len(before) else test_from
        )
    if None not in (valid_from, test_from) and valid_from > test_from:  # type: ignore[operator]
        raise ConfigError(f"valid_from ({valid_from}) lies after test_from ({test_from})")
    part = np.full(len(when), Part.TRAIN, np.int8)
    for cut, number in ((valid_from, Part.VALID), (test_from, Part.TEST)):
        if cut is not None:
            part[when >= cut] = number
    return Assignment(part, info={"valid_from": valid_from, "test_from": test_from})


def share_groups(
    groups: npt.NDArray[np.int64], rng: np.random.Generator, valid: float, test: float
) -> Parts:
    """Give whole groups (clusters, species) to test, then valid, in random order.

    A group is taken when that brings the part nearer to its fraction than leaving it.
    """
    sizes = np.bincount(groups)
    room = {Part.TEST: test * len(groups), Part.VALID: valid * len(groups)}
    group_part = np.full(len(sizes), Part.TRAIN, np.int8)
    for group in rng.permutation(len(sizes)):
        for part in (Part.TEST, Part.VALID):
            if sizes[group] <= 2 * room[part]:
                room[part] -= sizes[group]
                group_part[group] = part
                break
    return group_part[groups]


def by_proteins(
    graph: PairGraph, node_part: Parts, inside: bool = False, across: bool = False
) -> Assignment:
    """Turn parts of proteins into parts of pairs.

    Two training proteins make a training pair. `inside` holds out pairs of two proteins of one
    held-out part, `across` those of one such protein and a training one; the rest is dropped.
    """
    ends = node_part[graph.pairs]
    train = (ends == Part.TRAIN).sum(axis=1)
    part = np.full(len(ends), Part.NOWHERE, np.int8)
    part[train == 2] = Part.TRAIN
    held_out = ends.max(axis=1, initial=Part.NOWHERE)
    if inside:
        same = (train == 0) & (ends[:, 0] == ends[:, 1])
        part[same] = held_out[same]
    if across:
        # A training protein without a training pair was never seen: its pairs are not C2.
        seen = np.zeros(graph.num_nodes, bool)
        seen[graph.pairs[train == 2].ravel()] = True
        border = (
            (train == 1)
            & seen[graph.pairs].any(axis=1)
            & (ends.min(axis=1, initial=0) == Part.TRAIN)
        )
        part[border] = held_out[border]
    return Assignment(part, node_part)


def _share(count: int, request: Request) -> Parts:
    """Draw `valid` and `test` fractions of `count` things."""
    part = np.full(count, Part.TRAIN, np.int8)
    order = request.rng.permutation(count)
    n_test = round(request.test * count)
    part[order[:n_test]] = Part.TEST
    part[order[n_test : n_test + round(request.valid * count)]] = Part.VALID
    return part


def _return_unseen(graph: PairGraph, part: Parts) -> int:
    """Give held-out pairs that are not C1 back to training, in place; return how many."""
    seen = np.zeros(graph.num_nodes, bool)
    seen[graph.pairs[part == Part.TRAIN].ravel()] = True
    back = (part >= Part.VALID) & ~seen[graph.pairs].all(axis=1)
    part[back] = Part.TRAIN
    return int(back.sum())


def check_real(value: Any, name: str) -> None:
    """Raise `ConfigError` unless a number was given."""
    if not isinstance(value, Real):
        raise ConfigError(f"{name} must be a number, not {value!r:.60}")


def _taxa(values: Any, name: str) -> list[int]:
    if isinstance(values, str | bytes) or not np.iterable(values):
        raise InputError(f"`{name}` must be a list of taxa, not {values!r:.60}")
    found: list[int] = _whole(list(values), name).tolist()
    return found


def _node_values(values: Any, request: Request, name: str) -> npt.NDArray[np.int64]:
    values = getattr(request.data, name, None) if values is None else values
    if values is None:
        raise InputError(f"this graph has no `{name}`; give `{name}`, one integer per protein")
    array = _whole(values, name)
    if array.shape != (request.graph.num_nodes,):
        raise InputError(f"`{name}` has shape {array.shape}, not ({request.graph.num_nodes},)")
    return array


def _whole(values: Any, what: str) -> npt.NDArray[np.int64]:
    """Return numbers of species, which a cut fraction would make another one's."""
    array = finite(values, what)
    if array.ndim != 1 or (array != np.rint(array)).any():
        raise InputError(f"{what} must be a list of whole numbers")
    return array.astype(np.int64)


def _pair_times(request: Request, time: Any) -> npt.NDArray[np.float64]:
    time = getattr(request.data, "edge_time", None) if time is None else time
    if time is None:
        raise InputError("this graph has no `edge_time`; give `time`, one number per edge")
    values = numbers(time, "time")
    if values.shape != (request.data.edge_index.shape[1],) or np.isnan(values).any():
        raise InputError("`time` needs one number, not NaN, per column of `edge_index`")
    row = rows_of_columns(request.data, request.graph)
    when = np.full(len(request.graph.pairs), np.inf)
    np.minimum.at(when, row[row >= 0], values[row >= 0])
    return when


KINDS: dict[str, Callable[..., Assignment]] = {
    "random": random_pairs,
    "C1": c1_pairs,
    "C2": c2_pairs,
    "C3": c3_pairs,
    "node": node_pairs,
    "species": species_pairs,
    "temporal": temporal_pairs,
}

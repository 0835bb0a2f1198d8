"""Tables of tiles: what they hold, and when a remembered one may be used."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.errors import InputError
from lcplm_graph.ops import tiles
from lcplm_graph.ops.tiles import cut_into_tiles
from lcplm_graph.tokens.packing import cu_seqlens_of


def test_tiles_cover_every_token_once_and_never_cross_a_boundary() -> None:
    lengths = [1, 2, 3, 4, 5, 8, 9]
    cu = cu_seqlens_of(lengths)
    table, first = cut_into_tiles(cu, sum(lengths), 4)
    covered = [t for begin, end, *_ in table.tolist() for t in range(begin, end)]
    assert covered == list(range(sum(lengths)))
    for s in range(len(lengths)):
        rows = table[int(first[s]) : int(first[s + 1])].tolist()
        assert all(row[2:] == [int(cu[s]), int(cu[s + 1])] for row in rows)
        assert all(row[1] - row[0] <= 4 and row[2] <= row[0] < row[1] <= row[3] for row in rows)


def test_remembered_until_the_boundaries_change() -> None:
    cu = cu_seqlens_of([3, 5])
    before = cut_into_tiles(cu, 8, 4)
    assert cut_into_tiles(cu.detach(), 8, 4).table is before.table
    assert cut_into_tiles(cu, 8, 2).table is not before.table
    assert cut_into_tiles(cu.clone(), 8, 4).table is not before.table
    cu[1] = 6
    assert cut_into_tiles(cu, 8, 4).first.tolist() == [0, 2, 3]
    cu[1] = 9
    with pytest.raises(InputError, match="increase strictly"):
        cut_into_tiles(cu, 8, 4)


def test_memory_is_bounded() -> None:
    for length in range(1, 3 * tiles.MEMORY):
        cut_into_tiles(cu_seqlens_of([length]), length, 4)
    assert len(tiles._remembered) == tiles.MEMORY


def test_inference_tensors_are_read_every_time() -> None:
    with torch.inference_mode():
        cu = cu_seqlens_of([3, 5])
        assert cut_into_tiles(cu, 8, 4).first.tolist() == [0, 1, 3]
        cu[1] = 6
        assert cut_into_tiles(cu, 8, 4).first.tolist() == [0, 2, 3]

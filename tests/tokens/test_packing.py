"""Packing: boundaries, layouts and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lcplm_graph.errors import InputError, SequenceError
from lcplm_graph.tokens import packing

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(LENGTHS, st.booleans())
def test_pad_and_unpack_are_inverse(lengths: list[int], left: bool) -> None:
    packed = packing.pack([list(range(4, 4 + n)) for n in lengths])
    ids, mask = packing.pad(packed, left=left)
    assert mask[:, -1 if left else 0].all()
    indices, cu = packing.pad_mask_to_cu_seqlens(mask)
    assert torch.equal(cu, packed.cu_seqlens)
    assert torch.equal(ids.flatten()[indices], packed.input_ids)
    values = torch.rand(len(packed.input_ids), 3)
    back = packing.unpack(values, indices, *ids.shape)
    assert torch.equal(back[mask.bool()], values)
    assert (back[~mask.bool()] == 0).all()


@given(LENGTHS)
def test_per_token_helpers(lengths: list[int]) -> None:
    cu = packing.cu_seqlens_of(lengths)
    packing.check_cu_seqlens(cu, sum(lengths))
    owner = [s for s, n in enumerate(lengths) for _ in range(n)]
    assert packing.stream_ids(cu).tolist() == owner
    assert packing.positions(cu).tolist() == [i for n in lengths for i in range(n)]


@pytest.mark.parametrize(
    ("cu", "message"),
    [
        (torch.tensor([0, 4]), "must be int32"),
        (torch.tensor([[0, 4]], dtype=torch.int32), "must be int32 of shape"),
        (torch.tensor([0], dtype=torch.int32), "S >= 1"),
        (torch.tensor([1, 4], dtype=torch.int32), "run from 0"),
        (torch.tensor([0, 5], dtype=torch.int32), "number of tokens, 4"),
        (torch.tensor([0, 3, 2, 4], dtype=torch.int32), "entry 2 is 2 after 3"),
        (torch.tensor([0, 2, 2, 4], dtype=torch.int32), "empty streams"),
    ],
)
def test_bad_boundaries(cu: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        packing.check_cu_seqlens(cu, 4)


def test_bad_streams() -> None:
    with pytest.raises(InputError, match="list of streams is empty"):
        packing.pack([])
    with pytest.raises(InputError, match="stream 1 is empty"):
        packing.pack([[1], []])
    with pytest.raises(InputError, match="wrap it in a list"):
        packing.tokenize("MKT")
    with pytest.raises(SequenceError, match="protein 'second' is empty"):
        packing.tokenize(["M", ""], records=["first", "second"])
    with pytest.raises(InputError, match="int32 boundaries"):
        packing.cu_seqlens_of([2**30, 2**30])

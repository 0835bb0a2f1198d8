"""Sharding in one process: what two are needed for is in test_torchrun.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.distributed import HashStore, destroy_process_group, init_process_group
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.training.parallel import shard


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        destroy_process_group()


def test_a_single_number_is_sharded_too(mesh: DeviceMesh) -> None:
    decoder = RelationDecoder(8, channels=4, members=2)
    torch.nn.init.constant_(decoder.marker_weight, 0.5)
    decoder.marker_weight.requires_grad_(False)
    shard(decoder, mesh)
    assert all(isinstance(value, DTensor) for value in decoder.parameters())
    weight = decoder.marker_weight
    assert weight.full_tensor().tolist() == [0.5] and not weight.requires_grad
    assert decoder.project.weight.requires_grad

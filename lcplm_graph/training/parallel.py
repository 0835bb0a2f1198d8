"""Several processes: what Lightning is told under torchrun, and parameters sharded by FSDP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from lcplm_graph.training.options import TrainOptions


class FullyShardedStrategy(ModelParallelStrategy):
    """FSDP over all processes of a run; a checkpoint is one file, as with every other strategy.

    PyTorch's `fully_shard` (FSDP2), which runs on CPUs by gloo as on GPUs by NCCL.  Lightning's
    older ``FSDPStrategy`` refuses to run without GPUs, so it could not be tested.
    """

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Shard over all devices of all nodes; Lightning's default would be one per node."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        self._tensor_parallel_size = 1
        super().setup_environment()


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the parameters among the processes: every layer a unit, the rest of the model one.

    Every process must hold the same values.  A single number becomes a vector of length 1, since
    `fully_shard` takes no scalars.
    """
    for module in list(model.modules()):
        for name, value in list(module.named_parameters(recurse=False)):
            if value.dim() == 0:
                flat = nn.Parameter(value.detach().reshape(1), requires_grad=value.requires_grad)
                setattr(module, name, flat)
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


@contextmanager
def closed_process_group() -> Iterator[None]:
    """Close the process group that Lightning opens within this context, when all are through.

    Lightning leaves gloo's open.  No process ends before the first one has written the model:
    torchrun stops the others as soon as one of them fails, and on busy machines some abort when
    they end.
    """
    distributed = torch.distributed
    if not distributed.is_available() or distributed.is_initialized():
        yield
        return
    try:
        yield
        if distributed.is_initialized():
            distributed.barrier()
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def trainer_layout(options: TrainOptions) -> dict[str, Any]:
    """Devices, nodes and strategy for Lightning's trainer.

    Under torchrun ``devices`` may stay ``auto``: there are as many as processes were started.
    """
    devices, nodes = options.devices, options.nodes
    if torch.distributed.is_torchelastic_launched() and devices == "auto":
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["GROUP_WORLD_SIZE"])
    strategy = FullyShardedStrategy() if options.strategy == "fsdp" else options.strategy
    return {"devices": devices, "num_nodes": nodes, "strategy": strategy}

"""Batches of an `EmbedJob` as tasks on a Ray cluster, or on a local one that is started for it.

Tasks, not actors: Ray itself retries a task whose worker or machine died, and hands it to
whichever worker is free, also to those that join later.  Their order is that of the batches, so
the job writes as it would without Ray, and a batch that was computed twice is written once.
"""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch

from lcplm_graph.errors import BackendError, ConfigError
from lcplm_graph.features.engines import Engine, Recipe
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.options import check_count
from lcplm_graph.process import default_device, keep_freed_memory, use_torch_threads

# A task takes seconds on a processor, and its values some ten MB of the object store.
_RESIDUES_PER_TASK = 1 << 16
_ROWS_PER_TASK = 1 << 13
# Beyond what runs: finished tasks that wait for one before them, and the next ones to run.
_TASKS_PER_WORKER = 3
_RETRIES = 5
_ROOM_PER_WORKER = 128 << 20


def ray_engine(workers: int | None = None) -> Engine:
    """Connect to Ray and make an engine of it.

    Parameters
    ----------
    workers : int, optional
        Tasks that run at once, each with one processor, or one GPU where the cluster has any.
        Default: the cluster's GPUs, or its processors but one, which is left for Ray and for the
        job itself; without a cluster a local one with as many workers as this machine has
        processors.

    Returns
    -------
    Engine

    Raises
    ------
    BackendError
        If Ray is not installed; when it runs, if no Ray answers at ``RAY_ADDRESS``.
    ConfigError
        If `workers` is below 1; when it runs, if the cluster has fewer processors or GPUs.

    Notes
    -----
    A running Ray of this process is used, else the cluster that ``RAY_ADDRESS`` names, else a
    local one is started, without dashboard and without usage statistics.  The encoder goes to
    the workers through Ray's object store, once per machine; they need this package, not the
    encoder's files.
    """
    if workers is not None:
        check_count(workers, "workers")
    ray = _ray()

    def engine(
        encoder: Encoder, recipe: Recipe, batches: Iterable[list[str]]
    ) -> Iterator[np.ndarray]:
        own = not ray.is_initialized()
        if own:
            _connect(ray, workers, sum(t.nbytes for t in encoder.state_dict().values()))
        try:
            kind, count = _share(ray.cluster_resources(), workers)
            remote = ray.remote(num_cpus=1, num_gpus=int(kind == "GPU"), max_retries=_RETRIES)
            compute, held = remote(_compute), [ray.put(_on_cpu(encoder))]
            tasks = (compute.remote(held, recipe, group) for group in _groups(batches, recipe))
            yield from _in_order(ray, tasks, count * _TASKS_PER_WORKER)
        finally:
            if own:
                ray.shutdown()

    return engine


def _on_cpu(encoder: Encoder) -> Encoder:
    """Return an encoder that any machine can hold; the caller's stays where it is."""
    return encoder if encoder.device.type == "cpu" else copy.deepcopy(encoder).cpu()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise BackendError(
            "engine ray needs Ray, which is not installed; pip install 'lcplm-graph[ray]'"
        ) from None
    return ray


def _connect(ray: Any, workers: int | None, encoder_bytes: int) -> None:
    options: dict[str, Any] = {}
    if not os.environ.get("RAY_ADDRESS"):
        # Tasks that took every declared processor would leave none to Ray's own helpers.
        cpus = (workers or os.cpu_count() or 1) + 1
        room = 2 * encoder_bytes + cpus * _ROOM_PER_WORKER
        options = {"num_cpus": cpus, "object_store_memory": room, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except ConnectionError as error:
        where = os.environ.get("RAY_ADDRESS", "this machine")
        raise BackendError(f"no Ray answers at {where} ({error}); is it running?") from error


def _share(resources: dict[str, float], workers: int | None) -> tuple[str, int]:
    """Tell what a task takes, and how many run at once."""
    kind = "GPU" if resources.get("GPU", 0) >= 1 else "CPU"
    have = int(resources.get(kind, 0))
    count = workers or (have if kind == "GPU" else max(1, have - 1))
    if count > have:
        raise ConfigError(
            f"{count} workers need as many {kind}s, but this Ray has {have}; give fewer workers "
            "or add machines"
        )
    return kind, count


def _groups(batches: Iterable[list[str]], recipe: Recipe) -> Iterator[list[list[str]]]:
    """Join consecutive batches to tasks of a useful size."""
    group: list[list[str]] = []
    residues = 0
    for batch in batches:
        group.append(batch)
        residues += sum(map(len, batch))
        if residues >= (_RESIDUES_PER_TASK if recipe.pool else _ROWS_PER_TASK):
            yield group
            group, residues = [], 0
    if group:
        yield group


def _in_order(ray: Any, tasks: Iterator[Any], window: int) -> Iterator[np.ndarray]:
    """Results of tasks in their order, `window` of them under way."""
    waiting = deque(islice(tasks, window))
    try:
        while waiting:
            results = _result(ray, waiting.popleft())
            waiting.extend(islice(tasks, 1))
            yield from results
    finally:
        for task in waiting:
            ray.cancel(task)


def _result(ray: Any, task: Any) -> list[np.ndarray]:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        raise BackendError(
            f"a batch failed {_RETRIES + 1} times with the worker that computed it ({error}); "
            "what was done before is kept: give fewer --workers or --max-tokens, and run the "
            "same command again"
        ) from error


def _compute(held: list[Any], recipe: Recipe, group: list[list[str]]) -> list[np.ndarray]:
    encoder = _encoder_of(held[0])
    return [recipe.values(encoder, batch) for batch in group]


@lru_cache(maxsize=1)
def _encoder_of(reference: Any) -> Encoder:
    """Fetch the encoder once per worker process."""
    import ray

    torch.set_num_threads(1)
    use_torch_threads()
    keep_freed_memory()
    return ray.get(reference).to(default_device())

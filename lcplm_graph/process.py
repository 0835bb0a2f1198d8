"""Settings of the whole process: threads, torch's generator, and what the C library keeps."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, TypeVar

import torch

from lcplm_graph.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_INT = 2**31 - 1
_DYNAMIC_MMAP = 32 << 20
_kept = False
_one_draws = threading.RLock()
_lost_threads = _relaunched = False


class _Blocks:
    """The blocks, of all threads, that hold a setting of the whole process.

    Those of several threads end in any order: the first that begins knows what was before, which
    a later one would find changed.
    """

    def __init__(self, get: Callable[[], Any], set_to: Callable[[Any], None]) -> None:
        self.get, self.set_to = get, set_to
        self.before: Any = None
        self.values: dict[tuple[int, object], Any] = {}
        self.only_this_thread()

    def only_this_thread(self) -> None:
        """Forget the blocks of other threads, which are gone in a forked process."""
        self.lock, mine = threading.Lock(), threading.get_ident()
        self.values = {block: value for block, value in self.values.items() if block[0] == mine}

    @contextmanager
    def holding(self, value: Any) -> Iterator[Any]:
        """Set a value; after it set what the last block that runs has set, or was before all."""
        block = threading.get_ident(), object()
        with self.lock:
            if not self.values:
                self.before = self.get()
            self.values[block] = value
            self.set_to(value)
        try:
            yield self.before
        finally:
            with self.lock:
                self.values.pop(block, None)
                self.set_to(next(reversed(self.values.values()), self.before))


_single = _Blocks(torch.get_num_threads, torch.set_num_threads)
_dtypes = _Blocks(torch.get_default_dtype, torch.set_default_dtype)
_own = threading.local()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread on the CPU inside the block.

    Sums that are shared out over threads (batch normalisation, the gradient of gathered rows) are
    rounded differently for each number of threads.  Training makes such a difference, 1e-7 at
    first, large enough to stop at another step.
    """
    is_inner = getattr(_own, "is_single", False)
    _own.is_single = True
    try:
        with _single.holding(1) as before:
            yield
    finally:
        _own.is_single = is_inner
        if not is_inner:
            # Each thread has a number of its own, and a new one that of the last change.
            torch.set_num_threads(before)


def _stay_single() -> None:
    """Let this thread compute in one thread for good; its blocks of `one_thread` are inner ones."""
    _own.is_single = True


def default_device() -> torch.device:
    """Return the first GPU if CUDA runs here, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def chosen_device(name: str | torch.device | None) -> torch.device:
    """Return the device of a name, after a first tensor on it; None is `default_device`.

    Raises
    ------
    ConfigError
        If there is no such device here.
    """
    return default_device() if name is None else checked_device(name)


def checked_device(name: str | torch.device) -> torch.device:
    """Return the device of a name, after a first tensor on it.

    Raises
    ------
    ConfigError
        If there is no such device here, or it is one that computes nothing.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        # torch built without CUDA raises an assertion of its own.
        reason = str(error).splitlines()[0]
        raise ConfigError(f"there is no device {str(name)!r} here ({reason})") from error
    if device.type == "meta":
        raise ConfigError("device 'meta' holds no numbers to compute with; give cpu, cuda, ...")
    return device


@contextmanager
def on_cpu() -> Iterator[None]:
    """Let torch make tensors on the CPU inside the block, whatever the caller's default device is.

    Where that is the CPU nothing is done: a device as context slows every call of torch.

    Examples
    --------
    >>> with torch.device("meta"), on_cpu():
    ...     print(torch.ones(2).device)
    cpu
    """
    if torch.get_default_device().type == "cpu":
        yield
        return
    with torch.device("cpu"):
        yield


@contextmanager
def without_autocast() -> Iterator[None]:
    """Let torch compute inside the block in the dtypes that tensors have.

    What is kept under the name of a model must not depend on the caller's `torch.autocast`.

    Examples
    --------
    >>> x = torch.ones(2, 2)
    >>> with torch.autocast("cpu", dtype=torch.bfloat16), without_autocast():
    ...     print((x @ x).dtype)
    torch.float32
    """
    with ExitStack() as stack:
        accelerator = torch.accelerator.current_accelerator()
        for kind in ("cpu", *([] if accelerator is None else [accelerator.type])):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Let torch make tensors of this dtype inside the block, whatever the caller's default is."""
    with _dtypes.holding(dtype):
        yield


@contextmanager
def seeded(seed: int, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Let torch draw from this seed inside the block, and go on after it as if nothing had been.

    Torch's generator is the whole process's, so of several threads one at a time is inside.

    Parameters
    ----------
    seed : int
    devices : sequence of torch.device
        GPUs whose generators are kept, too.

    Examples
    --------
    >>> with seeded(1):
    ...     one = torch.rand(1)
    >>> with seeded(1):
    ...     other = torch.rand(1)
    >>> bool(one == other)
    True
    """
    with _one_draws, torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield


@contextmanager
def initialised(seed: int) -> Iterator[None]:
    """Let modules be made inside the block with weights of this seed.

    They are float32 and on the CPU, whatever the caller's default dtype and device are.

    Examples
    --------
    >>> with initialised(1):
    ...     one = torch.nn.Linear(2, 3)
    >>> with torch.device("meta"), initialised(1):
    ...     other = torch.nn.Linear(2, 3)
    >>> bool((one.weight == other.weight).all())
    True
    """
    with seeded(seed), default_dtype(torch.float32), on_cpu():
        yield


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``function(item)`` for each item, at the same time in as many threads as torch has.

    Inside, torch computes in one thread for each item, so the results do not depend on how many
    run at once.  The function must not draw from torch's global generator.  Ctrl-C takes effect
    when those that run have ended.

    Examples
    --------
    >>> in_threads(lambda k: k * k, [1, 2, 3])
    [1, 4, 9]
    """
    workers = max(1, min(len(items), torch.get_num_threads()))
    with one_thread(), ThreadPoolExecutor(workers, initializer=_stay_single) as pool:
        return list(pool.map(function, items))


def use_torch_threads() -> None:
    """Make Numba kernels use as many threads as torch does; every parallel kernel calls this first.

    In a process that was forked after threads had started there are none left, and GNU OpenMP ends
    the process that asks for them.  Kernels then run in one thread, with the same results.
    """
    from numba import config, set_num_threads

    if _lost_threads:
        _run_without_threads()
        set_num_threads(1)
        return
    _start_numba_threads()
    available: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set at import
    set_num_threads(min(torch.get_num_threads(), available))


@cache
def _start_numba_threads() -> None:
    """Start Numba's threads without changing torch's.

    Numba's OpenMP layer sets the thread count of the whole process when it starts, which would
    undo an earlier `torch.set_num_threads`.
    """
    from numba.np.ufunc.parallel import _launch_threads

    threads = torch.get_num_threads()
    _launch_threads()
    torch.set_num_threads(threads)


def _after_fork() -> None:
    """Note in a forked process that Numba's threads are lost, if there were any."""
    global _lost_threads, _relaunched, _one_draws
    _one_draws = threading.RLock()  # another thread, which is gone here, may have held it
    for blocks in (_single, _dtypes):
        blocks.only_this_thread()
    numba_threads = sys.modules.get("numba.np.ufunc.parallel")
    if numba_threads is not None and getattr(numba_threads, "_is_initialized", False):
        _lost_threads, _relaunched = True, False
        # Torch's are lost too; what comes before the first kernel would wait for them.
        torch.set_num_threads(1)


def _run_without_threads() -> None:
    """Tell Numba's OpenMP layer once that this process, with one thread, is its own now."""
    global _relaunched
    if _relaunched:
        return
    _relaunched = True
    from numba import threading_layer

    if threading_layer() != "omp":
        return  # the other layers start their threads again by themselves
    layer = importlib.import_module("numba.np.ufunc.omppool")
    ctypes.CFUNCTYPE(None, ctypes.c_int)(layer.launch_threads)(1)
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tensors; for whole processes of our own.

    glibc gives large blocks back to the system, and the next tensor then pays a page fault every
    4 KiB.  Other C libraries are left as they are.
    """
    global _kept
    _kept = True
    _set_malloc(_LARGEST_INT, _LARGEST_INT)


@contextmanager
def reused_memory() -> Iterator[None]:
    """Keep freed memory for the next tensors within this context, in any process.

    Then all of it goes back to the system, and glibc is left with the thresholds it reaches by
    itself where arrays of many megabytes come and go.
    """
    global _kept
    if _kept:
        yield
        return
    keep_freed_memory()
    try:
        yield
    finally:
        _kept = False
        _set_malloc(_DYNAMIC_MMAP, 2 * _DYNAMIC_MMAP)
        return_freed_memory()


def _set_malloc(mmap: int, trim: int) -> None:
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, mmap)
        libc.mallopt(_M_TRIM_THRESHOLD, trim)


def return_freed_memory() -> None:
    """Give all freed memory back to the system now, also that between blocks in use (glibc)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)

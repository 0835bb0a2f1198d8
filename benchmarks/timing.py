"""Interleaved timing: A, B, A, B, ... in one process, so that a drifting machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Case = Callable[[], object]


def interleaved(cases: dict[str, Case], repeats: int = 5, warmup: int = 1) -> dict[str, float]:
    """Median seconds of every case, measured in turn."""
    for _ in range(warmup):
        for run in cases.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, run in cases.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def table(rows: list[tuple], header: tuple) -> str:
    """Lay rows out as a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)

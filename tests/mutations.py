"""Damaged copies of a file, by a seed: what disks, downloads, editors and bad writers do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TEXTS = (
    b"NaN", b"-1", b"1e999", b"null", b"[]", b"{}", b'"x"', b"true", b"99999999999999999999", b"0",
    b"../x", b"\x00", b"\xff\xfe", b"\n", b",", b":", b"}", b"[" * 50,
)  # fmt: skip


def mutated(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Give `count` damaged copies, always the same for a seed."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        data = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            _damage(data, rng)
        yield bytes(data)


def _damage(data: bytearray, rng: np.random.Generator) -> None:
    kind, at = int(rng.integers(8)), int(rng.integers(len(data) + 1))
    stop = min(at + int(rng.integers(1, 40)), len(data))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at:stop]
    elif kind == 2 and at < len(data):
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 3:
        data[at:at] = rng.integers(0, 256, 5, dtype=np.uint8).tobytes()
    elif kind == 4:
        data[at:at] = data[at:stop]
    elif kind == 5:
        data[at:stop] = TEXTS[int(rng.integers(len(TEXTS)))]
    elif kind == 6:
        _replace_value(data, rng)
    else:
        data[at:stop] = bytes(stop - at)


def _replace_value(data: bytearray, rng: np.random.Generator) -> None:
    """Put something else after a colon or comma: most files here are text of keys and values."""
    places = [i for i, byte in enumerate(data[:5000]) if byte in b":,"]
    if places:
        at = places[int(rng.integers(len(places)))] + 1
        stop = at
        while stop < len(data) and data[stop] not in b",\n}":
            stop += 1
        data[at:stop] = TEXTS[int(rng.integers(len(TEXTS)))]

"""Human proteins as they come, from strings to pooled vectors: ours and EsmModel.

``python benchmarks/ragged.py`` starts one process for each way, lets them take turns, and prints
medians as a table: residues a second, and seconds of all cores.  Weights are random; sizes are
equal (`8m`: 7.4 M parameters).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

WAYS = {
    "ours": ("ours", "float32", False),
    "ours, bfloat16": ("ours", "bfloat16", False),
    "EsmModel, sorted batches": ("esm", "float32", True),
    "EsmModel, sorted batches, bfloat16": ("esm", "bfloat16", True),
    "EsmModel, as they come": ("esm", "float32", False),
    "EsmModel, as they come, bfloat16": ("esm", "bfloat16", False),
}
MAX_TOKENS = 4096


def proteins(count: int) -> list[str]:
    import numpy as np

    from lcplm_graph.heads.names import KnownProteins

    store = KnownProteins.embedded("string_human_core").store
    chosen = np.random.default_rng(0).choice(len(store), count, replace=False)
    return [store[int(i)] for i in chosen]


def ours(dtype: str) -> Callable[[list[str]], None]:
    from lcplm_graph.models.encoders import load_encoder

    encoder = load_encoder("random:8m", dtype=dtype)
    return lambda sequences: encoder.embed(sequences, "mean", max_tokens=MAX_TOKENS)


def esm(dtype: str, sort: bool) -> Callable[[list[str]], None]:
    import torch
    from encoder import equal_size_esm

    from lcplm_graph.models.encoders import load_encoder
    from lcplm_graph.tokens.packing import tokenize

    size = sum(p.numel() for p in load_encoder("random:8m").parameters())
    model = equal_size_esm(size).esm.to(getattr(torch, dtype))

    def run(sequences: list[str]) -> None:
        ordered = sorted(sequences, key=len, reverse=True) if sort else list(sequences)
        while ordered:
            size, longest = 0, 0
            # As many as fit the budget with their padding.
            while size < len(ordered):
                longest = max(longest, len(ordered[size]) + 2)
                if size and longest * (size + 1) > MAX_TOKENS:
                    break
                size += 1
            batch, ordered = ordered[:size], ordered[size:]
            rows = [tokenize([s]).input_ids for s in batch]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=1)
            mask = (ids != 1).long()
            with torch.inference_mode():
                states = model(ids, attention_mask=mask).last_hidden_state.float()
                inside = (mask * (ids != 0) * (ids != 2))[..., None]
                (states * inside).sum(1) / inside.sum(1)

    return run


def serve(way: str, count: int) -> None:
    """Compute once for every line of the input; print seconds of the clock and of all cores."""
    library, dtype, sort = WAYS[way]
    run = ours(dtype) if library == "ours" else esm(dtype, sort)
    sequences = proteins(count)
    run(sequences[:4])
    print(sum(map(len, sequences)), flush=True)
    for _ in sys.stdin:
        clock, cores = time.perf_counter(), time.process_time()
        run(sequences)
        print(time.perf_counter() - clock, time.process_time() - cores, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proteins", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.proteins)
        return
    command = [sys.executable, __file__, "--proteins", str(options.proteins), "--serve"]
    pipe = subprocess.PIPE
    servers = {
        way: subprocess.Popen([*command, way], stdin=pipe, stdout=pipe, text=True)
        for way in options.ways
    }
    residues = {way: int(server.stdout.readline()) for way, server in servers.items()}
    times: dict[str, list[tuple[float, ...]]] = {way: [] for way in servers}
    for _ in range(options.repeats):
        for way, server in servers.items():
            server.stdin.write("\n")
            server.stdin.flush()
            times[way].append(tuple(map(float, server.stdout.readline().split())))
    print(f"{options.proteins} proteins, {max(residues.values()):,} residues, "
          f"medians of {options.repeats}\n")  # fmt: skip
    print("| way | residues/s | core-seconds | of the clock |\n|---|---|---|---|")
    for way, server in servers.items():
        clock, cores = (statistics.median(column) for column in zip(*times[way], strict=True))
        print(f"| {way} | {residues[way] / clock:,.0f} | {cores:.2f} | {clock:.2f} |", flush=True)
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    main()

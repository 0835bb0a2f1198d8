"""Human proteins as they come, from strings to pooled vectors: ours, EsmModel and esm-cpp.

``python benchmarks/ragged.py`` starts one process for each way, lets them take turns, and prints
medians as a table: residues a second, and seconds of all cores.  Weights are random; the others
have the shape of the ESM-2 of each size, ours about as many parameters.  esm-cpp is left out where
it is not installed; it runs on every core unless ``--threads`` says otherwise.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM


class Way(NamedTuple):
    """A library, what it computes with, and whether its batches are sorted by length."""

    library: str
    precision: str
    sorted: bool = False


WAYS = {
    "ours": Way("ours", "float32"),
    "ours, bfloat16": Way("ours", "bfloat16"),
    "EsmModel, sorted batches": Way("esm", "float32", sorted=True),
    "EsmModel, sorted batches, bfloat16": Way("esm", "bfloat16", sorted=True),
    "EsmModel, as they come": Way("esm", "float32"),
    "EsmModel, as they come, bfloat16": Way("esm", "bfloat16"),
    "esm-cpp": Way("cpp", "float32"),
    "esm-cpp, int8": Way("cpp", "int8"),
}
SIZES = {
    "8m": ((384, 7), (320, 6)),
    "35m": ((512, 20), (480, 12)),
    "150m": ((768, 37), (640, 30)),
}
"""Width and layers of ours, and of the ESM-2 that the size is called after, with 20 heads: 7.4 and
7.4, 36.5 and 33.3, 148.3 and 147.7 million parameters."""
MAX_TOKENS = 4096


def proteins(count: int) -> list[str]:
    import numpy as np

    from lcplm_graph.heads.names import KnownProteins

    store = KnownProteins.embedded("string_human_core").store
    chosen = np.random.default_rng(0).choice(len(store), count, replace=False)
    return [store[int(i)] for i in chosen]


def ours(size: str, dtype: str) -> Callable[[list[str]], None]:
    import torch

    from lcplm_graph import LcPlmConfig
    from lcplm_graph.models.encoders import LcPlmEncoder
    from lcplm_graph.models.modeling import LcPlmForMaskedLM

    (width, layers), _ = SIZES[size]
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=width, n_layer=layers))
    encoder = LcPlmEncoder(model.to(getattr(torch, dtype))).eval()
    return lambda sequences: encoder.embed(sequences, "mean", max_tokens=MAX_TOKENS)


def esm2(size: str) -> EsmForMaskedLM:
    """ESM-2 of a size, with random weights."""
    import torch
    from transformers import EsmConfig, EsmForMaskedLM

    _, (width, layers) = SIZES[size]
    torch.manual_seed(0)
    return EsmForMaskedLM(EsmConfig(
        vocab_size=33, hidden_size=width, num_hidden_layers=layers, num_attention_heads=20,
        intermediate_size=4 * width, max_position_embeddings=1026, layer_norm_eps=1e-5,
        position_embedding_type="rotary", token_dropout=True, pad_token_id=1, mask_token_id=32,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
    )).eval()  # fmt: skip


def cpp(size: str, precision: str) -> Callable[[list[str]], None]:
    """esm-cpp on the same weights, under the names that Hugging Face's releases before 5 had.

    For many sequences it gives logits only, so these are pooled.
    """
    import esm_cpp
    import numpy as np
    import torch
    from safetensors.torch import save_file

    model = esm2(size)
    config = model.config
    state = {k: v.clone() for k, v in model.state_dict().items()}
    half = config.hidden_size // config.num_attention_heads // 2
    frequency = 1.0 / 10_000 ** (torch.arange(half) / half)
    for layer in range(config.num_hidden_layers):
        state[f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"] = (
            frequency.clone()
        )
    heads = config.num_hidden_layers * config.num_attention_heads
    state |= {
        "lm_head.bias": torch.zeros(33), "lm_head.decoder.bias": torch.zeros(33),
        "lm_head.decoder.weight": state["esm.embeddings.word_embeddings.weight"].clone(),
        "esm.embeddings.position_embeddings.weight": torch.zeros(1026, config.hidden_size),
        "esm.embeddings.position_ids": torch.arange(1026)[None],
        "esm.contact_head.regression.weight": torch.zeros(1, heads),
        "esm.contact_head.regression.bias": torch.zeros(1),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        save_file(state, f"{folder}/model.safetensors")
        engine = esm_cpp.Model.load_from_safetensors(f"{folder}/model.safetensors")
    if precision == "int8":
        engine.quantize_weights()
    tokens = esm_cpp.Tokenizer()

    def run(sequences: list[str]) -> None:
        ids = [np.array(tokens.encode(s, True, False), dtype=np.int32) for s in sequences]
        for logits in engine.forward_scheduled(ids):
            logits[1:-1].mean(0)

    return run


def esm(size: str, dtype: str, sort: bool) -> Callable[[list[str]], None]:
    import torch

    from lcplm_graph.tokens.packing import tokenize

    model = esm2(size).esm.to(getattr(torch, dtype))

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


def serve(name: str, size: str, count: int, threads: int) -> None:
    """Compute once for every line of the input; print seconds of the clock and of all cores."""
    import torch

    torch.set_num_threads(threads)
    way = WAYS[name]
    if way.library == "cpp":
        run = cpp(size, way.precision)
    elif way.library == "esm":
        run = esm(size, way.precision, way.sorted)
    else:
        run = ours(size, way.precision)
    sequences = proteins(count)
    run(sequences[:4])
    print(sum(map(len, sequences)), flush=True)
    for _ in sys.stdin:
        clock, cores = time.perf_counter(), time.process_time()
        run(sequences)
        print(time.perf_counter() - clock, time.process_time() - cores, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="8m")
    parser.add_argument("--proteins", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.size, options.proteins, options.threads)
        return
    ways = options.ways
    if importlib.util.find_spec("esm_cpp") is None:
        print("esm-cpp is not installed and left out")
        ways = [way for way in ways if WAYS[way].library != "cpp"]
    command = [sys.executable, __file__]
    for option in ("size", "proteins", "threads"):
        command += [f"--{option}", str(getattr(options, option))]
    pipe, environment = subprocess.PIPE, os.environ | {"ESM_NUM_THREADS": str(options.threads)}
    servers = {
        way: subprocess.Popen(
            [*command, "--serve", way], stdin=pipe, stdout=pipe, text=True, env=environment
        )
        for way in ways
    }
    residues = {way: int(server.stdout.readline()) for way, server in servers.items()}
    times: dict[str, list[tuple[float, ...]]] = {way: [] for way in servers}
    for _ in range(options.repeats):
        for way, server in servers.items():
            server.stdin.write("\n")
            server.stdin.flush()
            times[way].append(tuple(map(float, server.stdout.readline().split())))
    print(f"{options.size}: {options.proteins} proteins, {max(residues.values()):,} residues, "
          f"{options.threads} threads, medians of {options.repeats}\n")  # fmt: skip
    print("| way | residues/s | core-seconds | of the clock |\n|---|---|---|---|")
    for way, server in servers.items():
        clock, cores = (statistics.median(column) for column in zip(*times[way], strict=True))
        print(f"| {way} | {residues[way] / clock:,.0f} | {cores:.2f} | {clock:.2f} |", flush=True)
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    main()

"""What large jobs cost, from unit costs measured here: writes scaling.md and scaling.png.

    taskset -c 1 python benchmarks/scaling.py

Processor seconds on one core, so that a shared machine matters little; about three minutes.
What is computed from them for UniRef50 and STRING is multiplication, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from data import write_fasta, write_links
from timing import cpu_name, table
from walks import heavy_tailed_split

from lcplm_graph import LcPlmConfig, LcPlmForMaskedLM, load_encoder
from lcplm_graph.datasets.links import read_links
from lcplm_graph.features.embed import EmbedJob
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.packing import cu_seqlens_of
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

HERE = Path(__file__).parent
EMBEDDED = ("1m", "8m", "35m", "130m")
TRAINED = ("1m", "8m", "35m")
LENGTHS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
COUNTS = (100, 200, 400, 800)
CORES = 64
DAYS = 7


class Job(NamedTuple):
    """A large data set; sizes as published, mean lengths assumed."""

    name: str
    proteins: float
    residues_each: int
    edges: float = 0.0


JOBS = (
    Job("UniRef50", 60e6, 300),
    Job("STRING-all", 59e6, 350, 20e9),
    Job("250 M proteins", 250e6, 350),
)


def cpu_seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Median processor time of this process, after a run that warms up."""
    run()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return float(np.median(seconds))


def embedding(preset: str, length: int = 512, streams: int = 4, repeats: int = 3) -> float:
    """Seconds per residue of mean-pooled embeddings."""
    encoder = load_encoder(f"random:{preset}")
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    proteins = ["".join(rng.choice(letters, length)) for _ in range(streams)]
    return cpu_seconds(lambda: encoder.embed(proteins), repeats) / (length * streams)


def training(preset: str, tokens: int = 2048) -> float:
    """Tokens per second of forward, backward and optimiser step."""
    model = LcPlmForMaskedLM(LcPlmConfig.from_preset(preset)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ids = torch.randint(4, 24, (1, tokens))
    cu_seqlens = cu_seqlens_of([512] * (tokens // 512))

    def step() -> None:
        model(ids, cu_seqlens=cu_seqlens, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return tokens / cpu_seconds(step)


def folder_bytes(folder: Path, *names: str) -> int:
    return sum((folder / f"{name}.npy").stat().st_size for name in names)


def walking(folder: Path) -> dict[str, float]:
    split = heavy_tailed_split(1_000_000)
    edges = len(split.message)
    WalkSampler(split, 5).save(folder / "plain")
    WalkSampler(split, 5, weighted=True).save(folder / "weighted")
    mapped = WalkSampler.open(folder / "plain", 81)
    steps = 20_000 * 80
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(6.0, 0.7, split.num_nodes)).astype(np.int64).clip(40, 8000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    residues = ResidueTable(rng.integers(4, 24, offsets[-1]).astype(np.uint8), offsets)
    stream = WalkStream(WalkSampler.open(folder / "plain", 5), residues, max_tokens=1024)
    tokens = sum(len(stream.batch(b, 65_536).input_ids) for b in range(10))
    rate = cpu_seconds(lambda: [stream.batch(b, 65_536) for b in range(10)])
    return {
        "walk_steps_per_s": steps / cpu_seconds(lambda: mapped.walks(0, 20_000)),
        "walk_tokens_per_s": tokens / rate,
        "graph_bytes_per_edge": folder_bytes(folder / "plain", "indices") / edges,
        "weighted_bytes_per_edge": folder_bytes(
            folder / "weighted", "indices", "weight", "alias"
        ) / edges,
        "graph_bytes_per_protein": folder_bytes(folder / "plain", "indptr") / split.num_nodes,
    }  # fmt: skip


def reading(folder: Path) -> dict[str, float]:
    links, fasta = folder / "links.txt.gz", folder / "proteins.fa"
    write_links(links, 2_000_000)
    ids = links.with_suffix(".ids").read_text().split()
    rows = read_links(links, ids, prefix="9606.").report["rows"]
    write_fasta(fasta, [f"P{i:08d}" for i in range(20_000)])
    store = SequenceStore.from_fasta(fasta, folder / "proteins.arrow")
    residues = int(store.lengths.sum())
    extra = (folder / "proteins.arrow").stat().st_size - residues
    return {
        "link_s_per_million_rows": cpu_seconds(lambda: read_links(links, ids, prefix="9606."))
        / rows * 1e6,
        "fasta_s_per_million_residues": cpu_seconds(lambda: SequenceStore.from_fasta(fasta))
        / residues * 1e6,
        "store_bytes_per_protein": extra / len(store),
        "store_bytes_per_residue": 1.0,
    }  # fmt: skip


def plan_bytes(folder: Path, proteins: int = 100_000) -> float:
    """Memory of an embedding job's plan, bytes per protein, in a process of its own."""
    fasta = folder / "many.fa"
    write_fasta(fasta, [f"P{i:08d}" for i in range(proteins)])
    code = (
        "import sys, re; from pathlib import Path\n"
        "from lcplm_graph.features.embed import EmbedJob\n"
        "from lcplm_graph.models.encoders import load_encoder\n"
        "now = lambda: int(re.search(r'RssAnon:\\s+(\\d+)', "
        "Path('/proc/self/status').read_text())[1])\n"
        "encoder = load_encoder('composition'); before = now()\n"
        "job = EmbedJob(sys.argv[1], encoder, sys.argv[1] + '.parquet')\n"
        "print(now() - before)"
    )
    said = subprocess.check_output([sys.executable, "-c", code, str(fasta)], text=True)
    return int(said.split()[-1]) * 1024 / proteins


def by_count(folder: Path) -> list[float]:
    """Processor seconds of whole embedding jobs of so many proteins (1m)."""
    seconds = []
    encoder = load_encoder("random:1m")
    for count in COUNTS:
        fasta = folder / f"{count}.fa"
        write_fasta(fasta, [f"P{i:08d}" for i in range(count)])
        started = time.process_time()
        EmbedJob(fasta, encoder, folder / f"{count}.parquet").run(progress=False)
        seconds.append(time.process_time() - started)
    return seconds


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, intercept and R squared of a straight line."""
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - slope * x - intercept
    return float(slope), float(intercept), float(1 - residual.var() / y.var())


def draw(path: Path, lengths: list[float], counts: list[float]) -> list[float]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), constrained_layout=True)
    fits = []
    for axis, xs, ys, label, title in (
        (axes[0], LENGTHS, lengths, "residues of one protein", "8m, one protein"),
        (axes[1], COUNTS, counts, "proteins", "1m, whole embedding jobs"),
    ):
        x, y = np.array(xs), np.array(ys)
        slope, intercept, fit = line(x, y)
        fits.append(fit)
        axis.plot(x, y, "o", label="measured")
        axis.plot(x, slope * x + intercept, "-", color="0.5", label=f"line, R² = {fit:.4f}")
        axis.set(xlabel=label, ylabel="processor seconds", title=title, xlim=(0, None))
        axis.set_ylim(0, None)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return fits


def measure() -> dict[str, object]:
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        units: dict[str, object] = {**reading(folder), **walking(folder)}
        units["plan_bytes_per_protein"] = plan_bytes(folder)
        units["seconds_by_count"] = by_count(folder)
        units["seconds_by_length"] = [n * embedding("8m", n, 1, 1) for n in LENGTHS]
        units["embedding_us"] = {
            p: 1e6 * embedding(p, repeats=1 if p == "130m" else 3) for p in EMBEDDED
        }
        units["training_tokens_per_s"] = {p: training(p) for p in TRAINED}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    units["machine"] = {
        "cpu": cpu_name(),
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "load": f"{load:.1f} on {os.cpu_count()} cores",
        **versions,
    }
    return units


def size(count: float) -> str:
    for factor, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.3g} B"


def unit_rows(units: dict) -> list[tuple]:
    def unit(name: str, form: str, scale: float = 1.0) -> str:
        return format(units[name] * scale, form)

    rows = [(f"embedding, {p}", f"{us:,.1f} µs/residue") for p, us in units["embedding_us"].items()]
    for preset, rate in units["training_tokens_per_s"].items():
        rows.append((f"training, {preset}", f"{rate:,.0f} tokens/s"))
    edge, weighted = unit("graph_bytes_per_edge", ".0f"), unit("weighted_bytes_per_edge", ".0f")
    return [
        *rows,
        ("reading STRING links (gzip)", unit("link_s_per_million_rows", ".2f") + " s/M rows"),
        ("reading FASTA", unit("fasta_s_per_million_residues", ".4f") + " s/M residues"),
        ("walks over a mapped graph", unit("walk_steps_per_s", ".1f", 1e-6) + " M steps/s"),
        ("token streams of walks", unit("walk_tokens_per_s", ".1f", 1e-6) + " M tokens/s"),
        ("sequences", f"1 B/residue + {unit('store_bytes_per_protein', '.0f')} B/protein"),
        ("graph", f"{edge} B/undirected edge, {weighted} with weights"),
        ("graph", unit("graph_bytes_per_protein", ".0f") + " B/protein"),
        ("plan of an embedding job, memory", unit("plan_bytes_per_protein", ",.0f") + " B/protein"),
    ]


def job_rows(units: dict) -> list[tuple]:
    rows = []
    for job in JOBS:
        residues = job.proteins * job.residues_each
        for preset, us in units["embedding_us"].items():
            hours = residues * us / 1e6 / 3600
            machines = hours / CORES / (24 * DAYS)
            width = PRESETS[preset]["d_model"]
            rows.append(
                (job.name, preset, f"{residues / 1e9:.1f} G", f"{hours:,.0f}",
                 f"{hours / CORES:,.0f}", f"{int(np.ceil(machines)):,}",
                 size(job.proteins * width * 4))
            )  # fmt: skip
    return rows


def disk_rows(units: dict) -> list[tuple]:
    rows = []
    for job in JOBS:
        store = job.proteins * (job.residues_each + units["store_bytes_per_protein"])
        tokens = job.proteins * (job.residues_each + 8)
        plain = job.edges * units["graph_bytes_per_edge"]
        weighted = job.edges * units["weighted_bytes_per_edge"]
        parse = 2 * job.edges / 1e6 * units["link_s_per_million_rows"] / 3600
        rows.append(
            (job.name, size(store), size(tokens), size(plain) if job.edges else "",
             size(weighted) if job.edges else "", f"{parse:,.0f} h" if job.edges else "",
             size(job.proteins * units["plan_bytes_per_protein"]))
        )  # fmt: skip
    return rows


def training_rows(units: dict) -> list[tuple]:
    rows = []
    for job in JOBS[:2]:
        for preset, rate in units["training_tokens_per_s"].items():
            hours = job.proteins * (job.residues_each + 2) / rate / 3600
            rows.append((job.name, preset, f"{hours:,.0f}", f"{hours / CORES:,.0f}"))
    return rows


def report(units: dict, fits: list[float]) -> str:
    text = (HERE / "scaling.template.md").read_text()
    machine = units["machine"]
    known = re.sub(r"\s+", " ", f"{machine['cpu']}, {machine['day']}, torch {machine['torch']}")
    return text.format(
        machine=known,
        load=machine["load"],
        units=table(unit_rows(units), ("measured", "cost")),
        jobs=table(
            job_rows(units),
            ("job", "encoder", "residues", "core hours", f"hours on {CORES} cores",
             f"{CORES}-core machines for a week", "embeddings, float32"),
        ),
        disk=table(
            disk_rows(units),
            ("data", "sequences", "residue tokens", "graph", "graph with weights",
             "reading links, core hours", "plan of one embedding job"),
        ),
        training=table(
            training_rows(units),
            ("corpus, one pass", "model", "core hours", f"hours on {CORES} cores"),
        ),
        by_length=f"{fits[0]:.4f}",
        by_count=f"{fits[1]:.4f}",
        cores=CORES,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=Path, help="take measurements from this JSON file")
    parser.add_argument("--save", type=Path, help="write the measurements as JSON")
    arguments = parser.parse_args()
    units = json.loads(arguments.units.read_text()) if arguments.units else measure()
    if arguments.save:
        arguments.save.write_text(json.dumps(units, indent=1) + "\n")
    fits = draw(HERE / "scaling.png", units["seconds_by_length"], units["seconds_by_count"])
    (HERE / "scaling.md").write_text(report(units, fits))
    print((HERE / "scaling.md").read_text())


if __name__ == "__main__":
    main()

"""`lcplm embed` of many proteins, killed by SIGKILL again and again, beside one never killed.

    python benchmarks/embed_kill.py --proteins 100000 --encoder composition --kills 5
    python benchmarks/embed_kill.py --proteins 2000 --encoder random:1m --kills 3

Lengths are drawn as in Swiss-Prot (log-normal, median 295), residues by their frequencies.  A kill
comes at a random moment after the running process has written at least one checkpoint, so each
one has something to keep and something to lose.  The resumed file must hold every id once, in
order, with the values of the file never killed, to the bit.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
from timing import table

from lcplm_graph.models.encoders import MAX_TOKENS, length_sorted_batches
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.proteins.store import SequenceStore

LETTERS = np.frombuffer(b"ALGVESIKRDTPNQFYMHCW", np.uint8)
PERCENT = np.array([8.25, 9.65, 7.07, 6.86, 6.72, 6.64, 5.91, 5.80, 5.53, 5.46, 5.35, 4.74, 4.06])
PERCENT = np.append(PERCENT, [3.93, 3.86, 2.92, 2.41, 2.27, 1.38, 1.10])
_RUN = (
    "import sys, lcplm_graph.features.embed as job, lcplm_graph.embed as command;"
    "job._SECONDS_BETWEEN_CHECKPOINTS = float(sys.argv.pop(1));"
    "sys.exit(command.main(sys.argv[1:]))"
)


def main() -> None:
    """Print a row per format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proteins", type=int, default=100_000)
    parser.add_argument("--encoder", default="composition")
    parser.add_argument("--formats", nargs="+", default=["h5", "parquet", "npz"])
    parser.add_argument("--kills", type=int, default=5, help="per format")
    parser.add_argument("--between", type=float, default=0.05, help="seconds between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names, residues = make_fasta(folder / "in.fasta", options.proteins, options.seed)
        print(f"{len(names):,} proteins, {residues:,} residues, {options.encoder}")
        whole = folder / "whole.npz"
        print(f"never killed: {finish(folder, whole, options):.0f} MB at most", flush=True)
        rows = [measure(folder, whole, suffix, names, options, rng) for suffix in options.formats]
    header = ("format", "kills", "done when killed", "lost", "twice", "values", "MB, each run")
    print(table(rows, header))


def make_fasta(path: Path, count: int, seed: int) -> tuple[list[str], int]:
    """Write proteins and return their ids and the number of residues."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.exp(rng.normal(np.log(295), 0.72, count)), 20, 35_000).astype(int)
    letters = rng.choice(LETTERS, lengths.sum(), p=PERCENT / PERCENT.sum())
    ends, text = np.cumsum(lengths), letters.tobytes().decode()
    names = [f"P{i:06d}" for i in range(count)]
    write_fasta(path, names, [text[e - n : e] for e, n in zip(ends, lengths, strict=True)])
    return names, int(ends[-1])


def measure(
    folder: Path,
    whole: Path,
    suffix: str,
    names: list[str],
    options: argparse.Namespace,
    rng: random.Random,
) -> tuple:
    """Embed with kills, and compare with the file never killed."""
    killed = folder / f"killed.{suffix}"
    shares, peaks = [], []
    for left in range(options.kills, 0, -1):
        share, peak = kill_once(folder, killed, options, rng, left)
        shares.append(share)
        peaks.append(peak)
    peaks.append(finish(folder, killed, options))
    ids, values = read(killed)
    expected_ids, expected = read(whole)
    lost, twice = len(set(names) - set(ids)), len(ids) - len(set(ids))
    same = ids == expected_ids == names and np.array_equal(values, expected)
    done = " ".join(f"{share:.0%}" for share in shares)
    memory = f"{min(peaks):.0f}-{max(peaks):.0f}"
    return suffix, len(shares), done, lost, twice, "same" if same else "DIFFERENT", memory


def command(folder: Path, out: Path, options: argparse.Namespace) -> list[str]:
    """`lcplm embed` with frequent checkpoints."""
    arguments = [str(folder / "in.fasta"), "--encoder", options.encoder, "--out", str(out)]
    return [sys.executable, "-c", _RUN, str(options.between), *arguments]


def finish(folder: Path, out: Path, options: argparse.Namespace) -> float:
    """Run to the end; return the peak memory in MB."""
    process = subprocess.Popen(
        command(folder, out, options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.005)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode())
    return peak


def kill_once(
    folder: Path, out: Path, options: argparse.Namespace, rng: random.Random, left: int
) -> tuple[float, float]:
    """Kill at a random moment after a checkpoint of this process; `left` kills are to come.

    Returns the share of batches on disk, and the peak memory in MB.
    """
    done = out.with_name(out.name + ".parts") / "done.json"
    before = checkpoint(done)
    process = subprocess.Popen(
        command(folder, out, options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(process, done, before + 1)
    total = all_batches(done.parent)
    further = int(rng.random() * 2 * (total - before) / (left + 1))
    wait_for(process, done, min(before + 1 + further, total - 1))
    time.sleep(rng.random() * options.between)
    peak = peak_memory(process.pid)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise SystemExit(f"{out.name}: ended before it could be killed; fewer --kills")
    return checkpoint(done) / all_batches(done.parent), peak


def wait_for(process: subprocess.Popen, done: Path, batches: int) -> None:
    """Wait until the running process has so many batches on disk."""
    while checkpoint(done) < batches:
        if process.poll() is not None:
            raise SystemExit(f"{done.parent.name}: ended before it could be killed; fewer --kills")
        time.sleep(0.002)


def checkpoint(path: Path) -> int:
    """Batches that are safely on disk."""
    return json.loads(path.read_text())["batches"] if path.exists() else 0


def all_batches(parts: Path) -> int:
    """All batches of the job."""
    lengths = SequenceStore.open(parts / "sequences.arrow").lengths
    return len(length_sorted_batches(lengths, MAX_TOKENS))


def peak_memory(pid: int) -> float:
    """Resident memory of a process at its highest, MB."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peak = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(peak[0].split()[1]) / 1000 if peak else 0.0


def read(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids and values; HDF5 in the order of the names, which is that of the input here."""
    if path.suffix == ".npz":
        archive = np.load(path)
        return archive["ids"].tolist(), archive["embeddings"]
    if path.suffix == ".parquet":
        content = pq.read_table(path)
        cells = content["embedding"].combine_chunks()
        return content["id"].to_pylist(), cells.flatten().to_numpy().reshape(len(content), -1)
    with h5py.File(path) as file:
        ids = list(file)
        return ids, np.stack([file[name][()] for name in ids])


if __name__ == "__main__":
    main()

"""All comparisons in one command: ratios to every peer, as a dated Markdown table in results/.

    python benchmarks/run_all.py [--quick] [--only encoder walks ...]

A peer that is not installed (mambapy, pecanpy, biopython) has no row; the report lists what was.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from timing import cpu_name, table

HERE = Path(__file__).parent
OBO = HERE.parent / "cards" / "string_human_core" / "go.obo.gz"
OURS = ("lcplm-graph", "torch", "numba", "numpy", "pyarrow")
PEERS = ("transformers", "mambapy", "pecanpy", "networkx", "pandas", "biopython", "obonet", "scipy")
# What is run, in full and in quick form.
RUNS: dict[str, tuple[list[str], list[str]]] = {
    "encoder": ([], ["--quick"]),
    "long_sequences": ([], ["--preset", "1m"]),
    "walks": (["--edges", "1000000", "12000000"], ["--repeats", "3"]),
    "data": ([], ["--rows", "1000000", "--proteins", "30000", "--repeats", "3"]),
    "data_obo": ([str(OBO)], [str(OBO), "--repeats", "3"]),
}


def version_of(package: str) -> str:
    if package == "lcplm-graph":
        from lcplm_graph import __version__

        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def heading(arguments: str) -> str:
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    facts = [
        ("command", f"`python benchmarks/run_all.py {arguments}`"),
        ("processor", cpu_name()),
        ("cores this process may use", f"{len(affinity)} of {os.cpu_count()}"),
        ("load when it began", f"{os.getloadavg()[0]:.1f}"),
        ("system", f"{platform.platform()}, Python {platform.python_version()}"),
        ("commit", commit()),
        ("ours", ", ".join(f"{name} {version_of(name)}" for name in OURS)),
        ("peers", ", ".join(f"{name} {version_of(name)}" for name in PEERS)),
    ]
    return table(facts, ("", ""))


def run(name: str, arguments: list[str]) -> str:
    """Run one script and return what it printed, under a heading."""
    started = time.perf_counter()
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    body = done.stdout.strip()
    if done.returncode:
        body += f"\n\n**failed**: {done.stderr.strip().splitlines()[-1]}"
    shown = " ".join(a if not Path(a).is_file() else Path(a).name for a in arguments)
    return f"## {name}\n\n`{name}.py {shown}`, {seconds:.0f} s\n\n{body}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    parts = [f"# {day}\n", heading(" ".join(sys.argv[1:])) + "\n"]
    for name in arguments.only:
        parts.append(run(name, RUNS[name][arguments.quick]))
        print(parts[-1], flush=True)
    arguments.out.mkdir(exist_ok=True)
    path = arguments.out / f"{day}.md"
    path.write_text("\n".join(parts))
    print(f"written: {path}")
    return int(any("**failed**" in part for part in parts))


if __name__ == "__main__":
    sys.exit(main())

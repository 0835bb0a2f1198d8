"""The wheel: holds code, cards, embedded data and weights, nothing else, and works on its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOADS = """
from lcplm_graph import StringPPI
from lcplm_graph.data import main
from lcplm_graph.files.catalog import card_folder
print(card_folder())
print(StringPPI("string_human_core", offline=True)[0].num_nodes)
raise SystemExit(main(["verify", "string_human_core"]))
"""

EMBEDS = """
import socket
def refuse(*_):
    raise OSError("this test has no network")
socket.socket.connect = socket.getaddrinfo = refuse
import lcplm_graph
from lcplm_graph.models.shipped import DEFAULT_ENCODER, shipped_encoders
print(lcplm_graph.__file__)
names = shipped_encoders()
print(*names)
for name in [*names, DEFAULT_ENCODER]:
    encoder = lcplm_graph.load_encoder(name)
    x = encoder.embed(["MKTAYIAKQRQISFVKSHFSRQ", "GAVLIMFWP"], encoder.pool)
    assert x.isfinite().all() and (x[0] - x[1]).norm() > 0
    print(name, *x.shape)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory that holds what the wheel installs."""
    pytest.importorskip("hatchling", reason="builds the wheel")
    built, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_no_junk_and_nothing_missing(installed):
    files = {str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file()}
    cards = {f"lcplm_graph/_cards/{name.removeprefix('cards/')}" for name in tracked("cards")}
    assert {name for name in files if "_cards" in name} == cards
    assert tracked("lcplm_graph") <= files
    strange = [
        name
        for name in files
        if not re.fullmatch(
            r"lcplm_graph(/\w+)+\.py|lcplm_graph/py\.typed|lcplm_graph/evaluation/(page|map)\.html\.j2|.*/_cards/.*|[\w.-]+\.dist-info/.*"
            r"|lcplm_graph/ops/selective_scan/README\.md"
            r"|lcplm_graph/heads/weights/lcplm-[\w-]+/\w+\.(json|md|safetensors)"
            r"|lcplm_graph/models/weights/lcplm-[\w-]+/(quality/)?\w+\.(json|md|safetensors|npy|py)",
            name,
        )
    ]
    assert strange == []
    sizes = {name: (installed / name).stat().st_size for name in files if "_cards" in name}
    assert sum(size for name, size in sizes.items() if "string_human_core" in name) < 8e6
    assert sum(sizes.values()) < 12e6


def test_the_embedded_graph_loads_from_the_wheel(installed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed), "LCPLM_DATA": str(tmp_path / "data")}
    command = [sys.executable, "-c", LOADS]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    folder, nodes, *table = done.stdout.splitlines()
    assert Path(folder) == installed / "lcplm_graph" / "_cards"
    assert nodes == "7728"
    assert sum(" ok " in line for line in table) == 6


def test_shipped_encoders_embed_from_the_wheel_without_network(installed, tmp_path):
    """No file of the checkout, of the home directory or of the hub takes part."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment["LCPLM_BACKEND"] = "reference"  # compiling the others' kernels anew takes longer
    done = subprocess.run(
        [sys.executable, "-c", EMBEDS],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, names, *embedded = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed)
    weights = ROOT / "lcplm_graph" / "models" / "weights"
    assert names.split() == sorted(path.parent.name for path in weights.glob("*/config.json"))
    assert len(embedded) == len(names.split()) + 1


def tracked(folder: str) -> set[str]:
    """Files below `folder` that belong to the repository."""
    command = ["git", "ls-files", "-z", "--", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}

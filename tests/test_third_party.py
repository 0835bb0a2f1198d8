"""Another package adds a dataset, an encoder, a head and a kernel; commands take them."""

import json
import sys
import zipfile
from pathlib import Path

import h5py
import pytest
from cases.dataset import PPIDatasetCase
from cases.encoder import EncoderCase
from cases.head import LinkHeadCase
from cases.kernel import KernelCase

from lcplm_graph.__main__ import main
from lcplm_graph.backends import KERNELS
from lcplm_graph.datasets.load import GRAPHS, load_graph
from lcplm_graph.errors import ConfigError, PluginError
from lcplm_graph.heads.kinds import HEADS
from lcplm_graph.models.encoders import ENCODERS, load_encoder

PACKAGE = Path(__file__).parent / "third_party"
NAMES = ("toy-families", "toy-charges", "toy-distance", "rms_norm.toy")
REGISTRIES = (GRAPHS, ENCODERS, HEADS, KERNELS)
BROKEN = {
    "lcplm_graph.datasets": {"bad-list": "list"},
    "lcplm_graph.encoders": {"bad-import": "nothing_there", "bad-call": "fails"},
}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory):
    """Build the package's wheel and unpack it on the path, as pip does."""
    build = pytest.importorskip("hatchling.builders.wheel").WheelBuilder
    site = tmp_path_factory.mktemp("site")
    (wheel,) = build(str(PACKAGE)).build(directory=str(tmp_path_factory.mktemp("wheel")))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    _write_broken(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        for registry in REGISTRIES:
            patch.delitem(registry.__dict__, "_places", raising=False)
        yield
    for registry in REGISTRIES:
        registry.__dict__.pop("_places", None)
        for name in NAMES:
            registry.remove(name)
    sys.modules.pop("lcplm_toy", None)


def _write_broken(site):
    """Install a package whose entry points are wrong."""
    info = site / "lcplm_broken-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lcplm-broken\nVersion: 0.1\n")
    lines = []
    for group, entries in BROKEN.items():
        lines += [f"[{group}]", *(f"{name} = lcplm_broken:{at}" for name, at in entries.items())]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))
    code = "def list(name):\n    return []\n\ndef fails(name):\n    raise OSError('no disk')\n"
    (site / "lcplm_broken.py").write_text(code)


@pytest.fixture(scope="module")
def families(_installed):
    return load_graph("toy-families")


class TestDataset(PPIDatasetCase):
    @pytest.fixture
    def dataset(self, families):
        return families


class TestEncoder(EncoderCase):
    @pytest.fixture
    def make(self):
        return lambda: load_encoder("toy-charges")


class TestHead(LinkHeadCase):
    name = "toy-distance"


class TestKernel(KernelCase):
    @pytest.fixture
    def kernel(self):
        return "rms_norm", "toy"


def test_nothing_of_it_is_imported_before_it_is_asked_for():
    sys.modules.pop("lcplm_toy", None)
    assert {"toy-families"} <= set(GRAPHS.names())
    assert {"toy-charges", "bad-call"} <= set(ENCODERS.names())
    assert "lcplm_toy" not in sys.modules


def test_lcplm_embed_takes_its_encoder(tmp_path, capsys):
    (tmp_path / "in.fasta").write_text(">a\nMKKT\n>b\nDDE\n")
    out = str(tmp_path / "out.h5")
    words = [str(tmp_path / "in.fasta"), "--encoder", "toy-charges", "--out", out]
    assert main(["embed", *words]) == 0, capsys.readouterr().err
    with h5py.File(out) as file:
        assert file["a"][:].tolist() == [0.5, 0.0, 0.0, 0.25]


def test_lcplm_evaluate_link_takes_all_three(tmp_path, capsys):
    words = ["--graph", "toy-families:3", "--encoder", "toy-charges", "--predictor", "toy-distance"]
    few = ["--steps", "30", "--members", "1", "--ranked", "0", "--resamples", "5"]
    status = main(["evaluate", "link", *words, *few, "--out", str(tmp_path)])
    assert status == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["facts"]["graph"] == "toy-families:3"
    assert content["facts"]["encoder"] == "toy-charges"
    rows = [row for row in content["rows"] if row["model"] == "encoder toy-charges"]
    assert rows and all(row["auroc"]["value"] > 0.6 for row in rows if row["class"] == "C1")


def test_a_broken_package_is_an_error_that_names_it(tmp_path, capsys):
    with pytest.raises(PluginError, match="'bad-import' of the package lcplm-broken cannot be imp"):
        load_encoder("bad-import")
    with pytest.raises(PluginError, match="'bad-call' of the package lcplm-broken failed: OSError"):
        load_encoder("bad-call")
    with pytest.raises(PluginError, match="'bad-list' .* makes a list, not a PPIDataset"):
        load_graph("bad-list")
    with pytest.raises(ConfigError, match="'toy-charges' .* does not take these options.*revision"):
        load_encoder("toy-charges", revision="main")
    (tmp_path / "in.fasta").write_text(">a\nMKKT\n")
    words = [str(tmp_path / "in.fasta"), "--encoder", "bad-call", "--out", str(tmp_path / "o.h5")]
    assert main(["embed", *words]) == 1
    assert capsys.readouterr().err.startswith("lcplm embed: the encoder 'bad-call' of the package")

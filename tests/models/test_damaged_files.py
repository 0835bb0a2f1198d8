"""Damaged files of models and runs: each is read rightly or refused in one clear sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mutations import mutated

from lcplm_graph.errors import (
    CheckpointError,
    ConfigError,
    LcPlmError,
    UnknownNameError,
    WriteError,
)
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.training.checkpoints import is_intact
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.resume import read_manifest, read_options

COUNT = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one sound file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=1, vocab_size=37,
                                         pad_vocab_size_multiple=1))  # fmt: skip
    model.save_pretrained(folder / "one")
    ModelFolder(folder / "one").write_record(Record({"stage": 2}, np.arange(9, dtype=np.uint64)))
    model.save_pretrained(folder / "shards", max_shard_size="6KB")
    model_like = {"state_dict": {"a": torch.ones(3)}, "global_step": 3, "more": [1, "x"]}
    torch.save(model_like, folder / "step-00000003.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump({"steps": 3, "out": "x", "lr": 0.1}))
    (folder / "run.json").write_text('{"data": {"sha256": "ab"}, "sessions": [{"threads": 1}]}')
    (folder / "metrics.csv").write_text("step,tokens,loss\n0,,2.5\n1,100,2.25\n")
    return folder


READERS: dict[str, Callable[[Path], object]] = {
    "one/config.json": lambda path: load_encoder(path.parent),
    "one/model.safetensors": lambda path: load_encoder(path.parent),
    "one/training.json": lambda path: ModelFolder(path.parent).record(),
    "one/seen_edges.npy": lambda path: ModelFolder(path.parent).record(),
    "shards/model.safetensors.index.json": lambda path: load_encoder(path.parent),
    "step-00000003.ckpt": is_intact,
    "config.yaml": read_options,
    "run.json": read_manifest,
    "metrics.csv": read_metrics,
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(whole: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    path = tmp_path / "copy" / name
    READERS[name](path)
    refused = 0
    for number, content in enumerate(mutated(path.read_bytes(), 0, COUNT)):
        path.write_bytes(content)
        message = ""
        try:
            refused += READERS[name](path) is False
        except LcPlmError as error:
            message = str(error)
        except Exception as error:
            pytest.fail(f"copy {number} of {name}: {type(error).__name__}: {error}")
        refused += bool(message)
        if message and str(path.parent) not in message:
            pytest.fail(f"copy {number} of {name}: {message!r} names no file")
    assert refused > COUNT // 4


def test_a_checkpoint_that_is_called_intact_reads(whole: Path, tmp_path: Path) -> None:
    content = (whole / "step-00000003.ckpt").read_bytes()
    expected = torch.load(whole / "step-00000003.ckpt", weights_only=True)
    path = tmp_path / "step-00000003.ckpt"
    for damaged in mutated(content, 1, 3 * COUNT):
        path.write_bytes(damaged)
        if is_intact(path):
            found = torch.load(path, weights_only=True)
            assert torch.equal(found["state_dict"]["a"], expected["state_dict"]["a"])


@pytest.mark.parametrize(
    "shard",
    ["../one/model.safetensors", "/etc/passwd", "", 3, None, "a.bin", f"{'a' * 250}.safetensors"],
)
def test_an_index_never_leaves_its_folder(whole: Path, tmp_path: Path, shard) -> None:
    import json

    shutil.copytree(whole, tmp_path / "copy")
    index = tmp_path / "copy" / "shards" / "model.safetensors.index.json"
    stored = json.loads(index.read_text())
    stored["weight_map"]["lm_head.weight"] = shard
    index.write_text(json.dumps(stored))
    with pytest.raises(LcPlmError, match="not the name of a safetensors file in this folder"):
        load_encoder(index.parent)


@pytest.mark.parametrize("kind", [CheckpointError, ConfigError, UnknownNameError, WriteError])
def test_no_message_repeats_thousands_of_letters(kind):
    assert len(str(kind("it says " + "A" * 5000))) < 100
    assert str(kind("/".join(["folder"] * 60))) == "/".join(["folder"] * 60)

"""Readers of models, heads and runs: one sound folder, of which one file at a time is mutated."""

from __future__ import annotations

import io
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from fuzz_core import Reader, Refused
from safetensors.torch import save_file

from lcplm_graph.contacts import ContactsOptions
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.module import BEST, FinetuneTask, load_best
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.target import Target
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.function_model import FunctionModel
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.members import untrained
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.option_parser import parse_options
from lcplm_graph.release import read_note
from lcplm_graph.training.checkpoints import newest_intact
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.resume import read_manifest, read_options

CHECKPOINT = "step-00000003.ckpt"


def _make_lcplm(folder: Path) -> None:
    model = LcPlmForMaskedLM(
        LcPlmConfig(d_model=8, n_layer=1, vocab_size=37, pad_vocab_size_multiple=1)
    )
    model.save_pretrained(folder)
    ModelFolder(folder).write_record(Record({"stage": 2}, np.arange(9, dtype=np.uint64)))


def _make_shards(folder: Path) -> None:
    config = LcPlmConfig(d_model=8, n_layer=1, vocab_size=37, pad_vocab_size_multiple=1)
    LcPlmForMaskedLM(config).save_pretrained(folder, max_shard_size="3KB")


def _make_esm2(folder: Path) -> None:
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(
        vocab_size=33, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, pad_token_id=1, mask_token_id=32, position_embedding_type="rotary",
    )  # fmt: skip
    EsmModel(config, add_pooling_layer=False).save_pretrained(folder)


def _make_property(folder: Path) -> None:
    model = PropertyModel(load_encoder("composition"), Target("binary", ("no", "yes")))
    model.save_pretrained(folder)


def _make_best(folder: Path) -> None:
    _make_property(folder)
    task = FinetuneTask(PropertyModel.from_pretrained(folder), _FINETUNE, 1)
    save_file(task.state_dict(), folder / BEST)


def _make_link(folder: Path) -> None:
    recipe = Recipe()
    head = untrained(0, **recipe.arguments({"base": torch.ones(4, 8)}))
    LinkModel([head], [recipe]).save(folder)


def _make_function(folder: Path) -> None:
    head = FunctionPredictor(4, num_terms=2, conv="none")
    names = {"GO:0000001": "root", "GO:0000002": "leaf"}
    FunctionModel(
        head, tuple(names), tuple(names.values()), "MF", [["GO:0000002", "GO:0000001"]], {}
    ).save(folder)


def _make_run(folder: Path) -> None:
    folder.mkdir()
    content = {"state_dict": {"a": torch.ones(3)}, "global_step": 3, "more": [1, "x"]}
    torch.save(content, folder / CHECKPOINT)
    (folder / "config.yaml").write_text(yaml.safe_dump({"steps": 3, "out": "x", "lr": 0.1}))
    (folder / "run.json").write_text('{"data": {"sha256": "ab"}, "sessions": [{"threads": 1}]}')
    (folder / "metrics.csv").write_text("step,tokens,loss\n0,,2.5\n1,100,2.25\n")


_MAKERS: dict[str, Callable[[Path], None]] = {
    "lcplm": _make_lcplm,
    "shards": _make_shards,
    "esm2": _make_esm2,
    "property": _make_property,
    "best": _make_best,
    "link": _make_link,
    "function": _make_function,
    "run": _make_run,
}


@cache
def _sound(kind: str) -> dict[str, bytes]:
    """Files of a sound folder of a kind."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / kind
        _MAKERS[kind](folder)
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _beside(kind: str, name: str, read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Return a reader of a file that lies in a folder of sound ones."""

    def reader(path: Path) -> Any:
        folder = path.parent / kind
        if not folder.is_dir():
            folder.mkdir()
            for other, content in _sound(kind).items():
                (folder / other).write_bytes(content)
        shutil.copyfile(path, folder / name)
        return read(folder)

    return reader


def _seeds(kind: str, name: str) -> tuple[bytes, ...]:
    """Return the sound file, and of a configuration also one without what is long."""
    content = _sound(kind)[name]
    if kind == "link" or name != "config.json":
        return (content,)
    short = {
        key: value
        for key, value in json.loads(content).items()
        if key not in ("auto_map", "architectures", "id2label", "label2id") and value is not None
    }
    return content, json.dumps(short).encode()


def _embedded(name: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        encoder = load_encoder(f"{name}{folder}")
        return tuple(encoder.embed(["MKT"]).shape)

    return read


def _predicted(folder: Path) -> Any:
    return PropertyModel.from_pretrained(folder).predict(["MKTAYIAK"]).columns.tolist()


def _options(folder: Path) -> Any:
    return read_options(folder / "config.yaml")


def _manifest(folder: Path) -> Any:
    return read_manifest(folder / "run.json")


def _metrics(folder: Path) -> Any:
    return read_metrics(folder / "metrics.csv")


def _intact(folder: Path) -> Any:
    return newest_intact([folder / CHECKPOINT]).name


def _record(folder: Path) -> Any:
    return ModelFolder(folder).record().facts


def _best(folder: Path) -> Any:
    task = FinetuneTask(PropertyModel.from_pretrained(folder), _FINETUNE, 1)
    load_best(task, folder)
    return len(task.state_dict())


def _command(path: Path) -> Any:
    """Read a file of options as commands do; what they refuse goes to the terminal."""
    with redirect_stderr(io.StringIO()) as told:
        try:
            return parse_options(ContactsOptions, ["--config", str(path)], "contacts")
        except SystemExit:
            raise Refused(told.getvalue()) from None


def _model(name: str, kind: str, file: str, read: Callable[[Path], Any]) -> Reader:
    return Reader(name, _seeds(kind, file), _beside(kind, file, read))


_WEIGHTS = "model.safetensors"
_FINETUNE = FinetuneOptions(table="t.tsv", out="run", mode="head")
_OPTIONS = b"fasta: a.fasta\nout: c.tsv  # pairs\nencoder: lcplm-2m\ntop: 5\n"
MODELS = (
    _model("config", "lcplm", "config.json", _embedded("")),
    _model("weights", "lcplm", _WEIGHTS, _embedded("")),
    _model("training record", "lcplm", "training.json", _record),
    _model("seen edges", "lcplm", "seen_edges.npy", _record),
    _model("index of shards", "shards", f"{_WEIGHTS}.index.json", _embedded("")),
    _model("config of ESM-2", "esm2", "config.json", _embedded("esm2:")),
    _model("weights of ESM-2", "esm2", _WEIGHTS, _embedded("esm2:")),
    _model("property", "property", "property.json", _predicted),
    _model("head of a property", "property", "head.safetensors", _predicted),
    _model("best state of a run", "best", BEST, _best),
    _model("link model", "link", "config.json", LinkModel.load),
    _model("weights of a link model", "link", _WEIGHTS, LinkModel.load),
    _model("function model", "function", "function.json", FunctionModel.load),
    _model("weights of a function model", "function", "function.safetensors", FunctionModel.load),
    _model("checkpoint", "run", CHECKPOINT, _intact),
    _model("options of a run", "run", "config.yaml", _options),
    _model("manifest", "run", "run.json", _manifest),
    _model("metrics", "run", "metrics.csv", _metrics),
    Reader("options of a command", (_OPTIONS,), _command, suffix=".yaml"),
    Reader(
        "note of a release", (b"# Data\n\nCC BY 4.0 \xc3\xa9\n",), lambda path: read_note(str(path))
    ),
)

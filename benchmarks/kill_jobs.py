"""What `kill_matrix.py` stops: every way in which the toolkit writes files, on small inputs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kill_commands import command_jobs, make_inputs
from kill_evaluations import evaluation_jobs, make_evaluation_inputs
from kill_matrix import Job
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import file_server

import lcplm_graph.features.embed as embedding
import lcplm_graph.features.store as feature_store
from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import LcPlmError
from lcplm_graph.files.download import fetch
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split

PRESETS["tiny"] = {"d_model": 16, "n_layer": 1}
NAMES = [f"P{i}" for i in range(24)]
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@contextlib.contextmanager
def prepared(base: Path) -> Iterator[Path]:
    """Make the inputs; caches lie in the folder of the job."""
    inputs = base / "inputs"
    inputs.mkdir()
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(LETTERS), 20 + i)) for i in range(len(NAMES))]
    write_fasta(inputs / "a.fasta", NAMES, texts)
    shards = inputs / "shards"
    shards.mkdir()
    for k in range(2):
        part = slice(12 * k, 12 * k + 12)
        SequenceStore.from_records(NAMES[part], texts[part]).save(shards / f"{k}.arrow")
    edges = sorted(
        {(min(p), max(p)) for p in rng.integers(0, 24, (90, 2)).tolist() if p[0] != p[1]}
    )
    (inputs / "p.fasta").write_text((inputs / "a.fasta").read_text())
    (inputs / "p.tsv").write_text("".join(f"P{a}\tP{b}\n" for a, b in edges))
    _archive(inputs / "tape.tar.gz", texts)
    os.environ["LCPLM_DATA"] = str(base / "work" / "data")
    embedding._SECONDS_BETWEEN_CHECKPOINTS = -1.0
    feature_store._MANY_SHARDS, feature_store._RESIDUES_PER_SHARD = 3, 120
    os.environ.pop("LCPLM_OFFLINE", None)
    Figure.savefig = _coarsely
    with file_server.running() as server:
        make_inputs(inputs, server)
        make_evaluation_inputs(inputs)
        (inputs / "url").write_text(server.put("x.tsv", b"a\tb\n" * 50_000))
        yield inputs


def _coarsely(figure: Figure, path: Path, _save: Any = Figure.savefig, **_: Any) -> None:
    """Write an empty picture: what is drawn takes half the time of a run and changes no call."""
    figure.clear()
    _save(figure, path, dpi=10)


def _archive(path: Path, texts: list[str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for number, part in enumerate(("train", "test_fold_holdout")):
            records = [
                {"id": name, "primary": text, "fold_label": i % 3, "superfamily_label": i}
                | {"family_label": i}
                for i, (name, text) in enumerate(list(zip(NAMES, texts, strict=True))[number::2])
            ]
            source = path.with_name(f"remote_homology_{part}.json")
            source.write_text(json.dumps(records))
            archive.add(source, f"remote_homology/{source.name}")


def jobs(inputs: Path) -> dict[str, Job]:
    """Return the jobs by name."""
    fasta = inputs / "a.fasta"
    composition = load_encoder("composition")

    def embed(name: str, source: Path = fasta, **options: Any) -> Job:
        def run(folder: Path) -> None:
            job = embedding.EmbedJob(source, composition, folder / name, max_tokens=200, **options)
            job.run(progress=False)

        return Job(run)

    store = SequenceStore.from_fasta(fasta)
    values = composition.embed(store)
    url = (inputs / "url").read_text()
    return {
        "embed-h5": embed("a.h5"),
        "embed-parquet": embed("a.parquet"),
        "embed-npz": embed("a.npz"),
        "embed-residues": embed("a.h5", per_residue=True, half=True),
        "embed-shards": embed("a.npz", inputs / "shards"),
        "feature-cache": Job(
            lambda folder: feature_store.cached_embeddings(composition, store, root=folder),
            lambda folder: torch.equal(
                feature_store.cached_embeddings(composition, store, root=folder), values
            ),
            volatile=("shard-",),
        ),
        "dataset-cache": Job(lambda folder: PairPPI(inputs / "p.tsv", fasta, root=folder)),
        "unpack": Job(lambda folder: RemoteHomology(inputs / "tape.tar.gz", root=folder)),
        # Its note holds the time of the file.
        "download": Job(
            lambda folder: fetch(url, name="x.tsv", root=folder), volatile=("x.tsv.json",)
        ),
        "store": Job(lambda folder: SequenceStore.from_fasta(fasta, folder / "s.arrow")),
        "split": Job(_split),
        "model": Job(_save_model, before=_save_other_model, mixture=_is_one_model),
        "head": Job(_save_head, before=_save_other_head, mixture=_is_one_head),
        "score": Job(lambda folder: _score(folder, inputs)),
        "stage1": Job(lambda folder: _stage1(folder, inputs), _trained, volatile=_TRAINING),
        "stage2": Job(lambda folder: _stage2(folder, inputs), _trained, volatile=_TRAINING),
        **command_jobs(inputs, lambda folder: _stage1(folder, inputs), _trained),
        **evaluation_jobs(inputs),
    }


def _split(folder: Path) -> None:
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    Split("random", 9, pairs, pairs, [[3, 4], [5, 6]], [0, 1]).save(folder / "s")


def _model(seed: int) -> LcPlmForMaskedLM:
    torch.manual_seed(seed)
    return LcPlmForMaskedLM(LcPlmConfig(d_model=16 * (1 + seed), n_layer=1))


def _save_model(folder: Path, seed: int = 1) -> None:
    from lcplm_graph.io import whole_folder

    with whole_folder(folder / "model") as made:
        _model(seed).save_pretrained(made)
        seen = np.arange(1 + seed, dtype=np.uint64)
        ModelFolder(made).write_record(Record().followed_by({"stage": 2, "steps": seed}, seen))
    _model(seed).save_pretrained(folder / "in place")


def _save_other_model(folder: Path) -> None:
    _save_model(folder, 0)


def _is_one_model(folder: Path) -> None:
    for name in ("model", "in place"):
        try:
            found = load_encoder(folder / name)
        except LcPlmError:
            continue
        seed = int(found.dim == 32)
        for key, tensor in _model(seed).state_dict().items():
            assert torch.equal(found.model.state_dict()[key], tensor), key
        if name == "model":
            assert len(found.seen_edges()) == 1 + seed


def _head(seed: int) -> LinkModel:
    from lcplm_graph.heads.members import untrained
    from lcplm_graph.heads.recipe import Recipe

    blocks = {"base": torch.ones(4, 8)}
    recipe = Recipe()
    facts = {"seed": seed}
    return LinkModel([untrained(seed, **recipe.arguments(blocks))], [recipe], facts=facts)


def _save_head(folder: Path, seed: int = 1) -> None:
    _head(seed).save(folder / "head")


def _save_other_head(folder: Path) -> None:
    _save_head(folder, 0)


def _is_one_head(folder: Path) -> None:
    try:
        found = LinkModel.load(folder / "head")
    except LcPlmError:
        return
    wanted = _head(found.facts["seed"]).members[0].state_dict()
    for key, tensor in found.members[0].state_dict().items():
        kept = wanted[key].half() if tensor.ndim > 1 else wanted[key]
        assert torch.equal(tensor, kept.to(tensor.dtype)), key


def _score(folder: Path, inputs: Path) -> None:
    from lcplm_graph.files.networks import Network, write_network

    lines = (inputs / "p.tsv").read_text().splitlines()
    rows = [(*line.split(), 0.5) for line in lines]
    for suffix in ("tsv", "graphml", "cx2"):
        network = Network(("protein1", "protein2", "probability"), rows, ("protein1", "protein2"))
        write_network(folder / f"scores.{suffix}", network)


_TRAINING = ("run.json", "metrics.csv", "tfevents", "config.yaml", "loss.png", "step-", "training.")


def _stage1(folder: Path, inputs: Path) -> None:
    from lcplm_graph.stage1 import Stage1Options, train

    train(
        Stage1Options(
            corpus=f"fasta:{inputs / 'a.fasta'}", preset="tiny", steps=3, max_tokens=256,
            eval_tokens=200, log_every=1, eval_every=3, out=str(folder / "run"), devices=1,
            checkpoint_minutes=1e-9, resume="auto",
        )
    )  # fmt: skip


def _stage2(folder: Path, inputs: Path) -> None:
    from lcplm_graph.stage2 import Stage2Options, train

    train(
        Stage2Options(
            graph=f"pairs:{inputs / 'p.tsv'}", encoder="random:tiny", steps=3, split="random",
            max_tokens=256, walk_tokens=100, walk_length=3, eval_pairs=5, log_every=1,
            eval_every=3, out=str(folder / "run"), devices=1, checkpoint_minutes=1e-9,
            resume="auto", decoder_steps=3,
        )
    )  # fmt: skip


def _trained(folder: Path) -> Any:
    """Weights, metrics without times, what was seen, and how many checkpoints are kept."""
    from lcplm_graph.training.checkpoints import checkpoints_in, is_intact
    from lcplm_graph.training.metrics import read_metrics

    run = folder / "run"
    rows = [
        repr({k: v for k, v in row.items() if k not in ("tokens_per_second", "seconds")})
        for row in read_metrics(run / "metrics.csv")
    ]
    checkpoints = checkpoints_in(run / "checkpoints")
    assert all(map(is_intact, checkpoints))
    encoder = load_encoder(run)
    manifest = json.loads((run / "run.json").read_text())
    seen = encoder.seen_edges()
    return (
        rows, encoder.fingerprint(), None if seen is None else seen.tolist(),
        [path.name for path in checkpoints], manifest["data"], (run / "loss.png").is_file(),
    )  # fmt: skip

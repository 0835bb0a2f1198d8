"""`python -m lcplm_graph.release RUN --out FOLDER`: a finished run as a small folder to share.

The folder holds the weights (matrices in half precision, checked against the run's), the
configuration, ``training.json`` with all facts of the run, and a model card made from them and
from the measurements in ``quality/``.  `load_encoder(FOLDER)` reads it, as does the hub.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.command import run_command
from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.io import read_json
from lcplm_graph.models.names import Pool
from lcplm_graph.option_parser import positional, several

# What `release` adds to the facts of a run.
_RELEASED = ("before", "name", "pool", "parameters", "note", "weights", "seen_edges", "history")
_MACHINE = ("out", "devices", "nodes", "strategy", "checkpoint_minutes", "resume")
_SHAPE = ("preset", "arch", "d_model", "n_layer", "d_state")
_CHECKED = 64
_LARGEST_ERROR = 0.01


def release(
    run: str | Path,
    out: str | Path,
    *,
    pool: str | None = None,
    half: bool = True,
    note: str = "",
    before: Sequence[str | Path] = (),
) -> Path:
    """Make the folder from a finished run.

    Parameters
    ----------
    run : path-like
        What ``--out`` of stage 1 or stage 2 was; its ``--arch`` one of the Mamba family.
    out : path-like
        Its last part is the model's name.  Measurements in ``quality/`` are left as they are.
    pool : str, optional
        Pooling that the encoder shall recommend; default: the one that its relation decoder reads,
        mean_std if it has none.
    half : bool
        Store matrices as float16.
    note : str
        Markdown for the card: where the training data come from, and under which licence.
    before : sequence of path-like
        What this run went on from, the first one first: folders of runs, or a model that was
        released, by folder or shipped name; it brings the runs it was made by.

    Returns
    -------
    Path
        The model card.

    Raises
    ------
    ConfigError
        If a run is not finished, or did not start from the one before, or its relation decoder
        reads another pooling.
    CheckpointError
        If it is not an LC-PLM, or half precision changes embeddings by more than one percent.
    """
    from lcplm_graph.evaluation.model_card import write_card
    from lcplm_graph.io import copy_folder, sha256_of, whole_folder
    from lcplm_graph.models.checkpoint_writer import write_checkpoint
    from lcplm_graph.models.folder import ModelFolder, Record
    from lcplm_graph.models.modeling import LcPlmForMaskedLM
    from lcplm_graph.models.state_dicts import stored_once
    from lcplm_graph.models.tokenizer import LcPlmTokenizer
    from lcplm_graph.training.manifest import MODEL

    run, out = Path(run), Path(out)
    facts = run_facts(run)
    facts["before"] = _earlier([*map(Path, before), run])
    model = LcPlmForMaskedLM.from_pretrained(run / MODEL)
    pool = model.config.pool = _pool_of(run, model, pool)
    with whole_folder(out) as made:
        folder = ModelFolder(made)
        if out.is_dir():
            # Measurements, and whatever else was put there, stay; weights and record are made anew.
            old = ("model*.safetensors*", folder.seen_edges.name, folder.training.name)
            copy_folder(out, made, without=old)
        state = stored_once(model.state_dict(), model.config)
        write_checkpoint(
            made, state, model.stored_config(), half=half, beside=LcPlmTokenizer().save_pretrained
        )
        error = stored_error(model, made)
        if not error["largest"] <= _LARGEST_ERROR:
            raise CheckpointError(
                f"{out}: what is stored would change embeddings by up to {error['largest']:.2%}; "
                "store float32 (--full)"
            )
        facts |= {
            "name": out.name,
            "pool": pool,
            "parameters": sum(p.numel() for p in model.parameters()),
            "note": note.strip(),
            "weights": {
                "bytes": folder.weights.stat().st_size,
                "sha256": sha256_of(folder.weights),
                "half": half,
                "error": error,
            },
        }
        if history := model.record.facts.get("history"):
            facts["history"] = without_folders(history)
        folder.write_record(Record(facts, model.record.seen_edges))
        write_card(made)
    return ModelFolder(out).card


def _pool_of(run: Path, model: Any, asked: str | None) -> str:
    """Return the pooling to recommend: a relation decoder reads that of the configuration."""
    if model.relation is None:
        return asked or "mean_std"
    own: str = model.config.pool
    if asked not in (None, own):
        raise ConfigError(
            f"{run}: its relation decoder reads states pooled by {own!r}, not by {asked!r}; leave "
            "--pool out"
        )
    return own


def _earlier(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Facts of all runs but the last, each of which the next one started from."""
    from lcplm_graph.models.encoders import load_encoder

    facts = [_facts_so_far(run) for run in runs]
    for earlier, run, later in zip(runs, runs[1:], facts[1:], strict=False):
        if later[0]["data"].get("encoder_fingerprint") != load_encoder(str(earlier)).fingerprint():
            raise ConfigError(f"{run}: this run did not start from the model of {earlier}")
    return [run for history in facts[:-1] for run in history]


def _facts_so_far(run: Path) -> list[dict[str, Any]]:
    """Facts of a run; or of all runs of a released model, which are in its record."""
    from lcplm_graph.models.folder import ModelFolder
    from lcplm_graph.models.shipped import shipped_encoders, shipped_folder

    folder = shipped_folder(str(run)) if str(run) in shipped_encoders() else run
    facts = ModelFolder(folder).record().facts
    if "weights" not in facts:
        return [run_facts(folder)]
    return [*facts["before"], {k: v for k, v in facts.items() if k not in _RELEASED}]


def run_facts(run: Path) -> dict[str, Any]:
    """Collect what a run's folder says of it, without the names of this machine's folders.

    Raises
    ------
    ConfigError
        If it is not a run, or not finished.
    """
    from lcplm_graph.training.heldout import HELD_OUT
    from lcplm_graph.training.manifest import METRICS
    from lcplm_graph.training.metrics import read_metrics
    from lcplm_graph.training.resume import CONFIG, MANIFEST, read_manifest, read_options

    manifest_path = run / MANIFEST
    if not manifest_path.is_file():
        raise ConfigError(f"{run}: no {MANIFEST} here; give the folder of a training run (--out)")
    manifest = read_manifest(manifest_path)
    if "finished" not in manifest:
        raise ConfigError(f"{run}: this run is not finished; go on with --resume auto")
    rows = read_metrics(run / METRICS)
    if not rows or not manifest["sessions"]:
        raise ConfigError(f"{run}: {METRICS} or the sessions of {MANIFEST} are empty; train again")
    last, sessions = rows[-1], manifest["sessions"]
    options = read_options(run / CONFIG)
    held_out = run / HELD_OUT
    # A run that goes on from a model has its shape, whatever the preset.
    unused = {*_MACHINE, *(_SHAPE if options.get("encoder") else ())}
    return {
        "data": without_folders(manifest["data"]),
        "options": without_folders({k: v for k, v in options.items() if k not in unused}),
        "steps": int(last["step"]),
        "tokens": int(last["tokens"]),
        "hours": round(seconds_of_sessions(rows) / 3600, 3),
        # A session that found nothing left to do has none; runs before this entry had one.
        "processes": max(session.get("processes", 1) for session in sessions),
        "threads": sessions[-1]["threads"],
        "platform": sessions[-1]["platform"],
        "versions": sessions[-1]["versions"],
        "sessions": len(sessions),
        "finished": manifest["finished"],
        "final": {k: v for k, v in last.items() if v == v},
        "held_out": read_json(held_out, "train again") if held_out.is_file() else None,
    }


def stored_error(model: Any, folder: Path) -> dict[str, Any]:
    """Compare embeddings (mean and standard deviation) of real proteins, stored against given.

    Returns
    -------
    dict
        ``proteins``, and the ``median`` and ``largest`` distance relative to the length of the
        embedding's vector.
    """
    from lcplm_graph.datasets.string import StringPPI
    from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder

    store = StringPPI("string_human_core").sequences
    short = np.flatnonzero(store.lengths <= 512)
    rows = np.random.default_rng(0).permutation(short)[:_CHECKED]
    proteins = [store[int(i)] for i in rows]
    given = LcPlmEncoder(model.eval()).embed(proteins, "mean_std")
    distance = (load_encoder(folder).embed(proteins, "mean_std") - given).norm(dim=1)
    relative = distance / given.norm(dim=1)
    return {
        "proteins": len(proteins),
        "median": float(relative.median()),
        "largest": float(relative.max()),
    }


def seconds_of_sessions(rows: Sequence[dict[str, float]]) -> float:
    """Sum up the clock of every session: it starts anew with each."""
    total = before = 0.0
    for row in rows:
        now = row["seconds"]
        if now == now:
            total += now - before if now >= before else now
            before = now
    return total


def without_folders(values: Any) -> Any:
    """Cut paths down to the file's name: folders of this machine mean nothing elsewhere."""
    if isinstance(values, dict):
        return {k: without_folders(v) for k, v in values.items()}
    if isinstance(values, list):
        return [without_folders(v) for v in values]
    if isinstance(values, str) and "/" in values:
        kind, colon, path = values.rpartition(":")
        return f"{kind}{colon}{Path(path).name}"
    return values


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions:
    """Options of ``lcplm release``.

    Parameters
    ----------
    run
        Folder of a finished run of stage 1 or stage 2.
    out
        Folder to make; its name is the model's.
    pool
        Pooling to recommend; default: what the relation decoder reads, mean_std without one.
    full
        Store float32, not float16.
    before
        Runs that this one went on from, the first one first; or the released model.
    note
        Markdown file for the card: training data and their licence.
    """

    run: str = positional(metavar="RUN")
    out: str
    pool: Pool | None = None
    full: bool = False
    before: list[str] = several(default=[], metavar="RUN")
    note: str | None = None


def _release(options: ReleaseOptions) -> None:
    card = release(
        options.run,
        options.out,
        pool=options.pool,
        half=not options.full,
        note=read_note(options.note) if options.note else "",
        before=options.before,
    )
    print(f"written: {card}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("release", ReleaseOptions, _release, argv, str(__doc__))


def read_note(path: str) -> str:
    """Read the note for a card.

    Raises
    ------
    ConfigError
        If there is no such file, or it is not UTF-8.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8; convert the file's encoding") from None


if __name__ == "__main__":
    sys.exit(main())

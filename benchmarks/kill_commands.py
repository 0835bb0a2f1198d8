"""Commands that `kill_matrix.py` stops: fine-tuning, answers, pictures, pages, released models."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from kill_matrix import Job, tree

from lcplm_graph import __main__ as lcplm
from lcplm_graph.errors import LcPlmError
from lcplm_graph.files import catalog
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.proteins.fasta import write_fasta

_LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
_TRAINING = ("run.json", "metrics.csv", "tfevents", "config.yaml", ".png", "step-", "training.")
_PROPERTY = (
    "--epochs", "2", "--resamples", "5", "--split", "random", "--no-baselines", "--batch-size",
    "8", "--channels", "4", "--eval-every", "2", "--valid", "0.2", "--device", "cpu",
    "--checkpoint-minutes", "1e-9", "--resume", "auto", "--search", "kmer",
)  # fmt: skip


def function_options(inputs: Path) -> tuple[Any, ...]:
    """Return options of a small task of functions."""
    return (
        "--annotations", inputs / "goa.tsv", "--ontology", inputs / "go.obo", "--sequences",
        inputs / "a.fasta", "--evidence", "all", "--min-proteins", 3, "--encoder", "composition",
    )  # fmt: skip


def command(*words: Any) -> None:
    """Run ``lcplm WORDS``; raise what it says where it fails."""
    with contextlib.redirect_stderr(io.StringIO()) as told:
        status = lcplm.main(list(map(str, words)))
    if status:
        # Progress bars write into the same line.
        said = re.findall(r"lcplm [\w -]+: .*", told.getvalue())
        raise LcPlmError(said[-1] if said else f"status {status}: {told.getvalue()}")


def make_inputs(inputs: Path, server: Any) -> None:
    """Write what the commands read and is quick to make; serve what they download."""
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(_LETTERS, 12 + i % 9)) for i in range(30)]
    ids = [f"p{i}" for i in range(30)]
    write_fasta(inputs / "new.fasta", ids[:3], texts[:3])
    write_fasta(inputs / "one.fasta", ids[:1], texts[:1])
    frame = pd.DataFrame({"id": ids, "sequence": texts, "label": [t.count("A") for t in texts]})
    frame.to_csv(inputs / "labels.tsv", sep="\t", index=False)
    (inputs / "families.tsv").write_text("".join(f"P{i}\tPF{i % 3}\n" for i in range(24)))
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    model.save_pretrained(inputs / "tiny")
    _functions(inputs)
    _serve_species(inputs, server)


def _functions(inputs: Path) -> None:
    text = "format-version: 1.2\nontology: go\n"
    terms = {"GO:0003674": None, **dict.fromkeys(("GO:0000001", "GO:0000002"), "GO:0003674")}
    for term, parent in terms.items():
        text += f"\n[Term]\nid: {term}\nname: name of {term}\nnamespace: molecular_function\n"
        text += f"is_a: {parent}\n" if parent else ""
    (inputs / "go.obo").write_text(text)
    rows = [f"P{n}\tGO:000000{1 + n % 2}\tMFO\n" for n in range(24)]
    (inputs / "goa.tsv").write_text("EntryID\tterm\taspect\n" + "".join(rows))


def _serve_species(inputs: Path, server: Any) -> None:
    """Serve two species of STRING, and write a card that points there."""
    for taxon in (7, 8):
        rng = np.random.default_rng(taxon)
        ids = [f"{taxon}.P{i:02d}" for i in range(20)]
        pairs = sorted({(i, (i + k) % 20) for i in range(20) for k in (1, 3, 17, 19)})
        files = {
            "links.v12.0.txt.gz": ["protein1 protein2 combined_score"]
            + [f"{ids[a]} {ids[b]} {150 + 20 * (a + b)}" for a, b in pairs],
            "info.v12.0.txt.gz": ["#string_protein_id\tpreferred_name\tprotein_size\tannotation"]
            + [f"{name}\tG{i}\t30\ttext" for i, name in enumerate(ids)],
            "sequences.v12.0.fa.gz": [
                f">{name}\nM{''.join(rng.choice(_LETTERS, 20))}" for name in ids
            ],
        }
        for name, lines in files.items():
            content = gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)
            server.put(f"{taxon}.protein.{name}", content)
    card = inputs / "cards" / "string" / "card.toml"
    card.parent.mkdir(parents=True)
    text = (catalog.card_folder() / "string" / "card.toml").read_text()
    card.write_text(re.sub(r'(?m)^url = ".*/', f'url = "{server.url}/', text))


def command_jobs(
    inputs: Path, stage1: Callable[[Path], Any], trained: Callable[[Path], Any]
) -> dict[str, Job]:
    """Return the jobs by name; `stage1` makes a run in a folder, `trained` says what came out."""
    tiny, fasta, new, one = (inputs / n for n in ("tiny", "a.fasta", "new.fasta", "one.fasta"))
    embedded, labels, run = inputs / "a.h5", inputs / "labels.tsv", inputs / "released"
    graph = ("--graph", f"pairs:{inputs / 'p.tsv'}", "--encoder", "composition")

    def embed() -> None:
        command("embed", fasta, "--encoder", "composition", "--out", embedded)

    def finetune(out: Path, *more: str) -> None:
        command("finetune", labels, "--out", out, "--encoder", tiny, *_PROPERTY, *more)

    def predict(folder: Path, what: str, *words: Any) -> None:
        page = ("--report", folder / "page.html", "--save-head", folder / "head")
        command("predict", what, *words, *page, "--steps", 3)

    return {
        "score-command": Job(
            lambda f: command(
                "score", "--pairs", _some_pairs(f, new), "--sequences", new, "--out",
                f / "scores.tsv", "--details", "--report", f / "page.html",
            ),
            before=lambda f: _some_pairs(f, new),
        ),
        "search": Job(
            lambda f: command("search", fasta, "--db", embedded, "--out", f / "s.tsv"),
            inputs=embed,
        ),
        "map": Job(
            lambda f: command(
                "map", embedded, "--out", f / "map.png", "--labels", inputs / "families.tsv"
            ),
            inputs=embed,
        ),
        "variants": Job(
            lambda f: command(
                "variants", new, "--all-singles", "--out", f / "v.tsv", "--encoder", tiny,
                "--figures", f / "figures",
            )
        ),
        "contacts": Job(
            lambda f: command("contacts", one, "--out", f / "c.tsv", "--encoder", tiny)
        ),
        "edges": Job(
            lambda f: predict(f, "edges", "--out", f / "e.tsv", *graph, "--members", 1)
        ),
        "partners": Job(
            lambda f: predict(f, "partners", new, "--out", f / "p.cx2", *graph, "--members", 1)
        ),
        "function": Job(
            lambda f: predict(
                f, "function", fasta, "--out", f / "f.parquet", *function_options(inputs)
            )
        ),
        "shards": Job(
            lambda f: _convert(inputs / "cards", 7), _shards, volatile=("data/string",)
        ),
        "stage2-species": Job(
            lambda f: _walk_species(inputs / "cards", f / "run"),
            trained,
            before=lambda f: _convert(inputs / "cards", 7, 8),
            volatile=("data/string", *_TRAINING),
        ),
        "data-command": Job(
            lambda f: _with_cards(
                inputs / "cards", "data", "download", "string:7", "--role", "info"
            ),
            volatile=("data/string",),
        ),
        "release": Job(
            lambda f: command("release", run / "run", "--out", f / "lcplm-new"),
            inputs=lambda: stage1(run),
            before=lambda f: _released_before(f, run / "run"),
        ),
        "finetune": Job(lambda f: finetune(f / "run"), _tuned, volatile=_TRAINING),
        "predict-property": Job(
            lambda f: command("predict-property", inputs / "tuned", new, "--out", f / "a.tsv"),
            inputs=lambda: finetune(inputs / "tuned"),
        ),
    }  # fmt: skip


def _some_pairs(folder: Path, new: Path) -> Path:
    path = folder / "pairs.tsv"
    if not path.is_file():
        path.write_text("p0\tp1\np0\tp2\np1\tp2\n")
    return path


def _released_before(folder: Path, run: Path) -> None:
    """Make an older release, which has float32 and a note."""
    command("release", run, "--out", folder / "lcplm-new", "--full")
    (folder / "lcplm-new" / "note").write_text("stays")


def _with_cards(cards: Path, *words: Any) -> None:
    catalog.card_folder = lambda: cards
    command(*words)


def _convert(cards: Path, *taxa: int) -> None:
    from lcplm_graph.walks.shards import open_shards

    catalog.card_folder = lambda: cards
    open_shards([f"string:{taxon}" for taxon in taxa], kind="random", seed=0)


def _shards(folder: Path) -> dict[str, Any]:
    """Return what was converted, without the times of the raw files that the facts hold."""
    found: dict[str, Any] = dict(tree(folder, ("data/string", "shard.json")))
    for path in folder.rglob("shard.json"):
        facts = json.loads(path.read_text(encoding="utf-8"))
        del facts["files"]
        found[str(path.relative_to(folder))] = facts
    return found


def _walk_species(cards: Path, out: Path) -> None:
    _with_cards(
        cards, "stage2", "--graph", "string:7,string:8", "--encoder", "random:tiny", "--steps", 3,
        "--split", "random", "--max-tokens", 256, "--walk-tokens", 100, "--walk-length", 3,
        "--eval-pairs", 5, "--log-every", 1, "--eval-every", 3, "--out", out, "--devices", 1,
        "--checkpoint-minutes", "1e-9", "--resume", "auto",
    )  # fmt: skip


def _tuned(folder: Path) -> Any:
    """Weights, predictions and parts, and how many checkpoints are kept."""
    from lcplm_graph.finetuning.model import PropertyModel
    from lcplm_graph.training.checkpoints import checkpoints_in, is_intact

    run = folder / "run"
    checkpoints = checkpoints_in(run / "checkpoints")
    assert all(map(is_intact, checkpoints))
    model = PropertyModel.from_pretrained(run)
    weights = {name: value.tolist() for name, value in model.head.state_dict().items()}
    texts = [(run / name).read_text() for name in ("predictions.tsv", "parts.tsv")]
    pictures = sorted(path.name for path in run.glob("*.png"))
    return (
        load_encoder(run).fingerprint(), weights, texts, pictures,
        [path.name for path in checkpoints],
    )  # fmt: skip

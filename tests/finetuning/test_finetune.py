"""`lcplm finetune` from tables of every kind to a folder that predicts; kills, wrong tables."""

from __future__ import annotations

import json
import random
import signal
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import lcplm_graph
from lcplm_graph.__main__ import main
from lcplm_graph.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
    Interrupted,
    LcPlmWarning,
    LeakageError,
    SequenceError,
    TrainingError,
)
from lcplm_graph.finetuning.data import facts_of, read_data
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.module import BEST, FinetuneTask, load_best
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.run import finetune
from lcplm_graph.finetuning.target import Target
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.optim import learning_rate_factor

GREASY = "AILMFVW"
SMALL = {
    "epochs": 2, "resamples": 10, "split": "random", "baselines": False, "batch_size": 16,
    "channels": 8, "eval_every": 2, "valid": 0.2, "device": "cpu",
    "search": "kmer",
}  # fmt: skip

KINDS = {
    "regression": lambda s: f"{5 + 100 * greasy(s):.3f}",
    "binary": lambda s: "yes" if greasy(s) > 0.3 else "no",
    "multiclass": lambda s: "low" if greasy(s) < 0.2 else "mid" if greasy(s) < 0.4 else "high",
    "multilabel": lambda s: ";".join(c for c in "AGL" if c in s),
    "residue": lambda s: "".join("H" if c in GREASY else "P" for c in s),
}


def greasy(sequence: str) -> float:
    return sum(c in GREASY for c in sequence) / len(sequence)


def write(path: Path, columns: dict[str, list], separator: str = "\t") -> Path:
    rows = zip(*columns.values(), strict=True)
    lines = [separator.join(columns), *(separator.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def table(path: Path, proteins: list[str], kind: str) -> Path:
    ids = [f"p{i}" for i in range(len(proteins))]
    labels = [KINDS[kind](s) for s in proteins]
    return write(path, {"id": ids, "sequence": proteins, "label": labels})


def run(table: Path, out: Path, encoder: str, **options):
    return finetune(
        FinetuneOptions(table=str(table), out=str(out), encoder=encoder, **{**SMALL, **options})
    )


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("regression", "lora"),
        ("binary", "full"),
        ("multiclass", "head"),
        ("multilabel", "lora"),
        ("residue", "lora"),
    ],
)
def test_each_kind_becomes_a_model_that_predicts(kind, mode, encoder, proteins, tmp_path):
    out = tmp_path / "run"
    report = run(table(tmp_path / "t.tsv", proteins, kind), out, encoder, mode=mode)
    assert report.rows[0]["part"] == "test"
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["data"]["kind"] == kind and manifest["finished"]
    for name in ("training.png", "predictions.png", "results.json", "parts.tsv"):
        assert (out / name).stat().st_size > 100
    model = lcplm_graph.PropertyModel.from_pretrained(out)
    written = pd.read_csv(out / "predictions.tsv", sep="\t", keep_default_na=False)
    chosen = [proteins[int(name[1:])] for name in written["row"]]
    frame = model.predict(chosen)
    # What was tested is what the folder says.
    own = frame.columns[0] if kind == "regression" else "prediction"
    if kind == "regression":
        np.testing.assert_allclose(frame[own], written["prediction"], rtol=1e-4)
        assert own == "label"
    else:
        assert frame["prediction"].tolist() == written["prediction"].tolist()
    assert written["true"].astype(str).str.len().gt(0).any()
    # Alone as in a batch.
    both = model.answers(chosen[:7])
    for i, sequence in enumerate(chosen[:7]):
        np.testing.assert_allclose(model.answers([sequence])[0], both[i], rtol=1e-4, atol=1e-6)
    # The same encoder as features.
    features = load_encoder(out)
    mine = model.encoder.embed(chosen[:3])
    torch.testing.assert_close(features.embed(chosen[:3]), mine)
    changed = not torch.allclose(load_encoder(encoder).embed(chosen[:3]), mine)
    assert changed == (mode != "head" and report.facts["best step"] > 0)


@pytest.mark.parametrize("kind", ["binary", "residue"])
def test_proteins_unlike_those_of_training_are_told(kind, proteins, tmp_path):
    encoder, odd = ("lcplm-1m", "X" * 300) if kind == "residue" else ("composition", "W" * 40)
    out = tmp_path / "run"
    run(table(tmp_path / "t.tsv", proteins, kind), out, encoder, mode="head")
    model = PropertyModel.from_pretrained(out)
    assert model.farthest is not None and model.farthest >= 1.5
    told = "1 of 2 proteins are unlike anything seen in training, for example " + odd[:20]
    with pytest.warns(LcPlmWarning, match=told):
        model.predict([proteins[0], odd])
    model.farthest = None  # as folders of earlier versions have it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict([proteins[0], odd])


def test_the_random_head_before_training_is_never_kept(proteins, tmp_path):
    labels = table(tmp_path / "t.tsv", proteins, "binary")
    out = tmp_path / "run"
    made = run(labels, out, "composition", mode="head", head_lr=1e-12, epochs=20)
    rows = read_metrics(out / "metrics.csv")
    assert rows[0]["step"] == 0 and np.isfinite(rows[0]["valid_aupr"])
    assert made.facts["best step"] > 0


def test_a_run_heeds_no_mode_of_torch_and_leaves_the_generators(proteins, tmp_path):
    labels = table(tmp_path / "t.tsv", proteins, "binary")
    before = random.getstate(), torch.get_rng_state().tolist()
    with torch.inference_mode():
        run(labels, tmp_path / "run", "composition", mode="head")
    assert (random.getstate(), torch.get_rng_state().tolist()) == before


def test_a_head_learns_what_composition_says(proteins, tmp_path):
    report = run(
        table(tmp_path / "t.tsv", proteins, "regression"), tmp_path / "run", "composition",
        mode="head", epochs=60, head_lr=5e-3, patience=50, eval_every=20, baselines=True,
    )  # fmt: skip
    rows = {row["model"]: row for row in report.rows}
    assert rows["composition, head"]["spearman"].value > 0.6
    assert rows["composition, head"]["spearman"].low > 0
    assert rows["guess"]["spearman"] is None
    assert rows["composition, head"]["rmse"].value < rows["guess"]["rmse"].value
    model = PropertyModel.from_pretrained(tmp_path / "run")
    # In units of the labels: their spread is not that of standardised ones.
    assert model.answers(proteins).std() > 4 and 5 < model.answers(proteins).mean() < 60
    assert load_encoder(tmp_path / "run").name == "composition"


@pytest.mark.parametrize("mode", ["lora", "head"])
def test_a_stopped_run_goes_on_as_if_it_had_not(mode, encoder, proteins, tmp_path, monkeypatch):
    from lcplm_graph.finetuning.module import FinetuneTask

    source = table(tmp_path / "t.tsv", proteins, "regression")
    options = {"mode": mode, "epochs": 3, "dropout": 0.3}
    run(source, tmp_path / "whole", encoder, **options)
    step = FinetuneTask.training_step

    def stopped(self, batch, batch_idx):
        if batch.number == 4:
            signal.raise_signal(signal.SIGTERM)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(FinetuneTask, "training_step", stopped)
    with pytest.raises(Interrupted):
        run(source, tmp_path / "parts", encoder, **options)
    monkeypatch.undo()
    assert not (tmp_path / "parts" / "model").exists()
    with pytest.raises(Exception, match="--resume auto"):
        run(source, tmp_path / "parts", encoder, **options)
    with pytest.raises(Exception, match="other options"):
        run(source, tmp_path / "parts", encoder, **{**options, "dropout": 0.1}, resume="auto")
    run(source, tmp_path / "parts", encoder, **options, resume="auto")
    for name in ("predictions.tsv", "parts.tsv", "model/head.safetensors"):
        whole, parts = (tmp_path / run_ / name for run_ in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()
    whole, parts = (
        pd.read_csv(tmp_path / run_ / "metrics.csv").drop(columns=["seconds", "rows_per_second"])
        for run_ in ("whole", "parts")
    )
    pd.testing.assert_frame_equal(whole, parts)
    # As after a kill between the last checkpoint and the removal of an older one.
    kept = sorted((tmp_path / "parts" / "checkpoints").iterdir())
    (kept[0].parent / "step-00000001.ckpt").write_bytes(kept[0].read_bytes())
    (kept[0].parent / "step-00000000.ckpt").write_bytes(kept[0].read_bytes())
    run(source, tmp_path / "parts", encoder, **options, resume="auto")
    assert len(list(kept[0].parent.iterdir())) == 2


def test_the_memory_a_step_takes_changes_nothing(encoder, proteins, tmp_path):
    source = table(tmp_path / "t.tsv", proteins, "residue")
    for name, max_tokens in (("small", 30), ("large", 4096)):
        run(source, tmp_path / name, encoder, max_tokens=max_tokens, dropout=0.0)
    answers = [
        np.concatenate(PropertyModel.from_pretrained(tmp_path / n).answers(proteins))
        for n in ("small", "large")
    ]
    np.testing.assert_allclose(*answers, rtol=1e-3, atol=1e-5)


def test_the_adapter_beside_is_the_one_that_is_merged(encoder, proteins, tmp_path):
    run(table(tmp_path / "t.tsv", proteins, "binary"), tmp_path / "run", encoder, mode="lora",
        epochs=4, lr=0.05, patience=50)  # fmt: skip
    merged = load_encoder(tmp_path / "run").embed(proteins[:4])
    adapted = load_encoder(tmp_path / "run" / "model" / "adapter").embed(proteins[:4])
    torch.testing.assert_close(adapted, merged, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(merged, load_encoder(encoder).embed(proteins[:4]))


def test_pairs_have_no_order_and_are_remembered(encoder, proteins, tmp_path):
    rng = np.random.default_rng(1)
    first, second = rng.choice(proteins, size=(2, 80)).tolist()
    labels = [int(greasy(a) + greasy(b) > 0.6) for a, b in zip(first, second, strict=True)]
    source = write(tmp_path / "t.csv", {"seq_a": first, "seq_b": second, "label": labels}, ",")
    report = run(source, tmp_path / "run", encoder, task="pair", mode="lora")
    assert set(report.rows[0]) >= {"auroc", "aupr", "mcc"}
    model = PropertyModel.from_pretrained(tmp_path / "run")
    pairs = list(zip(first[:5], second[:5], strict=True))
    there, back = (model.answers(p) for p in (pairs, [(b, a) for a, b in pairs]))
    np.testing.assert_allclose(there, back, rtol=1e-5)
    np.testing.assert_allclose(model.answers(pairs[2:3]), there[2:3], rtol=1e-4)
    assert model.predict(pairs).columns.tolist() == ["prediction", "p(1)"]
    # The guard against leakage knows what this encoder was trained on.
    from lcplm_graph.proteins.store import SequenceStore
    from lcplm_graph.splits.leakage import saw_edges

    parts = pd.read_csv(tmp_path / "run" / "parts.tsv", sep="\t")["part"].tolist()
    seen = load_encoder(tmp_path / "run").seen_edges()
    distinct = sorted(set(proteins))
    digests = SequenceStore.from_records(map(str, range(len(distinct))), distinct).digests()
    place = {s: i for i, s in enumerate(distinct)}
    rows = np.array([[place[a], place[b]] for a, b in zip(first, second, strict=True)])
    train = rows[[part == "train" for part in parts]]
    assert saw_edges(seen, digests, np.sort(train, axis=1)) == len(train)
    with pytest.raises(InputError, match="no pairs"):
        model.predict([])
    # Another seed tests on pairs that this encoder was trained on.
    again = {"task": "pair", "mode": "head", "seed": 1, "epochs": 1}
    with pytest.raises(LeakageError, match=r"trained on \d+ of the 16 pairs .*--allow-leakage"):
        run(source, tmp_path / "again", str(tmp_path / "run"), **again)
    assert not (tmp_path / "again").exists()
    marked = run(source, tmp_path / "again", str(tmp_path / "run"), **again, allow_leakage=True)
    assert marked.rows[0]["model"].endswith("LEAKED")


def test_a_run_knows_what_it_learns_from_by_content(proteins, tmp_path):
    ids = [f"p{i}" for i in range(len(proteins))]
    source = write(tmp_path / "t.tsv", {"id": ids, "label": [i % 2 for i in range(len(ids))]})
    options = FinetuneOptions(
        table=str(source), out="x", task="binary", sequence=["id"], label=["label"],
        sequences=[str(tmp_path / "s.fasta")], split="random",
    )  # fmt: skip
    facts = []
    for texts in (proteins, [proteins[0][::-1], *proteins[1:]]):
        write_fasta(tmp_path / "s.fasta", ids, texts)
        facts.append(facts_of(options, read_data(options)))
    different = {key for key, value in facts[0].items() if facts[1][key] != value}
    assert different == {"examples_sha256"}


def test_splits_by_homology_and_by_column(encoder, proteins, tmp_path):
    # Every protein twice, the second with two residues changed: never on both sides.
    rng = np.random.default_rng(2)
    long = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), size=60)) for _ in range(30)]
    copies = ["W" + p[1:-1] + "W" for p in long]
    both = [s for pair in zip(long, copies, strict=True) for s in pair]
    source = table(tmp_path / "t.tsv", both, "regression")
    run(source, tmp_path / "run", encoder, mode="head", split="homology")
    parts = pd.read_csv(tmp_path / "run" / "parts.tsv", sep="\t", keep_default_na=False)["part"]
    pairs = {frozenset(pair) - {""} for pair in zip(parts[::2], parts[1::2], strict=True)}
    assert all(len(pair) <= 1 for pair in pairs) and len(set(parts)) >= 3
    leakage = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["leakage"]
    assert leakage["test"]["identical"] == 0 and leakage["test"]["similar"]["90%"] == 0
    named = ["train"] * 40 + ["test"] * 10 + ["test_far"] * 10
    labels = [KINDS["regression"](s) for s in proteins]
    source = write(
        tmp_path / "c.tsv", {"sequence": proteins[:59] + proteins[:1], "y": labels, "set": named}
    )
    with pytest.warns(UserWarning, match="1 of 10 proteins of the part test_far"):
        report = run(source, tmp_path / "column", encoder, mode="head", split="column")
    assert [row["part"] for row in report.rows] == ["test", "test_far"]
    leakage = json.loads((tmp_path / "column" / "run.json").read_text())["data"]["leakage"]
    assert leakage["test_far"]["identical"] == leakage["test_far"]["rows"] == 1
    assert "valid" in leakage


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_esm2_is_tuned_and_read_again(mode, proteins, tmp_path):
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, position_embedding_type="rotary", pad_token_id=1, mask_token_id=32,
        token_dropout=True,
    )  # fmt: skip
    torch.manual_seed(0)
    EsmModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "esm")
    source = table(tmp_path / "t.tsv", proteins, "multiclass")
    run(source, tmp_path / "run", f"esm2:{tmp_path / 'esm'}", mode=mode, lr=0.01)
    model = PropertyModel.from_pretrained(tmp_path / "run")
    assert model.predict(proteins[:2]).columns.tolist()[1:] == ["p(high)", "p(low)", "p(mid)"]
    features = load_encoder(tmp_path / "run")
    torch.testing.assert_close(features.embed(proteins[:2]), model.encoder.embed(proteins[:2]))


def test_the_command_asks_about_fasta_and_tables(encoder, proteins, tmp_path, capsys):
    source = table(tmp_path / "t.tsv", proteins, "residue")
    arguments = ["finetune", str(source), "--out", str(tmp_path / "run"), "--encoder", encoder]
    arguments += [
        "--search",
        "kmer",
        "--epochs",
        "1",
        "--split",
        "random",
        "--resamples",
        "0",
        "--channels",
        "0",
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "residue: classes H, P" in printed and "Q2" in printed and "amino acid alone" in printed
    fasta = tmp_path / "new.fasta"
    fasta.write_text("".join(f">n{i}\n{s}\n" for i, s in enumerate(proteins[:3])))
    ask = ["predict-property", str(tmp_path / "run")]
    assert main([*ask, str(fasta), "--out", str(tmp_path / "a.tsv")]) == 0
    frame = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    assert frame["protein"].tolist() == ["n0", "n1", "n2"]
    assert frame["prediction"].str.len().tolist() == [len(s) for s in proteins[:3]]
    assert main([*ask, str(fasta), "--out", str(tmp_path / "r.csv"), "--per-residue"]) == 0
    each = pd.read_csv(tmp_path / "r.csv", keep_default_na=False)
    assert "".join(each["residue"]) == "".join(proteins[:3])
    assert "".join(each["prediction"]) == "".join(frame["prediction"])
    np.testing.assert_allclose(each[["p(H)", "p(P)"]].sum(axis=1), 1, rtol=1e-4)
    pd.DataFrame({"name": ["a"], "seq": proteins[:1]}).to_parquet(tmp_path / "in.parquet")
    out = tmp_path / "b.parquet"
    assert main([*ask, str(tmp_path / "in.parquet"), "--out", str(out)]) == 0
    assert pd.read_parquet(out)["prediction"].tolist() == frame["prediction"].tolist()[:1]
    for arguments, told in {
        (str(fasta), "--out", "x.doc"): "x.doc should end in one of .tsv",
        (str(tmp_path / "no.fasta"), "--out", "x.tsv"): "no such file",
    }.items():
        assert main([*ask, *arguments]) == 1
        assert told in capsys.readouterr().err
    assert main(["predict-property", encoder, str(fasta), "--out", str(out)]) == 1
    assert "lcplm finetune wrote" in capsys.readouterr().err


def test_a_number_may_be_called_protein(proteins, tmp_path):
    numbers = [KINDS["regression"](s) for s in proteins]
    path = write(tmp_path / "t.tsv", {"sequence": proteins, "protein": numbers})
    run(path, tmp_path / "run", "composition", mode="head", label=["protein"])
    out, fasta = tmp_path / "answers.tsv", tmp_path / "p.fasta"
    write_fasta(fasta, ["a", "b"], proteins[:2])
    assert main(["predict-property", str(tmp_path / "run"), str(fasta), "--out", str(out)]) == 0
    assert pd.read_table(out).columns.tolist() == ["protein", "prediction"]


def test_names_are_of_single_proteins(encoder, proteins, tmp_path, capsys):
    ends = [proteins, proteins[1:] + proteins[:1]]
    labels = [str(i % 2) for i in range(60)]
    path = write(tmp_path / "t.tsv", {"sequence1": ends[0], "sequence2": ends[1], "label": labels})
    run(path, tmp_path / "run", "composition", mode="head")
    arguments = ["predict-property", str(tmp_path / "run"), str(path), "--id", "label"]
    assert main([*arguments, "--out", str(tmp_path / "out.tsv")]) == 1
    assert "--id is of single proteins" in capsys.readouterr().err


def test_options_that_do_nothing_are_named(proteins, tmp_path):
    path = table(tmp_path / "t.tsv", proteins, "binary")
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="--part, --identity, --rank does nothing"):
        run(path, tmp_path / "run", "composition", mode="head", rank=4, identity=0.5, part="label")
    of = FinetuneOptions(table="t", out="o", split="column", test=0.3, pool="mean", part="x")
    assert of.unused("column", "binary") == ["--test"]
    assert of.unused("column", "residue") == ["--test", "--pool"]
    assert FinetuneOptions(table="t", out="o").unused("column", "binary") == []


def test_the_rate_in_the_metrics_is_the_one_of_the_step(proteins, tmp_path):
    run(table(tmp_path / "t.tsv", proteins, "binary"), tmp_path / "run", "composition", mode="head")
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    steps = int(rows[-1]["step"])
    for row in rows[1:]:
        factor = learning_rate_factor(
            int(row["step"]) - 1, steps=steps, warmup=100, schedule="cosine"
        )
        assert row["lr"] == pytest.approx(1e-3 * factor)
    assert rows[-1]["lr"] > 0


def test_a_gradient_that_is_not_finite_ends_the_run(proteins, tmp_path, monkeypatch):
    def explode(self, loss, *args, **kwargs):
        (loss * torch.tensor(float("inf"))).backward()

    monkeypatch.setattr(FinetuneTask, "manual_backward", explode)
    path = table(tmp_path / "t.tsv", proteins, "binary")
    with pytest.raises(TrainingError, match="the gradient is not finite at step 1"):
        run(path, tmp_path / "run", "composition", mode="head")


def test_features_are_computed_in_batches_of_the_budget(proteins, tmp_path, monkeypatch):
    sizes = []
    encode = CompositionEncoder.encode

    def measured(self, packed):
        sizes.append(len(packed.input_ids))
        return encode(self, packed)

    monkeypatch.setattr(CompositionEncoder, "encode", measured)
    path = table(tmp_path / "t.tsv", proteins, "binary")
    run(path, tmp_path / "run", "composition", mode="head", max_tokens=64)
    assert max(sizes) <= 64


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (["1", *["0"] * 59], ConfigError, "AUPR, which the best state is chosen by, has no value"),
        (["4", *["3.5"] * 59], ConfigError, "Spearman, which the best state is chosen by, has no"),
        ([f"{i}e305" for i in range(60)], DataError, "too far to be standardised; give them in"),
    ],
)
def test_labels_that_cannot_be_judged_are_told_before_the_run(
    labels, error, text, proteins, tmp_path
):
    part = ["train"] * 40 + ["valid"] * 10 + ["test"] * 10
    labels = labels[1:40] + labels[:1] + labels[40:]
    path = write(tmp_path / "t.tsv", {"sequence": proteins, "label": labels, "split": part})
    with pytest.raises(error, match=text):
        run(path, tmp_path / "run", "composition", mode="head", split="column")
    assert not (tmp_path / "run").exists()


def test_tested_proteins_may_be_without_any_label(proteins, tmp_path):
    part = ["train"] * 40 + ["valid"] * 10 + ["test"] * 10
    flags = [str(i % 2) for i in range(50)] + ["0"] * 10
    columns = {"sequence": proteins, "a": flags, "b": flags[50:] + flags[:50], "split": part}
    columns["b"][50:] = ["0"] * 10
    path = write(tmp_path / "t.tsv", columns)
    out = tmp_path / "run"
    run(path, out, "composition", mode="head", split="column", label=["a", "b"])
    assert (out / "predictions.png").is_file()


def test_a_damaged_best_state_is_not_taken_for_one(tmp_path):
    model = PropertyModel(load_encoder("composition"), Target("binary", ("no", "yes")))
    task = FinetuneTask(model, FinetuneOptions(table="t", out="o", mode="head"), 1)
    good = {name: value + 1 for name, value in task.state_dict().items()}
    save_file(good, tmp_path / BEST)
    load_best(task, tmp_path)
    assert all(torch.equal(value, good[name]) for name, value in task.state_dict().items())
    name, *rest = good
    other = {name: good[name]}, {f"{name}x": good[name], **{k: good[k] for k in rest}}
    for state in other:
        save_file(state, tmp_path / BEST)
        with pytest.raises(CheckpointError, match="not those that this run trains"):
            load_best(task, tmp_path)
    (tmp_path / BEST).write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match=f"{BEST}: not readable"):
        load_best(task, tmp_path)


def test_damaged_folders_get_one_sentence(encoder, proteins, tmp_path):
    run(table(tmp_path / "t.tsv", proteins, "binary"), tmp_path / "run", encoder, mode="head")
    model = PropertyModel.from_pretrained(tmp_path / "run")
    with pytest.raises(SequenceError, match="number 1"):
        model.predict(["MK", "M1K"])
    with pytest.raises(SequenceError, match="empty"):
        model.predict([""])
    folder = tmp_path / "run" / "model"
    stored = json.loads((folder / "property.json").read_text())
    for change, told in (
        ({"encoder": "bert"}, "the encoder is 'bert'"),
        ({"target": {"kind": "colour"}}, "not the description of a target"),
        ({"head": {"channels": 9, "dropout": 0.1}}, "do not fit the head"),
        ({"format": 7}, "format 7"),
        ({"head": {"channels": 10**9, "dropout": 0.1}}, "channels must be between"),
        ({"head": {"channels": -1, "dropout": 0.1}}, "channels must be between"),
        ({"head": {"channels": 8, "dropout": float("nan")}}, "dropout must be between"),
        ({"pool": "nope"}, "unknown pooling 'nope'"),
        ({"farthest": float("nan")}, "farthest must be between"),
        ({"farthest": "4"}, "farthest must be a number"),
        ({"target": stored["target"] | {"names": ["a", "b", "c"]}}, "the description of a target"),
        ({"target": stored["target"] | {"spread": 0}}, "the description of a target"),
    ):
        (folder / "property.json").write_text(json.dumps(stored | change))
        with pytest.raises(CheckpointError, match=rf"{folder}.*{told}"):
            PropertyModel.from_pretrained(folder)

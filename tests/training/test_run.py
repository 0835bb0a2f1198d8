from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
import torch
import yaml

from lcplm_graph.errors import (
    CheckpointError,
    ConfigError,
    LcPlmError,
    LcPlmWarning,
    TrainingError,
    WriteError,
)
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.stage1 import train
from lcplm_graph.training.checkpoints import (
    Interrupted,
    checkpoints_in,
    is_intact,
    newest_intact,
    step_of,
)
from lcplm_graph.training.manifest import begin_session
from lcplm_graph.training.metrics import Metrics, read_metrics
from lcplm_graph.training.module import MaskedLMTask
from lcplm_graph.training.resume import stored_options
from lcplm_graph.training.windows import CorpusBatches


def _weights(out) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def test_a_run_leaves_everything_it_promises(tiny_options, tmp_path) -> None:
    options = tiny_options(accumulate=2, log_every=2)
    train(options)
    out = tmp_path / "run"
    assert yaml.safe_load((out / "config.yaml").read_text())["preset"] == "tiny"
    assert [row["step"] for row in read_metrics(out / "metrics.csv")] == [0, 2, 4, 6]
    for name in ("loss.png", "loss_by_length.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"
    assert list((out / "tensorboard").glob("events*"))
    manifest = json.loads((out / "run.json").read_text())
    assert len(manifest["data"]["sha256"]) == 64
    assert manifest["finished"]
    report = json.loads((out / "held_out.json").read_text())
    assert set(report["losses"]) == set(report["floors"])
    assert load_encoder(out).embed(["MKTAYIAK"]).shape == (1, 16)
    assert json.loads((out / "model" / "training.json").read_text())["steps"] == 6


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_workers_change_nothing(tiny_options, tmp_path) -> None:
    weights = []
    for workers in (0, 1, 3):
        options = tiny_options(out=str(tmp_path / f"run{workers}"), workers=workers, accumulate=2)
        train(options)
        weights.append(_weights(tmp_path / f"run{workers}"))
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_saves_and_ends_the_workers(
    signum: int, tiny_options, tmp_path
) -> None:
    """As Ctrl-C in a terminal, `timeout` and batch systems send it."""
    out = tmp_path / "group"
    words = f"--preset 1m --d-model 16 --n-layer 1 --steps 100000 --max-tokens 256 --workers 2 \
        --eval-tokens 300 --log-every 1 --devices 1 --out {out}"
    corpus = tiny_options().corpus
    command = [sys.executable, "-m", "lcplm_graph.stage1", f"--corpus={corpus}", *words.split()]
    run = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    metrics = out / "metrics.csv"
    while run.poll() is None and not (metrics.is_file() and metrics.read_text().count("\n") > 4):
        time.sleep(0.05)
    assert run.returncode is None, run.communicate()[1].decode()[-2000:]
    os.killpg(run.pid, signum)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + signum, errors.decode()[-2000:]
    assert is_intact(newest_intact(checkpoints_in(out / "checkpoints")))
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


def test_it_learns(tiny_options, tmp_path) -> None:
    train(tiny_options(steps=60, lr=1e-2, eval_every=60, log_every=60))
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    losses = [row["valid_mask_only_loss"] for row in rows]
    assert losses[-1] < losses[0] - 1.5
    assert rows[-1]["valid_mask_only_loss"] < 3.2


def test_folder_in_use_and_other_options(tiny_options, tmp_path) -> None:
    train(tiny_options())
    with pytest.raises(ConfigError, match="already holds a run; go on with --resume auto"):
        train(tiny_options())
    with pytest.raises(ConfigError) as caught:
        train(tiny_options(resume="auto", lr=0.5, steps=7, checkpoint_minutes=1.0))
    text = str(caught.value)
    assert "lr: 0.003 then, 0.5 now" in text
    assert "steps: 6 then, 7 now" in text
    assert "checkpoint_minutes" not in text
    train(tiny_options(resume="auto"))  # finished: nothing to do, nothing broken


def test_what_a_kill_left_of_checkpoints_goes(tiny_options, tmp_path) -> None:
    """After the last one was written, before an older one was removed."""
    train(tiny_options(checkpoint_minutes=1e-9))
    folder = tmp_path / "run" / "checkpoints"
    kept = sorted(folder.iterdir())
    (folder / "step-00000004.ckpt").write_bytes(kept[0].read_bytes())
    (folder / ".step-00000006.part.ckpt").write_bytes(b"half")
    train(tiny_options(resume="auto", checkpoint_minutes=1e-9))
    assert sorted(folder.iterdir()) == kept


def test_a_disk_that_gets_full_is_one_sentence(tiny_options, monkeypatch) -> None:
    """Also where TensorBoard or Lightning writes, and not a function of ours."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lcplm_graph.training.run.TensorBoardLogger.log_metrics", refuse)
    with pytest.raises(WriteError, match="run: the disk is full"):
        train(tiny_options())


def test_devices_that_do_not_exist(tiny_options) -> None:
    with pytest.raises(ConfigError, match="Lightning refuses"):
        train(tiny_options(strategy="nonsense"))
    train(tiny_options())  # the folder is still free


def test_resume_of_a_path_that_is_none(tiny_options) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.ckpt: no such checkpoint"):
        train(tiny_options(resume="nowhere.ckpt"))


def _interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, signum: int) -> None:
    original = MaskedLMTask.training_step

    def training_step(self, batch, batch_idx):
        if self.trainer.global_step == step:
            os.kill(os.getpid(), signum)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(MaskedLMTask, "training_step", training_step)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_resume_ends_with_the_same_weights(tiny_options, tmp_path, signum) -> None:
    train(tiny_options(out=str(tmp_path / "whole")))
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    with pytest.MonkeyPatch.context() as patch:
        _interrupt_at(patch, 2, signum)
        with pytest.raises(Interrupted) as caught:
            train(tiny_options())
    assert step_of(caught.value.path) == 3
    assert not (tmp_path / "run" / "model").exists()
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == handlers
    train(tiny_options(resume="auto"))
    assert _weights(tmp_path / "run") == _weights(tmp_path / "whole")


def test_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tiny_options, tmp_path, monkeypatch
) -> None:
    train(tiny_options(checkpoint_minutes=1e-9))
    out = tmp_path / "run"
    weights = _weights(out)
    newest, before = checkpoints_in(out / "checkpoints")
    assert (step_of(newest), step_of(before)) == (6, 5)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # a single flipped bit
    newest.write_bytes(content)
    (out / "model" / "model.safetensors").unlink()
    forget_warnings()
    with pytest.warns(LcPlmWarning, match=r"step-00000006\.ckpt is damaged.*step-00000005"):
        train(tiny_options(resume="auto", checkpoint_minutes=1e-9))
    assert _weights(out) == weights
    assert newest.with_name(newest.name + ".damaged").is_file()
    steps = [row["step"] for row in read_metrics(out / "metrics.csv")]
    assert steps == [0, 1, 2, 3, 4, 5, 6]


def test_going_back_to_an_older_checkpoint(tiny_options, tmp_path) -> None:
    train(tiny_options(checkpoint_minutes=1e-9))
    out = tmp_path / "run"
    weights, (newest, before) = _weights(out), checkpoints_in(out / "checkpoints")
    train(tiny_options(resume=str(before)))
    assert newest.with_name(newest.name + ".superseded").is_file()
    assert [step_of(p) for p in checkpoints_in(out / "checkpoints")] == [6, 5]
    assert _weights(out) == weights
    assert [row["step"] for row in read_metrics(out / "metrics.csv")] == list(range(7))


def test_all_checkpoints_damaged(tmp_path) -> None:
    bad = [tmp_path / "step-00000002.ckpt", tmp_path / "step-00000001.ckpt"]
    for path in bad:
        path.write_bytes(b"no archive")
        assert not is_intact(path)
    with pytest.raises(CheckpointError, match=r"step-00000002\.ckpt, .*step-00000001\.ckpt"):
        newest_intact(bad)


def test_nan_stops_before_anything_is_touched(tiny_options, tmp_path, monkeypatch) -> None:
    original = MaskedLMTask.training_step

    def training_step(self, batch, batch_idx):
        result = original(self, batch, batch_idx)
        if batch.number == 7:
            result["loss"] = result["loss"] * float("nan")
            self._bad.append(batch.number)
        return result

    monkeypatch.setattr(MaskedLMTask, "training_step", training_step)
    with pytest.raises(TrainingError, match=r"loss in batches \[7\].*at step 4 \(batches 6 to 7"):
        train(tiny_options(accumulate=2, checkpoint_minutes=1e-9))
    out = tmp_path / "run"
    newest = checkpoints_in(out / "checkpoints")[0]
    assert step_of(newest) == 3
    state = torch.load(newest, weights_only=True)["state_dict"]
    assert all(torch.isfinite(v).all() for v in state.values())
    assert not (out / "model").exists()


def test_gradient_that_is_not_finite_stops_too(tiny_options, tmp_path, monkeypatch) -> None:
    def explode(self, loss, *args, **kwargs):
        (loss * torch.tensor(float("inf"))).backward()

    monkeypatch.setattr(MaskedLMTask, "backward", explode)
    with pytest.raises(TrainingError, match=r"gradient is not finite at step 1"):
        train(tiny_options())


def test_kill_before_the_first_checkpoint_starts_again(tiny_options, tmp_path, monkeypatch) -> None:
    def crash(self, index):
        raise RuntimeError("power cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CorpusBatches, "batch", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny_options())
    train(tiny_options(resume="auto"))
    steps = [row["step"] for row in read_metrics(tmp_path / "run" / "metrics.csv")]
    assert steps == list(range(7))


def test_accumulation_counts_as_one_step(tiny_options, tmp_path) -> None:
    train(tiny_options(accumulate=3, steps=4))
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[-1]["tokens"] > 4 * 3 * 128


def test_bf16_runs_and_stays_near_float32(tiny_options, tmp_path) -> None:
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        out = tmp_path / precision
        train(tiny_options(out=str(out), precision=precision, steps=20))
        losses[precision] = read_metrics(out / "metrics.csv")[-1]["residue_loss"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.02)


def test_metrics_state_survives(tmp_path) -> None:
    metrics = Metrics(1, 1, lambda *_: {})
    metrics.load_state_dict({"scores": [1.0, 2.0, 3.0, 0.0, 0.0, 0.0], "tokens": 7})
    assert metrics.tokens == 7
    assert metrics.scores.tolist()[:3] == [1.0, 2.0, 3.0]


def _stopped(tiny_options, monkeypatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _interrupt_at(patch, 2, signal.SIGTERM)
        with pytest.raises(Interrupted):
            train(tiny_options())


def test_resuming_on_other_data_is_refused(tiny_options, tmp_path, fasta, monkeypatch) -> None:
    _stopped(tiny_options, monkeypatch)
    manifest = (tmp_path / "run" / "run.json").read_text()
    text = fasta.read_text()
    fasta.write_text(text.replace("L", "W"))
    with pytest.raises(ConfigError, match="cannot resume on other data .*sha256: "):
        train(tiny_options(resume="auto"))
    assert (tmp_path / "run" / "run.json").read_text() == manifest
    fasta.write_text(text)
    train(tiny_options(resume="auto"))


@pytest.mark.parametrize("name", ["config.yaml", "run.json"])
def test_resuming_from_what_nothing_tells_of_is_refused(
    tiny_options, tmp_path, monkeypatch, name
) -> None:
    _stopped(tiny_options, monkeypatch)
    out, aside = tmp_path / "run", tmp_path / name
    (out / name).rename(aside)
    with pytest.raises(CheckpointError, match=rf"{name}: missing, so it cannot be told what"):
        train(tiny_options(resume="auto"))
    assert not (out / name).exists()
    # A checkpoint that was moved is of the run it goes on with.
    aside.rename(out / name)
    (checkpoint,) = checkpoints_in(out / "checkpoints")
    moved = checkpoint.rename(tmp_path / checkpoint.name)
    with pytest.raises(ConfigError, match="lr: "):
        train(tiny_options(resume=str(moved), lr=0.5))
    if name == "run.json":
        (out / name).write_text('{"data": {}, "sessions": []}')
        with pytest.raises(CheckpointError, match="it does not say on which data"):
            train(tiny_options(resume=str(moved)))


def test_a_manifest_keeps_no_secrets(tiny_options, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["stage1", "--corpus=https://me:hunter2@host/x?token=s3cret"])
    (tmp_path / "run").mkdir()
    begin_session(tiny_options(), {}, None, 1)
    text = (tmp_path / "run" / "run.json").read_text()
    assert "https://...@host/x?..." in text
    assert "hunter2" not in text


def test_a_folder_is_one_runs(tiny_options, tmp_path) -> None:
    from lcplm_graph.training.resume import claimed

    options = tiny_options()
    with claimed(options), pytest.raises(ConfigError, match="another process trains there now"):
        train(options)
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".run*"))
    train(options)


@pytest.mark.parametrize("name", ["config.yaml", "run.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "a: [", "\x00", '{"data": 3}'])
def test_run_files_that_cannot_be_read(tiny_options, tmp_path, monkeypatch, name, text) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": {}, "global_step": 3}, out / "checkpoints" / "step-00000003.ckpt")
    (out / "config.yaml").write_text(yaml.safe_dump(stored_options(tiny_options())))
    (out / "run.json").write_text('{"data": {}, "sessions": []}')
    (out / name).write_text(text)
    with pytest.raises(LcPlmError, match=rf"{name}: |other options"):
        train(tiny_options(resume="auto"))


def test_a_checkpoint_of_another_model(tiny_options, tmp_path) -> None:
    out = tmp_path / "run"
    train(tiny_options(checkpoint_minutes=1e-9))
    path = checkpoints_in(out / "checkpoints")[1]
    content = torch.load(path, weights_only=True)
    key = next(iter(content["state_dict"]))
    content["state_dict"][key] = torch.ones(3)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="its tensors do not fit this model"):
        train(tiny_options(resume=str(path)))


def test_an_archive_that_torch_cannot_read_is_damaged(tiny_options, tmp_path) -> None:
    path = tmp_path / "step-00000001.ckpt"
    torch.save({"state_dict": {}, "global_step": 1}, path)
    assert is_intact(path)
    torch.save({"state_dict": {}, "global_step": 2}, path)
    assert not is_intact(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("whole.txt", "of no checkpoint")
    assert not is_intact(path)

"""Checkpoints: published names, shared projections under either name, and what can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lcplm_graph.errors import CheckpointError, ConfigError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmForMaskedLM, LcPlmModel
from lcplm_graph.tokens.packing import tokenize

PACKED = tokenize(["MKTAYIAK", "GA"])


def tiny(**options) -> LcPlmForMaskedLM:
    torch.manual_seed(1)
    return LcPlmForMaskedLM(LcPlmConfig(**{"d_model": 16, "n_layer": 2, **options})).eval()


def logits(model: LcPlmForMaskedLM) -> torch.Tensor:
    with torch.no_grad():
        return model(PACKED.input_ids, cu_seqlens=PACKED.cu_seqlens).logits


def saved(folder: Path, **options) -> tuple[LcPlmForMaskedLM, Path]:
    model = tiny(**options)
    model.save_pretrained(folder)
    return model, folder


def rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "options",
    [{}, {"share_projections": False}, {"bidirectional": False}, {"tie_embeddings": True}],
)
def test_save_load_gives_identical_logits(tmp_path: Path, options) -> None:
    model, folder = saved(tmp_path, **options)
    assert torch.equal(logits(LcPlmForMaskedLM.from_pretrained(folder)), logits(model))


def test_names_and_shapes_are_the_published_ones(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    stored = {k: tuple(v.shape) for k, v in load_file(folder / "model.safetensors").items()}
    assert len(stored) == 2 * 17 + 3
    layer = "bimamba.backbone.layers.1."
    expected = {
        "bimamba.backbone.embedding.weight": (128, 16),
        "bimamba.backbone.norm_f.weight": (16,),
        "lm_head.weight": (128, 16),
        layer + "norm.weight": (16,),
        layer + "mixer.mamba_fwd.in_proj.weight": (64, 16),
        layer + "mixer.mamba_fwd.out_proj.weight": (16, 32),
        layer + "mixer.mamba_rev.conv1d.weight": (32, 1, 4),
        layer + "mixer.mamba_rev.conv1d.bias": (32,),
        layer + "mixer.mamba_rev.x_proj.weight": (33, 32),
        layer + "mixer.mamba_rev.dt_proj.weight": (32, 1),
        layer + "mixer.mamba_rev.dt_proj.bias": (32,),
        layer + "mixer.mamba_rev.A_log": (32, 16),
        layer + "mixer.mamba_rev.D": (32,),
    }
    assert expected.items() <= stored.items()
    assert layer + "mixer.mamba_rev.in_proj.weight" not in stored


@pytest.mark.parametrize("kept", ["rev", "both"])
def test_shared_projections_under_either_name(tmp_path: Path, kept: str) -> None:
    model, folder = saved(tmp_path)

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for key in [k for k in tensors if "fwd.in_proj" in k or "fwd.out_proj" in k]:
            value = tensors[key] if kept == "both" else tensors.pop(key)
            tensors[key.replace("mamba_fwd", "mamba_rev")] = value.clone()

    rewrite(folder, rename)
    assert torch.equal(logits(LcPlmForMaskedLM.from_pretrained(folder)), logits(model))


def test_unequal_copies_of_a_shared_projection_are_refused(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    key = "bimamba.backbone.layers.0.mixer.mamba_rev.in_proj.weight"
    rewrite(folder, lambda tensors: tensors.update({key: torch.ones(64, 16)}))
    with pytest.raises(CheckpointError, match=r"layers\.0\..*in_proj\.weight .* differ"):
        LcPlmForMaskedLM.from_pretrained(folder)


def test_hugging_face_auto_classes(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM

    model, folder = saved(tmp_path)
    loaded = AutoModelForMaskedLM.from_pretrained(folder)
    assert isinstance(loaded, LcPlmForMaskedLM)
    assert torch.equal(logits(loaded), logits(model))
    assert isinstance(AutoModel.from_pretrained(folder), LcPlmModel)
    with pytest.raises(ConfigError, match="does not know devicemap"):
        LcPlmForMaskedLM.from_pretrained(folder, devicemap="auto")


def test_encoder_loads_from_a_masked_lm_checkpoint(tmp_path: Path) -> None:
    model, folder = saved(tmp_path)
    encoder = LcPlmModel.from_pretrained(folder)
    with torch.no_grad():
        got = encoder(PACKED.input_ids, cu_seqlens=PACKED.cu_seqlens).last_hidden_state
    torch.testing.assert_close(got @ model.lm_head.weight.T, logits(model))
    encoder.save_pretrained(tmp_path / "encoder")
    again = LcPlmModel.from_pretrained(tmp_path / "encoder")
    assert all(map(torch.equal, encoder.parameters(), again.parameters()))


def test_shards(tmp_path: Path) -> None:
    model, folder = saved(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
    for file, keys in files.items():
        save_file({k: tensors[k] for k in keys}, folder / file)
    index = {"weight_map": {k: file for file, keys in files.items() for k in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(logits(LcPlmForMaskedLM.from_pretrained(folder)), logits(model))
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors: this shard is missing"):
        LcPlmForMaskedLM.from_pretrained(folder)


def test_everything_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["lm_head.weight"]
        tensors["lm_head.extra"] = torch.ones(2)
        tensors["bimamba.backbone.norm_f.weight"] = torch.ones(17)

    rewrite(folder, spoil)
    with pytest.raises(CheckpointError) as error:
        LcPlmForMaskedLM.from_pretrained(folder)
    text = str(error.value)
    assert "1 missing: lm_head.weight" in text
    assert "1 unexpected: lm_head.extra" in text
    assert "norm_f.weight (17,) instead of (16,)" in text


def test_lfs_pointer(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3011271376\n"
    )
    with pytest.raises(CheckpointError, match="Git-LFS pointer.*git lfs pull"):
        LcPlmForMaskedLM.from_pretrained(folder)


def test_damaged_or_missing_files(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        LcPlmForMaskedLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="neither model.safetensors nor"):
        LcPlmForMaskedLM.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        LcPlmForMaskedLM.from_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "esm"}')
    with pytest.raises(CheckpointError, match="model_type is 'esm'"):
        LcPlmForMaskedLM.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"there is no config\.json"):
        LcPlmForMaskedLM.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="no such folder"):
        LcPlmForMaskedLM.from_pretrained(tmp_path / "nowhere")


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="not to be had from the Hugging Face hub"):
        LcPlmForMaskedLM.from_pretrained("nobody/nothing", local_files_only=True)


def test_interrupted_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    model, folder = saved(tmp_path)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lcplm_graph.models.checkpoint_writer.save_torch_state_dict", fail)
    with pytest.raises(OSError, match="the disk is full"):
        tiny(d_model=32).save_pretrained(folder)
    assert torch.equal(logits(LcPlmForMaskedLM.from_pretrained(folder)), logits(model))
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json", "model.safetensors", "modeling_lc_plm.py", "tokenizer_config.json",
    ]  # fmt: skip


def test_licence_of_the_published_weights_is_said_once(tmp_path: Path, monkeypatch) -> None:
    _, folder = saved(tmp_path)
    monkeypatch.setattr(
        "lcplm_graph.models.checkpoints.PUBLISHED_SHAPE", {"d_model": 16, "n_layer": 2}
    )
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="CC-BY-NC-4.0") as caught:
        LcPlmForMaskedLM.from_pretrained(folder)
        LcPlmForMaskedLM.from_pretrained(folder)
    assert len(caught) == 1
    forget_warnings()
    (folder / "training.json").write_text("{}")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", LcPlmWarning)
        LcPlmForMaskedLM.from_pretrained(folder)

"""What Hugging Face's own tools ask of a model: options, `Trainer`, saving, other heads, peft."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Trainer,
    TrainingArguments,
)

from lcplm_graph.errors import CheckpointError, ConfigError, InputError
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.lora import lora_config
from lcplm_graph.models.modeling import (
    LcPlmForMaskedLM,
    LcPlmForSequenceClassification,
    LcPlmForTokenClassification,
    LcPlmModel,
)
from lcplm_graph.tokens.packing import pad, tokenize

IDS, MASK = pad(tokenize(["MKTAYIAK", "GAVLIM"]))


def tiny(cls=LcPlmForMaskedLM, **options):
    torch.manual_seed(0)
    return cls(LcPlmConfig(**{"d_model": 16, "n_layer": 2, **options})).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny(pool="mean_std").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("cls", [LcPlmModel, LcPlmForMaskedLM])
@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, torch.float32),
        ({"dtype": "bfloat16"}, torch.bfloat16),
        ({"dtype": torch.bfloat16}, torch.bfloat16),
        ({"torch_dtype": "float16"}, torch.float16),
        ({"dtype": "auto"}, torch.float32),
        ({"device_map": "cpu"}, torch.float32),
        ({"low_cpu_mem_usage": True}, torch.float32),
        ({"use_safetensors": True}, torch.float32),
    ],
)
def test_options_of_loading(folder: Path, cls, options, dtype) -> None:
    model = cls.from_pretrained(folder, **options)
    assert {p.dtype for p in model.parameters()} == {dtype}
    output = model(IDS, MASK)[0]
    assert output.dtype == torch.float32
    exact = cls.from_pretrained(folder)(IDS, MASK)[0]
    torch.testing.assert_close(output, exact, rtol=0.1, atol=0.1)


def test_auto_dtype_is_the_stored_one(tmp_path: Path) -> None:
    tiny().to(torch.bfloat16).save_pretrained(tmp_path)
    assert AutoModel.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    assert AutoModel.from_pretrained(tmp_path).dtype == torch.float32


def test_loading_info_config_overrides_and_refusals(folder: Path) -> None:
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert isinstance(model, LcPlmModel)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    asked = LcPlmForMaskedLM.from_pretrained(folder, output_hidden_states=True, return_dict=False)
    logits, states = asked(IDS, MASK)
    assert len(states) == 3 and logits.shape == (2, 10, 128)
    for options, words in {
        ("dtype", "int8"): "dtype must be 'auto' or a floating-point dtype",
        ("use_safetensors", False): "pickled weights are not read",
        ("no_such_option", 1): "does not know no_such_option",
        ("num_labels", -1): "num_labels must be between",
    }.items():
        with pytest.raises(ConfigError, match=words):
            LcPlmForMaskedLM.from_pretrained(folder, **dict([options]))
    with pytest.raises(InputError, match="no attention"):
        asked(IDS, MASK, output_attentions=True)


OFF = {
    "from_tf": False, "from_flax": False, "gguf_file": None, "tp_plan": None, "proxies": {},
    "resume_download": True, "mirror": None, "generation_config": None, "use_kernels": False,
}  # fmt: skip


def test_switches_that_are_off_and_values_of_another_type(folder: Path, tmp_path: Path) -> None:
    model = LcPlmForMaskedLM.from_pretrained(folder, **OFF)
    for options in ({"from_tf": True}, {"config": {"d_model": 16}}, {"device_map": "cuda:99"}):
        with pytest.raises(ConfigError):
            LcPlmForMaskedLM.from_pretrained(folder, **options)
    with pytest.raises(ConfigError, match="max_shard_size"):
        model.save_pretrained(tmp_path / "a", max_shard_size="two")
    model.resize_token_embeddings(1)
    with pytest.raises(ConfigError, match="pad_token_id must be between 0 and 0"):
        model.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a" / "config.json").exists()


def test_state_dict_and_configuration_without_a_folder() -> None:
    model = tiny()
    state = {k: 2 * v for k, v in model.state_dict().items()}
    loaded = LcPlmForMaskedLM.from_pretrained(None, config=model.config, state_dict=state)
    assert torch.equal(loaded.lm_head.weight, 2 * model.lm_head.weight)
    with pytest.raises(ConfigError, match="both a config and a state_dict"):
        LcPlmForMaskedLM.from_pretrained(None, config=model.config)


def test_saving_obeys_its_options(tmp_path: Path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path / "none", is_main_process=False)
    assert not (tmp_path / "none").exists()
    zeros = {k: torch.zeros_like(v) for k, v in model.state_dict().items()}
    model.save_pretrained(tmp_path / "zeros", state_dict=zeros)
    assert not any(v.any() for v in load_file(tmp_path / "zeros" / "model.safetensors").values())
    model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
    loaded = LcPlmForMaskedLM.from_pretrained(tmp_path / "shards")
    assert torch.equal(loaded(IDS, MASK).logits, model(IDS, MASK).logits)
    # One file over shards: nothing of the shards is left to be read.
    model.save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("model*.safetensors*"))) == 1
    model.save_pretrained(tmp_path / "variant", variant="fp32")
    assert (tmp_path / "variant" / "model.fp32.safetensors").is_file()
    assert LcPlmForMaskedLM.from_pretrained(tmp_path / "variant", variant="fp32")
    with pytest.raises(CheckpointError, match="1 missing: lm_head"):
        model.save_pretrained(
            tmp_path, state_dict={k: v for k, v in zeros.items() if "lm" not in k}
        )
    stored = json.loads((tmp_path / "variant" / "config.json").read_text())
    assert "_name_or_path" not in stored


@pytest.mark.parametrize("options", [{}, {"tie_embeddings": True}])
@pytest.mark.parametrize("size", [37, 100, 128, 130, 200, 256])
def test_any_vocabulary_that_is_saved_is_loaded(tmp_path: Path, size: int, options) -> None:
    model = tiny(**options)
    model.resize_token_embeddings(size, mean_resizing=False)
    model.save_pretrained(tmp_path)
    for loaded in (
        LcPlmForMaskedLM.from_pretrained(tmp_path),
        AutoModelForMaskedLM.from_pretrained(tmp_path),
    ):
        assert loaded.config.vocab_size == size
        assert torch.equal(loaded(IDS, MASK).logits, model(IDS, MASK).logits)
        assert loaded(IDS, MASK).logits.shape[-1] == size
    # Folders written before the rounding was stored.
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["pad_vocab_size_multiple"] = 128
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert LcPlmForMaskedLM.from_pretrained(tmp_path).config.vocab_size == size


def train(model, folder: Path, label, monkeypatch, **options) -> Trainer:
    # A folder called datasets beside the tests may stand in for Hugging Face's package.
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)
    rows = [
        {"input_ids": IDS[i % 2], "attention_mask": MASK[i % 2], "labels": label(i % 2)}
        for i in range(4)
    ]
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=2, report_to=[],
        use_cpu=True, disable_tqdm=True, save_steps=1, eval_strategy="steps", eval_steps=1,
        learning_rate=1e-2, load_best_model_at_end=True, **options,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    return trainer


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"bf16": True}])
def test_trainer_masked_lm(tmp_path: Path, monkeypatch, options) -> None:
    trainer = train(tiny(), tmp_path, lambda i: IDS[i], monkeypatch, **options)
    losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    assert losses[-1] < losses[0]
    best = LcPlmForMaskedLM.from_pretrained(trainer.state.best_model_checkpoint)
    assert torch.equal(best.lm_head.weight, trainer.model.lm_head.weight)


def test_accumulated_batches_weigh_by_their_labels(tmp_path: Path, monkeypatch) -> None:
    model = tiny()
    few, many = IDS[:1].clone(), IDS[1:]
    few[:, 2:] = -100
    both = torch.cat([few, many])
    whole = model(IDS, MASK, labels=both).loss
    count = (both != -100).sum()
    parts = [
        model(IDS[i : i + 1], MASK[i : i + 1], labels=both[i : i + 1], num_items_in_batch=count)
        for i in (0, 1)
    ]
    torch.testing.assert_close(parts[0].loss + parts[1].loss, whole)


def test_gradient_checkpointing_changes_nothing_but_memory() -> None:
    model = tiny().train()
    model(IDS, MASK, labels=IDS).loss.backward()
    expected = model.bimamba.backbone.embedding.weight.grad.clone()
    model.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model(IDS, MASK, labels=IDS).loss.backward()
    torch.testing.assert_close(model.bimamba.backbone.embedding.weight.grad, expected)


def test_new_heads_start_from_a_masked_lm(folder: Path) -> None:
    for auto, cls in {
        AutoModelForSequenceClassification: LcPlmForSequenceClassification,
        AutoModelForTokenClassification: LcPlmForTokenClassification,
    }.items():
        model, info = auto.from_pretrained(folder, num_labels=3, output_loading_info=True)
        assert isinstance(model, cls) and model.config.num_labels == 3
        assert info["missing_keys"] == {"classifier.weight", "classifier.bias"}
        assert 0 < model.classifier.weight.std() < 0.05
        encoder = LcPlmModel.from_pretrained(folder)
        assert torch.equal(
            model.bimamba(IDS, MASK).last_hidden_state, encoder(IDS, MASK).last_hidden_state
        )
        model.save_pretrained(folder.parent / cls.__name__)
        again = cls.from_pretrained(folder.parent / cls.__name__)
        assert torch.equal(again.eval()(IDS, MASK).logits, model(IDS, MASK).logits)
        with pytest.raises(CheckpointError, match="wrong shape: classifier"):
            cls.from_pretrained(folder.parent / cls.__name__, num_labels=5)
        other = cls.from_pretrained(
            folder.parent / cls.__name__, num_labels=5, ignore_mismatched_sizes=True
        )
        assert other(IDS, MASK).logits.shape[-1] == 5
        with pytest.raises(CheckpointError, match="missing: lm_head"):
            LcPlmForMaskedLM.from_pretrained(folder.parent / cls.__name__)


@pytest.mark.parametrize(
    ("labels", "num_labels", "problem"),
    [
        (torch.tensor([0.5, -1.0]), 1, "regression"),
        (torch.tensor([1, 2]), 3, "single_label_classification"),
        (torch.tensor([[1.0, 0, 1], [0, 0, 1]]), 3, "multi_label_classification"),
    ],
)
def test_losses_of_sequence_classification(labels, num_labels, problem) -> None:
    model = tiny(LcPlmForSequenceClassification, num_labels=num_labels, pool="mean_std")
    output = model(IDS, MASK, labels=labels)
    assert model.config.problem_type == problem
    logits = output.logits
    if problem == "regression":
        expected = ((logits[:, 0] - labels) ** 2).mean()
    elif problem.startswith("single"):
        expected = -logits.log_softmax(1)[[0, 1], labels].mean()
    else:
        p = logits.sigmoid()
        expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    torch.testing.assert_close(output.loss, expected)
    with pytest.raises(InputError, match="must be of shape"):
        model(IDS, MASK, labels=torch.zeros(2, 7))


def test_predictions_do_not_depend_on_the_layout() -> None:
    model = tiny(LcPlmForSequenceClassification, num_labels=2, pool="mean_std")
    packed = tokenize(["MKTAYIAK", "GAVLIM"])
    padded = model(IDS, MASK).logits
    left = model(*pad(packed, left=True)).logits
    flat = model(packed.input_ids, cu_seqlens=packed.cu_seqlens).logits
    torch.testing.assert_close(left, padded)
    torch.testing.assert_close(flat, padded)
    one_residue = tokenize(["M"])
    model(one_residue.input_ids, cu_seqlens=one_residue.cu_seqlens).logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_lora_through_trainer_and_back(folder: Path, tmp_path: Path, monkeypatch) -> None:
    peft = pytest.importorskip("peft")
    model = LcPlmForSequenceClassification.from_pretrained(folder, num_labels=2)
    model = peft.get_peft_model(model, lora_config("all", rank=2, task="SEQ_CLS"))
    trainer = train(model, tmp_path / "run", lambda i: i, monkeypatch)
    expected = trainer.model.eval()(IDS, MASK).logits
    checkpoint = trainer.state.best_model_checkpoint
    # By the auto class, by our own, and merged.
    for cls in (AutoModelForSequenceClassification, LcPlmForSequenceClassification):
        loaded = cls.from_pretrained(checkpoint, num_labels=2).eval()
        torch.testing.assert_close(loaded(IDS, MASK).logits, expected)
    merged = trainer.model.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    again = LcPlmForSequenceClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(again(IDS, MASK).logits, expected)

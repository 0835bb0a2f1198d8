"""`LcPlmTokenizer`: the ids of `tokens`, in Hugging Face's tools and in folders."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    pipeline,
)

from lcplm_graph.errors import ConfigError, SequenceError
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.shipped import shipped_encoders, shipped_folder
from lcplm_graph.models.tokenizer import LcPlmTokenizer
from lcplm_graph.models.zero_shot import score_pairs
from lcplm_graph.tokens.packing import pad, tokenize
from lcplm_graph.tokens.vocabulary import EDGE, MASK, NO_EDGE, TOKENS, encode_protein

PROTEINS = [
    "MKTAYIAK",
    "mkt",
    "MKJ",
    "MK*",
    "A<mask>C",
    "[BON]M[EON][EDGE][BON]K[EON]",
    "M-.X",
    "GA",
]


@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
@pytest.mark.parametrize("protein", PROTEINS)
def test_ids_are_those_of_tokens(protein: str) -> None:
    assert LcPlmTokenizer()(protein).input_ids == encode_protein(protein).tolist()


def test_every_token_is_spelled_and_read() -> None:
    tokenizer = LcPlmTokenizer()
    assert len(tokenizer) == tokenizer.vocab_size == 37
    assert tokenizer.convert_tokens_to_ids(list(TOKENS)) == list(range(37))
    assert tokenizer.convert_ids_to_tokens(list(range(37))) == list(TOKENS)
    assert tokenizer.decode([0, 20, 15, 2], skip_special_tokens=True) == "MK"
    assert tokenizer.decode([20, 100]) == "M<unk>"


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side(side: str) -> None:
    batch = LcPlmTokenizer(padding_side=side)(["MKTAYIAK", "GA"], padding=True, return_tensors="pt")
    ids, mask = pad(tokenize(["MKTAYIAK", "GA"]), left=side == "left")
    assert torch.equal(batch.input_ids, ids)
    assert torch.equal(batch.attention_mask, mask)


def test_pairs_are_walks_of_two_proteins() -> None:
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=2)).eval()
    batch = LcPlmTokenizer()([("MKT", "GAV"), ("GAV", "MKT")], return_tensors="pt")
    logits = model(**batch).logits[batch.input_ids == MASK]
    expected = score_pairs(LcPlmEncoder(model), [("MKT", "GAV")])
    torch.testing.assert_close((logits[:, EDGE] - logits[:, NO_EDGE]).mean()[None], expected)
    edge = LcPlmTokenizer(relation="[EDGE]")("M", "K").input_ids
    assert edge == encode_protein("[BON]M[EON][EDGE][BON]K[EON]").tolist()
    with pytest.raises(ConfigError, match="relation must be"):
        LcPlmTokenizer(relation="[BON]")


@pytest.mark.parametrize("protein", ["", "M1K", "M K", "M\nK"])
def test_what_is_no_protein_is_refused(protein: str) -> None:
    with pytest.raises(SequenceError):
        LcPlmTokenizer()(protein)


def test_collators() -> None:
    tokenizer = LcPlmTokenizer()
    rows = [tokenizer(p) for p in ("MKTAYIAK" * 20, "GA")]
    assert DataCollatorWithPadding(tokenizer)(rows).input_ids.shape == (2, 162)
    torch.manual_seed(0)
    masked = DataCollatorForLanguageModeling(tokenizer)(rows)
    special = (masked["labels"] != -100) & (masked["attention_mask"] == 0)
    assert (masked["labels"] != -100).any() and not special.any()
    assert (masked["labels"][:, 0] == -100).all()
    rows = [{**tokenizer(p), "labels": [-100, *[1] * len(p), -100]} for p in ("MKT", "G")]
    labels = DataCollatorForTokenClassification(tokenizer)(rows)["labels"]
    assert labels.tolist() == [[-100, 1, 1, 1, -100], [-100, 1, -100, -100, -100]]


def test_folders_with_and_without_a_tokenizer(tmp_path: Path) -> None:
    LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=1)).save_pretrained(tmp_path)
    for _ in range(2):
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        assert isinstance(tokenizer, LcPlmTokenizer)
        assert tokenizer("MKT").input_ids == [0, 20, 15, 11, 2]
        (tmp_path / "tokenizer_config.json").unlink(missing_ok=True)
    LcPlmTokenizer(relation="[EDGE]", padding_side="left").save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.relation, again.padding_side) == ("[EDGE]", "left")


@pytest.mark.parametrize("name", shipped_encoders())
def test_shipped_folders_have_all_files(name: str, tmp_path: Path) -> None:
    folder = shipped_folder(name)
    LcPlmForMaskedLM.from_pretrained(folder).save_pretrained(tmp_path)
    for file in ("tokenizer_config.json", "modeling_lc_plm.py"):
        assert (folder / file).read_text() == (tmp_path / file).read_text()
    answers = pipeline("fill-mask", model=str(folder))("MKTAYIAK<mask>RQ")
    assert answers[0]["sequence"].startswith("MKTAYIAK") and answers[0]["token_str"] in TOKENS[4:24]


def test_a_process_that_never_imports_the_package(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=1)).save_pretrained(tmp_path / "m")
    script = """
        import sys
        from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer
        from transformers import AutoModelForSequenceClassification as Sequences
        from transformers import AutoModelForTokenClassification as Tokens

        folder, out = sys.argv[1:]
        assert not any(name.startswith("lcplm_graph") for name in sys.modules)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        ids = tokenizer("MKT", return_tensors="pt")
        for auto in (AutoModel, AutoModelForMaskedLM, Sequences, Tokens):
            model = auto.from_pretrained(folder, trust_remote_code=True)
            print(type(model).__name__, tuple(model(**ids)[0].shape))
        model.save_pretrained(out)
        print(AutoConfig.from_pretrained(out, trust_remote_code=True).n_layer)

        from peft import LoraConfig, get_peft_model
        from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments
        from transformers import pipeline

        fill = pipeline("fill-mask", model=folder, trust_remote_code=True)
        print(len(fill("MK<mask>T")))
        adapted = get_peft_model(
            Tokens.from_pretrained(folder, trust_remote_code=True, num_labels=3),
            LoraConfig(r=2, target_modules=["in_proj", "out_proj"], task_type="TOKEN_CLS"),
        )
        rows = [dict(tokenizer(text), labels=[-100, *range(len(text)), -100]) for text in ("MKT",)]
        arguments = TrainingArguments(
            output_dir=out + "/run", max_steps=2, report_to=[], use_cpu=True, disable_tqdm=True,
            save_strategy="no", learning_rate=0.1,
        )
        collate = DataCollatorForTokenClassification(tokenizer)
        Trainer(adapted, arguments, data_collator=collate, train_dataset=rows).train()
        expected = adapted.eval()(**ids).logits
        merged = adapted.merge_and_unload()
        merged.save_pretrained(out + "/merged")
        again = Tokens.from_pretrained(out + "/merged", trust_remote_code=True)
        print(bool((again(**ids).logits - expected).abs().max() < 1e-4))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), tmp_path / "m",
         tmp_path / "out"],
        capture_output=True, text=True, timeout=240,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    assert printed == [
        "LcPlmModel (1, 5, 16)",
        "LcPlmForMaskedLM (1, 5, 128)",
        "LcPlmForSequenceClassification (1, 2)",
        "LcPlmForTokenClassification (1, 5, 2)",
        "1",
        "5",
        "True",
    ]
    assert (tmp_path / "out" / "modeling_lc_plm.py").is_file()

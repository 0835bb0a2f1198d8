"""Encoders: one interface, values that do not depend on batches, errors that help."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from cases.encoder import EncoderCase

from lcplm_graph import load_encoder
from lcplm_graph.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    SequenceError,
    UnknownNameError,
)
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.target import Target
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.recipe import link_features
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import Esm2Encoder, LcPlmEncoder, length_sorted_batches
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.pooling import NUM_PARTS
from lcplm_graph.models.zero_shot import score_pairs
from lcplm_graph.tokens.vocabulary import EDGE, NO_EDGE, encode_protein

PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQ", "M", "GAVLIM", "MSDNE" * 30, "ACDX"]


def lcplm() -> LcPlmEncoder:
    torch.manual_seed(0)
    return LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=32, n_layer=2)).eval(), "tiny").eval()


def esm2(**options) -> Esm2Encoder:
    from transformers import EsmConfig, EsmModel

    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, pad_token_id=1, mask_token_id=32,
        **{"position_embedding_type": "rotary", "token_dropout": True, **options},
    )  # fmt: skip
    return Esm2Encoder(EsmModel(config, add_pooling_layer=False).eval(), "esm2:tiny").eval()


ENCODERS = {
    "lcplm": lcplm,
    "esm2": esm2,
    "composition": lambda: load_encoder("composition"),
    "dipeptide": lambda: load_encoder("dipeptide"),
}


class TestOurs(EncoderCase):
    @pytest.fixture(params=ENCODERS)
    def make(self, request):
        return ENCODERS[request.param]


def test_composition_counts() -> None:
    vector = load_encoder("composition").embed(["LLAX"])[0]
    assert vector[:3].tolist() == [0.5, 0.25, 0.0]
    pairs = load_encoder("dipeptide").embed(["LLAX"])[0][20:]
    assert pairs.nonzero()[:, 0].tolist() == [0, 1]  # LL, LA; AX has no place


def test_embedding_is_differentiable_when_asked() -> None:
    encoder = lcplm()
    encoder.embed_batch(PROTEINS, "mean_std").sum().backward()
    assert all(p.grad is not None for p in encoder.model.bimamba.parameters())


def test_long_proteins_are_encoded_in_windows_and_never_cut() -> None:
    encoder = lcplm()
    encoder.window = 64
    protein = PROTEINS[0] * 20
    whole = lcplm().embed([protein])
    torch.testing.assert_close(encoder.embed([protein]), whole, rtol=1e-4, atol=1e-5)


def test_esm2_with_absolute_positions_has_a_limit_and_names_what_is_longer() -> None:
    encoder = esm2(position_embedding_type="absolute", max_position_embeddings=24)
    assert encoder.max_length == 20
    encoder.embed(["M" * 20])
    with pytest.raises(InputError, match=r"at most 20 residues.*1 proteins .*first: 1, 21"):
        encoder.embed(["M", "M" * 21])


def test_esm2_loads_from_a_folder(tmp_path: Path) -> None:
    encoder = esm2()
    encoder.model.save_pretrained(tmp_path)
    loaded = load_encoder(f"esm2:{tmp_path}")
    assert torch.equal(loaded.embed(PROTEINS), encoder.embed(PROTEINS))
    with pytest.raises(CheckpointError, match="no ESM-2 checkpoint"):
        load_encoder(f"esm2:{tmp_path / 'nowhere'}")


def test_lcplm_loads_from_a_checkpoint_or_a_run(tmp_path: Path) -> None:
    encoder = lcplm()
    encoder.model.save_pretrained(tmp_path / "run" / "model")
    np.save(tmp_path / "run" / "model" / "seen_edges.npy", np.array([3, 5], dtype=np.uint64))
    for source in (tmp_path / "run", tmp_path / "run" / "model"):
        loaded = load_encoder(source)
        assert torch.equal(loaded.embed(PROTEINS), encoder.embed(PROTEINS))
        assert loaded.seen_edges().tolist() == [3, 5]
        assert loaded.fingerprint() == encoder.fingerprint()


def test_fingerprint_tells_encoders_apart() -> None:
    a, b = lcplm(), lcplm()
    assert a.fingerprint() == b.fingerprint()
    with torch.no_grad():
        b.model.bimamba.backbone.norm_f.weight[0] += 1e-3
    assert a.fingerprint() != b.fingerprint()
    kinds = {ENCODERS[name]().fingerprint() for name in ENCODERS}
    assert len(kinds) == 4


def test_random_encoders_are_the_same_every_time_and_leave_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = load_encoder("random:1m"), load_encoder("random:1m:0")
    assert torch.equal(torch.get_rng_state(), before)
    assert a.fingerprint() == b.fingerprint() != load_encoder("random:1m:7").fingerprint()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("lcplm-9m", UnknownNameError, "no encoder 'lcplm-9m' ships .* did you mean 'lcplm-8m'"),
        ("random:9m", UnknownNameError, "unknown preset '9m'; known: 1m"),
        ("no/such/path", CheckpointError, "no such folder"),
    ],
)
def test_unknown_names(name: str, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        load_encoder(name)


def test_bad_calls() -> None:
    encoder = load_encoder("composition")
    with pytest.raises(InputError, match="wrap it in a list"):
        encoder.embed("MKT")
    with pytest.raises(UnknownNameError, match="known: mean, mean_std"):
        encoder.embed(["MKT"], pool="median")
    with pytest.raises(SequenceError, match="'1' at position 2"):
        encoder.embed(["M1"])
    with pytest.raises(ConfigError, match="takes no options"):
        load_encoder("composition", revision="main")
    with pytest.raises(InputError, match="max_tokens"):
        encoder.embed(["MKT"], max_tokens=0)
    assert encoder.embed([]).shape == (0, 20)


def test_batches_hold_every_protein_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 900, 300)
    batches = length_sorted_batches(lengths, 1000)
    assert sorted(np.concatenate(batches)) == list(range(300))
    assert all((lengths[b] + 2).sum() <= 1000 for b in batches)


def test_pair_scores_are_symmetric_and_batched() -> None:
    encoder = lcplm()
    pairs = [(PROTEINS[0], PROTEINS[2]), (PROTEINS[3], PROTEINS[1]), (PROTEINS[2], PROTEINS[0])]
    scores = score_pairs(encoder, pairs, max_tokens=60)
    torch.testing.assert_close(scores[0], scores[2])
    a, b = pairs[1]
    by_hand = []
    for left, right in ((a, b), (b, a)):
        ids = encode_protein(f"[BON]{left}[EON]<mask>[BON]{right}[EON]")
        with torch.no_grad():
            logits = encoder.model(torch.from_numpy(ids)[None]).logits[0, len(left) + 3]
        by_hand.append(logits[EDGE] - logits[NO_EDGE])
    torch.testing.assert_close(scores[1], sum(by_hand) / 2, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="no masked-LM head"):
        score_pairs(load_encoder("composition"), pairs)


def test_shipped_names_are_the_folders_that_are_there(tmp_path, monkeypatch):
    from lcplm_graph.models import shipped

    monkeypatch.setattr(shipped, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(UnknownNameError, match="shipped: none in this version; untrained"):
        load_encoder("lcplm-one")
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=1, pool="max"))
    model.save_pretrained(tmp_path / "lcplm-one")
    (tmp_path / "lcplm-unfinished").mkdir()
    assert shipped.shipped_encoders() == ["lcplm-one"]
    encoder = load_encoder("lcplm-one")
    assert encoder.name == "lcplm-one"
    assert encoder.pool == "max"
    with pytest.raises(UnknownNameError, match="no encoder 'lcplm-two' .* shipped: lcplm-one;"):
        load_encoder("lcplm-two")


def test_default_encoder_can_be_loaded_and_saw_no_graph():
    from lcplm_graph.models.shipped import DEFAULT_ENCODER

    encoder = load_encoder(DEFAULT_ENCODER)
    assert encoder.seen_edges() is None
    assert encoder.embed(["MKTAYIAK"], encoder.pool).isfinite().all()


def test_shipped_weights_are_small_and_have_the_cards_made_of_them(tmp_path):
    import shutil

    from lcplm_graph.evaluation.model_card import write_card
    from lcplm_graph.models.shipped import WEIGHTS_DIR, shipped_encoders

    files = [p for p in WEIGHTS_DIR.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 30e6
    for name in shipped_encoders():
        copy = tmp_path / name
        shutil.copytree(WEIGHTS_DIR / name, copy)
        assert write_card(copy).read_text() == (WEIGHTS_DIR / name / "README.md").read_text()


@pytest.mark.parametrize("change", ["names", "shapes", "one missing", "layers", "nan"])
def test_esm2_weights_that_do_not_fit_are_refused(tmp_path: Path, change: str) -> None:
    from safetensors.torch import load_file, save_file

    esm2().model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    last = "encoder.layer.1.output.dense.weight"
    if change == "names":
        tensors = {f"zzz.{k}": v for k, v in tensors.items()}
    elif change == "shapes":
        tensors[last] = torch.ones(3, 3)
    elif change == "one missing":
        del tensors[last]
    elif change == "layers":
        tensors = {k: v for k, v in tensors.items() if ".layer.1." not in k}
    else:
        tensors[last][0, 0] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError):
        load_encoder(f"esm2:{tmp_path}")


@pytest.mark.parametrize(
    "name", ["random:1m:1:2", "random:1m:x", "random:1m:-1", "random:1m:", "random:", "random:1m:²"]
)
def test_names_of_random_encoders_are_checked(name: str) -> None:
    with pytest.raises(UnknownNameError):
        load_encoder(name)


def test_options_that_mean_nothing_are_refused() -> None:
    for options, words in (
        ({"device": "nonsense"}, "there is no device 'nonsense' here"),
        ({"dtype": "int8"}, "dtype must be"),
        ({"dtype": "bfloat16"}, "has no weights"),
        ({"revison": "main"}, "does not know revison"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_encoder("composition", **options)


def test_untrained_encoders_of_several_threads_are_one():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: load_encoder("random:1m").fingerprint(), range(6)))
    assert set(found) == {load_encoder("random:1m").fingerprint()}


@pytest.mark.parametrize("max_tokens", [None, 0, -5, 10.0, "9"])
def test_a_budget_of_tokens_is_a_whole_number(max_tokens):
    encoder = load_encoder("composition")
    for ask in (encoder.embed, encoder.embed_residues):
        with pytest.raises(InputError, match="max_tokens must be a whole number from 1, not"):
            ask(["MKT"], max_tokens=max_tokens)
    with pytest.raises(InputError, match="max_tokens must be a whole number from 1, not"):
        cached_embeddings(encoder, ["MKT"], max_tokens=max_tokens)
    with pytest.raises(InputError, match="max_tokens must be a whole number from 1, not"):
        AddProteinFeatures(encoder, max_tokens=max_tokens)


@pytest.mark.parametrize(
    "ask",
    [
        lambda encoder: encoder.embed(["MKT"], pool="cls"),
        lambda encoder: encoder.embed_batch(["MKT"], "cls"),
        lambda encoder: cached_embeddings(encoder, ["MKT"], "cls"),
        lambda encoder: AddProteinFeatures(encoder, "cls"),
        lambda encoder: link_features(encoder, ["MKT"], pool="cls"),
        lambda encoder: FunctionPredictor(encoder=encoder, pool="cls", num_terms=1),
        lambda encoder: PropertyModel(encoder, Target("regression", ("x",)), pool="cls"),
    ],
)
def test_a_pooling_without_meaning_for_an_encoder_is_refused(ask):
    """Where no state of <cls> stands, all proteins were zero."""
    with pytest.raises(ConfigError, match="pooling cls has no meaning for composition; take one"):
        ask(load_encoder("composition"))


@pytest.mark.parametrize("length", [1, 3, 8, 9, 31, 200])
def test_parts_are_means_of_stretches(length):
    encoder = load_encoder("lcplm-1m")
    text = "MKTAYIAKQRQISFVKSHFSRQ" * 10
    found = encoder.embed([text[:length], "MKV"], "mean_std_max_min_parts")[0]
    wide, parts = found[: 4 * encoder.dim], found[4 * encoder.dim :].reshape(NUM_PARTS, -1)
    torch.testing.assert_close(wide, encoder.embed([text[:length]], "mean_std_max_min")[0])
    (states,) = encoder.embed_residues([text[:length]])
    for part in range(NUM_PARTS):
        own = [i for i in range(length) if i * NUM_PARTS // length == part]
        expected = states[own].mean(0) if own else states.mean(0)
        torch.testing.assert_close(parts[part], expected, rtol=1e-4, atol=1e-5)

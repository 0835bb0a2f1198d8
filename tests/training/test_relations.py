"""Stage 2's pairs: training edges only, the same for any process, and a bank that resumes."""

from __future__ import annotations

import os
import signal
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import CheckpointError, ConfigError, Interrupted, LcPlmWarning
from lcplm_graph.io import forget_warnings, read_json, write_json
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.option_parser import explanations
from lcplm_graph.pairs import is_in, pair_keys
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.stage2 import train
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.vocabulary import BON, MASK
from lcplm_graph.training.esm2_graph import load_for_graph
from lcplm_graph.training.fit_decoder import fit_decoder, fit_decoder_on, new_decoder
from lcplm_graph.training.frozen_task import FrozenTask
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.module import MaskedLMTask
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.training.relation_task import give_marker_steps
from lcplm_graph.training.relations import NEGATIVES, PARTNERS, PairSampler, RelationBatches
from lcplm_graph.training.walks import WalkBatches, growing
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def _split(seed: int, nodes: int = 30, edges: int = 60) -> Split:
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, nodes, (edges, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    held = rng.random(len(pairs)) < 0.3
    train_pairs = pairs[~held]
    return Split("random", nodes, train_pairs, train_pairs, pairs[held], np.zeros(held.sum()))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 50))
def test_held_out_edges_never_become_labels(seed: int, batch: int) -> None:
    split = _split(seed)
    sampler = PairSampler(split)
    rng = np.random.default_rng([seed, batch])
    nodes = np.unique(sampler.nodes(rng, 12))
    drawn = sampler.pairs(rng, nodes)
    ends = np.sort(np.stack([nodes[drawn.left], drawn.partners], axis=1), axis=1)
    keys = pair_keys(ends, split.num_nodes)
    training = np.sort(pair_keys(split.train, split.num_nodes))
    assert is_in(keys[drawn.labels], training).all()
    assert not is_in(keys[~drawn.labels], training).any()
    assert (ends[:, 0] != ends[:, 1]).all()
    assert split.seen[nodes].all()
    assert drawn.labels.sum() == PARTNERS * len(nodes)
    assert (~drawn.labels).sum() <= NEGATIVES * PARTNERS * len(nodes)


@pytest.fixture
def batches() -> RelationBatches:
    split = _split(3)
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(LETTERS, n)) for n in rng.integers(20, 90, split.num_nodes)]
    store = SequenceStore.from_records([f"p{i}" for i in range(split.num_nodes)], sequences)
    stream = WalkStream(WalkSampler(split, 3, seed=1), store, max_tokens=128, negative_rate=0.5)
    walks = WalkBatches(stream, max_tokens=256, relation_rate=0.5, seed=1)
    table = ResidueTable.from_store(store)
    return RelationBatches(walks, PairSampler(split), table, max_tokens=400, seed=1)


def test_a_batch_is_a_function_of_its_number(batches) -> None:
    for number in (0, 5):
        first, again = batches.batch(number), batches.batch(number)
        for a, b in zip(first[:3], again[:3], strict=True):
            assert torch.equal(a, b)
        for a, b in zip(first.relations[:5], again.relations[:5], strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(batches.batch(1).input_ids, batches.batch(2).input_ids)


def test_walks_grow_from_pairs_batch_by_batch(batches) -> None:
    batches.walks.lengths = partial(growing, 3, 4)
    for number, length in ((3, 2), (0, 2), (4, 3), (90, 3)):
        batch = batches.batch(number)
        streams = np.split(batch.input_ids.numpy(), batch.cu_seqlens.numpy()[1:-1])
        singles = len(batch.relations.streams)
        proteins = [int((stream == BON).sum()) for stream in streams[:-singles]]
        assert max(proteins) == length


def test_streams_with_partners_are_whole_and_unmasked(batches) -> None:
    table = batches.residues
    for number in range(5):
        batch = batches.batch(number)
        relations = batch.relations
        for stream, node in zip(relations.streams.tolist(), relations.nodes.tolist(), strict=True):
            first, last = batch.cu_seqlens[stream : stream + 2].tolist()
            residues = table.tokens[table.offsets[node] : table.offsets[node + 1]]
            assert batch.input_ids[first + 1 : last - 1].tolist() == residues.tolist()
            assert (batch.labels[first:last] == IGNORE).all()
        hops = relations.hops
        assert (batch.input_ids[hops.at] == MASK).all()
        assert (hops.left[:, 1] == hops.at - 1).all()
        assert (hops.right[:, 0] == hops.at + 2).all()


def test_fitted_on_frozen_states_it_knows_its_edges() -> None:
    split = _split(1, nodes=40, edges=80)
    torch.manual_seed(0)
    bank = torch.randn(40, 24)
    torch.manual_seed(0)
    decoder = fit_decoder(RelationDecoder(24, 16, 2), bank, split, steps=120, seed=0)
    with torch.inference_mode():
        h = decoder.embed(bank)
        negatives = split.negatives("train", seed=5)
        edge, other = (decoder(h[:, p[:, 0]], h[:, p[:, 1]]) for p in (split.train, negatives))
    assert edge.mean() > other.mean() + 1


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 2})
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(p)) for p in rng.integers(0, 60, (240, 2)).tolist() if p[0] != p[1]}
    (tmp_path / "g.tsv").write_text("".join(f"p{a}\tp{b}\n" for a, b in sorted(pairs)))
    records = (f">p{i}\n{''.join(rng.choice(LETTERS, rng.integers(20, 60)))}\n" for i in range(60))
    (tmp_path / "g.fasta").write_text("".join(records))

    def make(**more) -> Stage2Options:
        settings = {
            "graph": f"pairs:{tmp_path / 'g.tsv'}", "encoder": "random:tiny", "steps": 5,
            "out": str(tmp_path / "run"), "max_tokens": 512, "walk_tokens": 200, "walk_length": 3,
            "split": "random", "eval_pairs": 20, "log_every": 1, "devices": 1, "decoder_steps": 20,
            "relation_rate": 0.5,
        }  # fmt: skip
        return Stage2Options(**{**settings, **more})

    return make


def test_frozen_layers_stay_and_the_decoder_is_exported(options, tmp_path) -> None:
    from lcplm_graph import load_encoder, score_pairs

    train(options(freeze=2, decoder_steps=0, lr=0.1))
    before = load_encoder("random:tiny").model.state_dict()
    trained = load_encoder(tmp_path / "run")
    after = trained.model.state_dict()
    frozen = [k for k in before if ".layers." in k or "embedding" in k]
    assert frozen
    assert all(torch.equal(before[k], after[k]) for k in frozen)
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    scores = score_pairs(trained, [("MKTAYIAK", "GAVLIM"), ("GAVLIM", "MKTAYIAK")])
    assert scores[0] == scores[1]
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert rows[-1]["pair_loss"] > 0
    assert 0 <= rows[-1]["valid_pair_auroc"] <= 1


def test_layers_freeze_without_a_decoder_too(options, tmp_path) -> None:
    from lcplm_graph import load_encoder

    train(options(relation="marker", freeze=1, lr=0.1, decoder_steps=None))
    before = load_encoder("random:tiny").model.state_dict()
    after = load_encoder(tmp_path / "run").model.state_dict()
    for layer, stays in ((0, True), (1, False)):
        key = f"bimamba.backbone.layers.{layer}.mixer.mamba_fwd.out_proj.weight"
        assert torch.equal(before[key], after[key]) == stays


def test_a_checkpoint_of_other_trained_layers_is_refused(options, tmp_path) -> None:
    """Earlier versions trained all layers with --relation marker, in spite of --freeze."""
    given = {"relation": "marker", "decoder_steps": None}
    train(options(**given, steps=1))
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("freeze: 0", "freeze: 1"))
    config.write_text(config.read_text().replace("steps: 1\n", "steps: 2\n"))
    with pytest.raises(CheckpointError, match="trained other parameters than this run would"):
        train(options(**given, steps=2, freeze=1, resume="auto"))


def test_a_saved_split_has_no_seed(options, tmp_path) -> None:
    train(options(relation="marker", decoder_steps=None, steps=1))
    saved = str(tmp_path / "run" / "split.json")
    given = {"relation": "marker", "decoder_steps": None, "steps": 1, "split": saved}
    again = str(tmp_path / "again")
    with pytest.raises(ConfigError, match="--split-seed means nothing with a saved split"):
        train(options(**given, out=again, split_seed=3))
    train(options(**given, out=again))
    manifest = tmp_path / "again" / "run.json"
    facts = read_json(manifest, "")
    assert facts["data"]["split"].keys() >= {"kind", "fingerprint"}
    assert "seed" not in facts["data"]["split"]
    # Earlier versions wrote the seed that they were given; their runs go on.
    facts["data"]["split"]["seed"] = 0
    write_json(manifest, facts)
    train(options(**given, out=again, resume="auto"))
    facts["data"]["split"]["kind"] = "C3"
    write_json(manifest, facts)
    with pytest.raises(ConfigError, match="cannot resume on other data"):
        train(options(**given, out=again, resume="auto"))


def test_what_is_said_of_the_rate_of_marker_steps_is_so(options) -> None:
    chosen = options(relation="marker", lr=0.5, decoder_lr=0.25)
    assert MaskedLMTask(torch.nn.Linear(1, 1), chosen).learning_rate("x.marker_step_bias") == 0.5
    assert "or lr with the relation marker" in explanations(Stage2Options)["marker_step"]


def test_options_that_do_nothing_are_named(options, tmp_path) -> None:
    forget_warnings()
    said = "--relation frozen leaves --lr, --walk-length, .* unused"
    with pytest.warns(LcPlmWarning, match=said):
        train(options(relation="frozen", steps=1, lr=0.5, decoder_lr=0.25))
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert rows[-1]["lr"] == 0.25
    assert options(relation="marker").unused() == ["--decoder-steps"]
    assert options(graph="string:1,2", walk_share=0.4, decoder_steps=None).unused() == [
        "--walk-share"
    ]
    assert options(relation="decoder").unused() == []


def test_walks_fit_into_their_share_of_a_small_batch(options) -> None:
    assert options(walk_tokens=None, max_tokens=1000).most_walk_tokens == 500
    assert options(walk_tokens=None, max_tokens=1000, relation="marker").most_walk_tokens == 1000
    assert options(walk_tokens=None, max_tokens=8192).most_walk_tokens == 1024
    train(options(walk_tokens=None, max_tokens=400, steps=1))


def test_the_decoder_alone_is_trained_and_resumes_to_the_same_bytes(options, tmp_path) -> None:
    from lcplm_graph import load_encoder

    train(options(relation="frozen", steps=6, out=str(tmp_path / "whole")))
    original = FrozenTask.training_step

    def stopped(self, batch, batch_idx):
        if self.trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenTask, "training_step", stopped)
        with pytest.raises(Interrupted):
            train(options(relation="frozen", steps=6))
    train(options(relation="frozen", steps=6, resume="auto"))
    files = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "run")]
    assert files[0].read_bytes() == files[1].read_bytes()
    before, trained = load_encoder("random:tiny"), load_encoder(tmp_path / "run")
    after = trained.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.model.state_dict().items())
    assert len(trained.seen_edges()) > 100
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert rows[-1]["pair_loss"] < rows[1]["pair_loss"]
    assert 0 <= rows[-1]["valid_pair_auroc"] <= 1


def test_a_saved_split_is_taken_as_it_is(options, tmp_path) -> None:
    train(options(relation="frozen", steps=1, split="C3"))
    saved = tmp_path / "run" / "split.json"
    train(options(relation="frozen", steps=1, split=str(saved), out=str(tmp_path / "again")))
    again = Split.load(tmp_path / "again" / "split")
    assert again.fingerprint == Split.load(saved).fingerprint
    assert again.kind == "C3"


def test_fitted_on_states_of_pairs_it_tells_them_apart() -> None:
    torch.manual_seed(0)
    states = torch.randn(300, 2, 12)
    labels = (states[:, 0, 0] * states[:, 1, 0] > 0).numpy()
    decoder = fit_decoder_on(new_decoder(12, 0), states, labels, steps=60, seed=0)
    with torch.inference_mode():
        score = decoder(*(decoder.embed(states[:, side]) for side in (0, 1))).numpy()
    assert score[labels].mean() > score[~labels].mean() + 1


@pytest.mark.parametrize("lora", [0, 2])
def test_an_esm2_goes_through_the_same_stage(options, tmp_path, lora: int) -> None:
    from transformers import EsmConfig, EsmForMaskedLM

    from lcplm_graph import load_encoder, score_pairs

    config = EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, position_embedding_type="rotary",
        token_dropout=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    EsmForMaskedLM(config).save_pretrained(tmp_path / "esm2")
    name = f"esm2:{tmp_path / 'esm2'}"
    train(options(encoder=name, steps=2, lora=lora, freeze=1 - bool(lora), lr=0.01))
    before, after = load_encoder(name), load_encoder(f"esm2:{tmp_path / 'run' / 'model'}")
    proteins = ["MKTAYIAK", "GAVLIM", "WWPLE"]
    assert not torch.allclose(before.embed(proteins), after.embed(proteins), atol=1e-4)
    first = "model.encoder.layer.0.attention.self.query.weight"
    changed = not torch.equal(before.state_dict()[first], after.state_dict()[first])
    assert changed == bool(lora)
    scores = score_pairs(after, [(proteins[0], proteins[1]), (proteins[1], proteins[0])])
    assert scores[0] == scores[1]
    assert len(after.seen_edges()) > 100
    _, again = load_for_graph(f"esm2:{tmp_path / 'run' / 'model'}")
    assert torch.equal(again.embed(proteins), after.embed(proteins))


def test_an_esm2_has_no_steps_to_be_longer_at_markers() -> None:
    with pytest.raises(ConfigError, match="carries no state"):
        give_marker_steps(torch.nn.Linear(1, 1), 1.0)


def test_adapters_are_for_esm2_only(options) -> None:
    with pytest.raises(ConfigError, match="--lora is for esm2"):
        train(options(lora=4))

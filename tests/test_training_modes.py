"""Training heeds no mode of torch and leaves the generators of the caller."""

from __future__ import annotations

import builtins
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.features.embed import EmbedJob
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.heads.cross import CrossAttentionPredictor
from lcplm_graph.heads.fit import FitOptions, fit_function, fit_homology
from lcplm_graph.heads.fit_link import fit_link
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homologues import best_weight
from lcplm_graph.heads.homology import HomologyClassifier
from lcplm_graph.heads.interologs import interolog_weights
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.property import PropertyHead
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.heads.structure import WIDTH, PairStructure
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.process import chosen_device
from lcplm_graph.splits.split import Split
from lcplm_graph.training.fit_decoder import fit_decoder, new_decoder
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.training.stage import run_stage
from lcplm_graph.walks.sampler import WalkSampler

NONE = torch.empty((2, 0), dtype=torch.int64)


def generators() -> list[Any]:
    """Return the state of all that draws."""
    kind, keys, *place = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), kind, keys.tolist(), place, random.getstate()]


def a_split(valid: bool = False) -> Split:
    """Return a split of a ring of proteins with chords."""
    pairs = np.array([(i, (i + k) % 30) for k in (1, 3) for i in range(30)])
    return Split("random", 30, pairs[:40], pairs[:40], pairs[40:], [1 - valid] * 20)


def inference_head() -> LinkPredictor:
    with torch.inference_mode():
        return LinkPredictor(8, conv="none")


def test_heads_are_trained_whatever_the_mode_of_torch_is() -> None:
    split, x = a_split(), torch.rand(30, 8)
    few = FitOptions(steps=2, batch_size=64)
    expected = LinkModel.fit(x, split, members=1, options=few, conv="none").on(x, split)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            model = LinkModel.fit(x.clone(), split, members=1, options=few, conv="none")
        found = model.on(x, split).log_odds(split.held_out)
        np.testing.assert_array_equal(found, expected.log_odds(split.held_out))
    with torch.inference_mode():
        classes, train = torch.arange(30) % 2, torch.arange(30) < 20
        head = HomologyClassifier(8, num_classes=2)
    with pytest.raises(InputError, match="was made inside torch.inference_mode"):
        fit_homology(head, x, classes, train, ~train, few)
    with pytest.raises(InputError, match="was made inside torch.inference_mode"):
        fit_link(inference_head(), x, split, few)
    with torch.no_grad():
        fit_link(LinkPredictor(8, conv="none"), x, split, few)
        fit_homology(HomologyClassifier(8, num_classes=2), x, classes, train, ~train, few)
        fit_decoder(new_decoder(8, seed=0), x, split, steps=1, seed=0)


def test_features_elsewhere_and_devices_without_numbers_are_one_sentence() -> None:
    split, x = a_split(), torch.rand(30, 8, device="meta")
    with pytest.raises(InputError, match="features 'base' are on meta, but heads compute on the"):
        LinkModel.fit(x, split)
    with pytest.raises(InputError, match="features are on meta, but heads compute on the CPU"):
        fit_link(LinkPredictor(8, conv="none"), x, split)
    with pytest.raises(InputError, match="features are on meta and this head is on cpu"):
        LinkPredictor(8, conv="none").embed(x, NONE)
    with pytest.raises(ConfigError, match="device 'meta' holds no numbers"):
        load_encoder("composition", device="meta")
    with pytest.raises(ConfigError, match="device 'meta' holds no numbers"):
        chosen_device("meta")


def test_libraries_that_load_late_leave_pythons_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """As scikit-learn brings rich, which draws from it."""
    load, loaded = builtins.__import__, []

    def drawing(name: str, space: Any = None, *others: Any) -> Any:
        if name.startswith("sklearn") and (space or {}).get("__name__", "").startswith("lcplm_"):
            loaded.append(random.random())
        return load(name, space, *others)

    monkeypatch.setattr(builtins, "__import__", drawing)
    labels, one = np.arange(400) % 2 == 0, np.ones(400, int)
    scores = np.arange(400.0) % 7
    halves = torch.arange(30) < 20
    few = FitOptions(steps=1, every=1)
    for door in (
        lambda: Calibration.fit(scores, labels, one),
        lambda: interolog_weights(scores, scores[::-1], labels, one),
        lambda: best_weight(labels[:, None], scores[:, None], scores[:, None]),
        lambda: LinkModel.fit(torch.rand(30, 8), a_split(valid=True), members=2, options=few),
        lambda: fit_function(
            FunctionPredictor(8, num_terms=1, conv="none"), torch.rand(30, 8), NONE,
            torch.arange(30)[:, None] % 2 == 0, halves, ~halves, few,
        ),
    ):  # fmt: skip
        before = random.getstate()
        door()
        assert loaded and random.getstate() == before
        loaded.clear()


def test_a_stage_leaves_all_generators(tmp_path: Path) -> None:
    before = generators()
    options = Stage2Options(graph="g", out=str(tmp_path / "run"), steps=1)

    def draws(_options: Stage2Options, _checkpoint: Path | None) -> None:
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        seed_everything(3, verbose=False)
        torch.rand(1)

    with torch.inference_mode():
        run_stage(options, draws)
    assert generators() == before


def test_a_head_that_reads_no_structure_refuses_it() -> None:
    split, pairs = a_split(), torch.tensor([[0, 2]])
    told, between = torch.zeros(1, WIDTH), PairStructure(split.message, 30)
    plain, attending = LinkPredictor(8, conv="none").eval(), CrossAttentionPredictor(10 * 4).eval()
    for head, x in ((plain, torch.rand(3, 8)), (attending, torch.rand(3, 40))):
        h = head.embed(x, NONE)
        for ask in (
            lambda head=head, h=h: head.decode(h, pairs, told),
            lambda head=head, h=h: head.row(h, 0, torch.tensor([1]), told),
        ):
            with pytest.raises(InputError, match="does not read `structure`; make it with"):
                ask()
    with pytest.raises(InputError, match="does not read `structure`"):
        fit_link(plain, torch.rand(30, 8), split, structure=between)
    # Members that read it answer beside others that do not.
    both = [LinkPredictor(8, conv="none", structure=reads) for reads in (True, False)]
    recipes = [Recipe(structure=True), Recipe()]
    scores = LinkModel(both, recipes).on(torch.rand(30, 8), split)
    assert scores.log_odds(split.held_out).shape == (2, 20)
    np.testing.assert_allclose(
        scores.row(0, np.array([2])), scores.log_odds(np.array([[0, 2]])).mean(axis=0), rtol=1e-5
    )


def test_texts_are_neither_true_nor_false() -> None:
    split = a_split()
    with pytest.raises(InputError, match="weighted must be True or False, not 'yes'"):
        WalkSampler(split, 3, weighted="yes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="structure must be True or False, not 'no'"):
        LinkPredictor(8, structure="no")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="half must be True or False, not 'no'"):
        EmbedJob("x.fasta", "composition", "x.h5", half="no")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="paired must be True or False, not 1"):
        PropertyHead(8, 1, paired=1)  # type: ignore[arg-type]

"""Nothing changes or heeds the caller's settings: generators, threads, dtype, modes, autocast."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lcplm_graph.features.engines import Recipe as RowRecipe
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.target import Target
from lcplm_graph.heads.fit import FitOptions, fit_function
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.function_model import FunctionModel
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.members import untrained
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.zero_shot import score_pairs
from lcplm_graph.process import default_dtype, in_threads, initialised, one_thread
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split

NONE = torch.empty((2, 0), dtype=torch.int64)


def state() -> list[Any]:
    """Return all that a call must leave as it is."""
    kind, keys, *place = np.random.get_state()  # noqa: NPY002
    return [
        torch.get_rng_state().tolist(), kind, keys.tolist(), place, random.getstate(),
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
    ]  # fmt: skip


def a_link_model() -> LinkModel:
    return LinkModel([untrained(0, in_channels=20)], [Recipe(conv="GraphSAGE")])


def a_function_model() -> FunctionModel:
    head = FunctionPredictor(20, num_terms=1, conv="none")
    return FunctionModel(head, ["GO:0000001"], ["a"], "MF", [])


def a_property_model() -> PropertyModel:
    return PropertyModel(load_encoder("random:1m"), Target("binary", ("no", "yes")))


@pytest.mark.parametrize("make", [a_link_model, a_function_model, a_property_model])
def test_loading_a_head_draws_no_numbers_of_the_caller(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    model = make()
    save = getattr(model, "save", getattr(model, "save_pretrained", None))
    folder = save(tmp_path / "head")
    before = state()
    getattr(type(model), "load", getattr(type(model), "from_pretrained", None))(folder)
    assert state() == before


def overlapping(first: AbstractContextManager[Any], second: AbstractContextManager[Any]) -> None:
    """Enter one block here and another one in a thread; leave this one first."""
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with second:
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=other)
    with ExitStack() as stack:
        stack.enter_context(first)
        thread.start()
        begun.wait(60)
    end.set()
    thread.join()


def test_threads_that_make_heads_leave_the_default_dtype() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        overlapping(default_dtype(torch.float32), default_dtype(torch.float32))
        assert torch.get_default_dtype() == torch.float64
        with default_dtype(torch.float32):
            with default_dtype(torch.bfloat16):
                assert torch.get_default_dtype() == torch.bfloat16
            assert torch.get_default_dtype() == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_threads_that_compute_in_one_thread_leave_the_number_of_the_process() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found: list[int] = []
    try:
        overlapping(one_thread(), one_thread())
        fresh = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        assert (torch.get_num_threads(), found) == (3, [3])
        with one_thread():
            with one_thread():
                pass
            assert torch.get_num_threads() == 1

        def inside(_: int) -> int:
            with one_thread():
                pass
            return torch.get_num_threads()

        assert in_threads(inside, range(6)) == [1] * 6
    finally:
        torch.set_num_threads(before)


def test_threads_that_ask_a_model_in_training_mode_leave_it_evaluating() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    modes: list[bool] = []
    first, second = evaluating(model), evaluating(model)
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with second:
            begun.set()
            end.wait(60)
            modes.extend(part.training for part in model)

    thread = threading.Thread(target=other)
    with first:
        thread.start()
        begun.wait(60)
    end.set()
    thread.join()
    assert modes == [False, False]
    assert [part.training for part in model] == [True, False]


def answers() -> list[Any]:
    """Return what models answer by default."""
    proteins, pairs = ["MKTAYIAKQR", "GAVLIMFW", "MVLSPADKTN"], np.array([[0, 1], [1, 2]])
    encoder = load_encoder("random:1m")
    x = encoder.embed(proteins, "mean")
    split = Split("C1", 3, pairs, pairs, pairs[:0], [])
    link = LinkModel([untrained(0, in_channels=x.shape[1])], [Recipe(conv="GraphSAGE")])
    with initialised(0):
        head = FunctionPredictor(x.shape[1], num_terms=1, conv="none")
        tuned = PropertyModel(encoder, Target("binary", ("no", "yes")))
    mask, labels = torch.ones(3, dtype=torch.bool), torch.eye(3, 1).bool()
    function = FunctionModel(head, ["GO:0000001"], ["a"], "MF", [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of proteins unlike those of training
        scores = score_pairs("lcplm-g-2m", [tuple(proteins[:2])])
    return [
        x, *encoder.embed_residues(proteins), tuned.answers(proteins), scores,
        RowRecipe("mean", "float32").values(encoder, proteins),
        link.on(x, split).log_odds(pairs), link.on(x, split).row(0, [1, 2]),
        function.probability(x),
        fit_function(head, x, NONE, labels, mask, mask, FitOptions(steps=2)).out.weight.detach(),
    ]  # fmt: skip


def test_answers_do_not_depend_on_autocast() -> None:
    expected = answers()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = answers()
    for number, (own, plain) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(own, plain, str(number))


def test_features_made_under_autocast_are_kept_as_the_encoder_makes_them(data_dir: Path) -> None:
    store = SequenceStore.from_records(["a", "b"], ["MKTAYIAKQR", "GAVLIMFW"])
    encoder = load_encoder("random:1m")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cached_embeddings(encoder, store, "mean")
    assert torch.equal(cached_embeddings(encoder, store, "mean"), encoder.embed(store, "mean"))
    with torch.autocast("cpu", dtype=torch.bfloat16):  # your own training takes it
        assert not torch.equal(encoder.embed_batch(store, "mean"), encoder.embed(store, "mean"))

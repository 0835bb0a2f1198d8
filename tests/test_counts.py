"""Every option that counts something refuses what counts nothing, before any work."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lcplm_graph.embed import EmbedOptions
from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluate.contacts import ContactsCommand
from lcplm_graph.evaluate.function import FunctionCommand
from lcplm_graph.evaluate.link import LinkCommand
from lcplm_graph.evaluate.ogb import OgbCommand
from lcplm_graph.evaluate.variants import VariantsCommand
from lcplm_graph.evaluation.function import FunctionOptions
from lcplm_graph.evaluation.homology import HomologyOptions
from lcplm_graph.evaluation.link_pairs import LinkOptions
from lcplm_graph.finetuning.model import HeadOptions
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.options import check_counts
from lcplm_graph.predict.function import FunctionOptions as PredictFunctionOptions
from lcplm_graph.predict.links import EdgesOptions
from lcplm_graph.predict_property import PredictPropertyOptions
from lcplm_graph.search import SearchOptions
from lcplm_graph.splits.split import Split
from lcplm_graph.stage1 import Stage1Options
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.variants import VariantsOptions

DOORS = {
    EmbedOptions: ({"input": "x", "out": "x"}, "--max-tokens --workers"),
    ContactsCommand: ({"folder": "x"}, "--least --most --max-tokens"),
    FunctionCommand: ({}, "--steps --min-proteins --resamples"),
    LinkCommand: ({}, "--steps --members --resamples"),
    OgbCommand: ({"encoder": "composition"}, "--hits --members --steps"),
    VariantsCommand: ({"folder": "x", "reference": "x"}, "--max-tokens"),
    FunctionOptions: ({}, "resamples"),
    HomologyOptions: ({}, "resamples"),
    LinkOptions: ({}, "resamples"),
    FinetuneOptions: (
        {"table": "x", "out": "x"}, "epochs patience batch_size max_tokens rank eval_every",
    ),
    FitOptions: ({}, "steps batch_size every"),
    PredictFunctionOptions: ({"proteins": [], "out": "x"}, "--most --min-proteins --steps"),
    EdgesOptions: ({"out": "x"}, "--top --steps --members"),
    PredictPropertyOptions: ({"folder": "x", "input": "x", "out": "x"}, "--max-tokens"),
    SearchOptions: ({"query": "x", "db": "x", "out": "x"}, "--top"),
    Stage1Options: (
        {"corpus": "x", "out": "x", "steps": 1},
        "eval_tokens max_length steps max_tokens accumulate nodes log_every eval_every",
    ),
    Stage2Options: (
        {"graph": "x", "out": "x", "steps": 1}, "walk_length walk_tokens eval_pairs",
    ),
    VariantsOptions: ({"fasta": "x", "out": "x"}, "--max-tokens"),
}  # fmt: skip


@pytest.mark.parametrize("options", DOORS)
def test_what_counts_nothing_is_refused(options) -> None:
    needed, names = DOORS[options]
    for name in names.split():
        field = name.removeprefix("--").replace("-", "_")
        for wrong in (0, -1):
            with pytest.raises(ConfigError, match=f"^{name} must be at least [12], not {wrong}$"):
                options(**{**needed, field: wrong})


def test_negatives_of_a_calibration_are_drawn_at_least_once() -> None:
    split = Split("random", 3, [[0, 1]], [[0, 1]], [[1, 2]], [0])
    with pytest.raises(ConfigError, match="draws must be at least 1, not 0"):
        LinkModel([], []).judged(torch.rand(3, 2), split, draws=0)


def test_a_head_may_have_no_hidden_layer_but_not_less() -> None:
    assert HeadOptions(channels=0).channels == 0
    with pytest.raises(ConfigError, match="channels must be at least 0, not -1"):
        HeadOptions(channels=-1)


def test_counts_are_whole_numbers_of_python_or_numpy() -> None:
    check_counts(SimpleNamespace(steps=np.int64(3), epochs=None, draws=0), "steps", "epochs")
    check_counts(SimpleNamespace(draws=0), "draws", least=0)
    for wrong in (2.5, "3", True, np.float64(2)):
        with pytest.raises(ConfigError, match="steps must be a whole number, not"):
            check_counts(SimpleNamespace(steps=wrong), "steps")

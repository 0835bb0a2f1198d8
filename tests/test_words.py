"""A word that is none of those that mean something is refused, and not taken for one of them."""

from __future__ import annotations

import numpy as np
import pytest

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.models.masked_lm import load_masked_lm
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tasks.marginals import masked_marginals
from lcplm_graph.tasks.precision import density
from lcplm_graph.tasks.search import EmbeddingIndex
from lcplm_graph.tasks.variant_job import VariantJob
from lcplm_graph.tasks.variants import parse_variant, score_variants, tokens_needed
from lcplm_graph.training.options import Stage2Options, TrainOptions

PROTEIN = "MKTAY"
LM = load_masked_lm("random:1m")
STORE = SequenceStore.from_records(["a"], [PROTEIN])
RUN = {"graph": "string_human_core", "out": "run", "steps": 1}
TABLE = {"table": "t.csv", "out": "run"}
DOORS = {
    "score_variants": lambda word: score_variants(LM, PROTEIN, ["K2R"], word),
    "tokens_needed": lambda word: tokens_needed(PROTEIN, None, word),
    "VariantJob": lambda word: VariantJob(lm=LM, proteins=STORE, method=word).tokens,
    "EmbeddingIndex": lambda word: EmbeddingIndex(np.eye(3, dtype=np.float32), word),
    "density": lambda word: density(np.ones((40, 40), np.float32), word),
    "precision of training": lambda word: TrainOptions(out="run", steps=1, precision=word),
    "schedule": lambda word: Stage2Options(schedule=word, **RUN),
    "relation": lambda word: Stage2Options(relation=word, **RUN),
    "mode": lambda word: FinetuneOptions(mode=word, **TABLE),
    "task": lambda word: FinetuneOptions(task=word, **TABLE),
    "split": lambda word: FinetuneOptions(split=word, **TABLE),
    "search": lambda word: FinetuneOptions(search=word, **TABLE),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("word", ["wild_type", "Masked", "json", 3, ["masked"]])
def test_unknown_words_are_refused(door, word):
    with pytest.raises(UnknownNameError, match=r"choose one of \w"):
        DOORS[door](word)


def test_known_words_and_none_are_taken():
    assert Stage2Options(relation=None, **RUN).relation is None
    assert FinetuneOptions(mode="full", task="regression", **TABLE).mode == "full"
    assert tokens_needed(PROTEIN, None, "wild-type") == 7


@pytest.mark.parametrize("variants", [None, "K2R", b"K2R", {"K2R": 1}, 3, ["K2R", 3]])
def test_what_is_no_list_of_variants_is_refused(variants):
    with pytest.raises(InputError, match="variants: "):
        score_variants(LM, PROTEIN, variants)


@pytest.mark.parametrize("given", [(None, PROTEIN), (b"K2R", PROTEIN), ("K2R", None)])
def test_variants_and_wild_types_are_texts(given):
    with pytest.raises(InputError, match="is a text, not"):
        parse_variant(*given)


@pytest.mark.parametrize("positions", [[0.5, 1.7], np.array([True, False] * 2), [[0], [1]], 2])
def test_positions_that_are_no_whole_numbers_are_refused(positions):
    # Fractions were cut to other positions, and a mask was the positions 0 and 1.
    with pytest.raises(InputError, match="whole numbers of shape"):
        masked_marginals(LM, PROTEIN, positions)

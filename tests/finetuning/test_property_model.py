"""`PropertyModel` gives the same answers in any mode and precision, and asks for what it needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.finetuning.model import HeadOptions, PropertyModel
from lcplm_graph.finetuning.target import Target
from lcplm_graph.models.encoders import load_encoder

PROTEINS = ["MKTAYIAKQR", "GGG", "MVLSPADKTN"]
TARGETS = {
    "binary": Target("binary", ("no", "yes")),
    "residue": Target("residue", ("H", "E")),
    "pairs": Target("binary", ("no", "yes")),
}
ASKED = {"pairs": [("MKT", "MV"), ("GGG", "MKT")]}


def model_of(kind: str) -> PropertyModel:
    torch.manual_seed(0)
    options = HeadOptions(channels=8, dropout=0.5)
    return PropertyModel(
        load_encoder("composition"), TARGETS[kind], paired=kind == "pairs", head=options
    )


@pytest.mark.parametrize("kind", TARGETS)
def test_answers_do_not_depend_on_the_mode_and_leave_it(kind):
    model, asked = model_of(kind), ASKED.get(kind, PROTEINS)
    wanted, state = model.answers(asked), {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    model.encoder.eval()
    for _ in range(2):
        for found, right in zip(model.answers(asked), wanted, strict=True):
            np.testing.assert_array_equal(found, right)
    assert model.training
    assert model.head.scale.training
    assert not model.encoder.training
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert len(model.predict(asked[:1])) == 1


@pytest.mark.parametrize("kind", ["binary", "pairs"])
def test_the_parts_of_an_answer_do_not_depend_on_the_mode(kind):
    model = model_of(kind).train()
    features = torch.rand(3, model.head.width)
    pairs = np.array([[0, 1], [2, 1]]) if kind == "pairs" else None
    assert torch.equal(model.logits_of(features, pairs), model.logits_of(features, pairs))
    assert torch.equal(model.head.distance(features), model.head.distance(features))
    assert not model.head.scale.running_mean.any()


def test_the_mode_comes_back_after_an_error(monkeypatch):
    model = model_of("binary").train()

    def fail(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(model.head, "forward", fail)
    with pytest.raises(KeyboardInterrupt):
        model.answers(PROTEINS)
    assert all(part.training for part in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", TARGETS)
def test_a_model_of_another_precision_answers(kind, dtype):
    asked = ASKED.get(kind, PROTEINS)
    wanted, found = model_of(kind).answers(asked), model_of(kind).to(dtype).answers(asked)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


def test_logits_are_of_the_residues_that_the_encoder_sees():
    """A stop at the end is none; `predict` knew, `logits` counted it."""
    model = model_of("residue")
    with_stop, without = model.logits(["MKT*", "GG"]), model.logits(["MKT", "GG"])
    assert [len(rows) for rows in with_stop] == [3, 2]
    assert torch.equal(with_stop[0], without[0])


def test_pairs_are_asked_for_where_they_are_needed():
    model = model_of("pairs")
    with pytest.raises(InputError, match="answers for pairs; give rows"):
        model.logits(PROTEINS)
    with pytest.raises(InputError, match="answers for proteins; give no pairs"):
        model_of("binary").logits(PROTEINS, np.array([[0, 1]]))
    for wrong in (-1, 3):
        with pytest.raises(InputError, match="names a protein outside"):
            model.logits(PROTEINS, np.array([[0, wrong]]))
    turned = np.array([[0, 1], [1, 2]])[:, ::-1]
    assert torch.equal(model.logits(PROTEINS, turned), model.logits(PROTEINS, turned.copy()))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("foo", ("a",)), "no kind of target 'foo'; choose one of regression, binary"),
        (("binary", ("a",)), "no binary target has the names"),
        (("multiclass", "abc"), "no multiclass target has the names 'abc'"),
        (("multilabel", ("a", "a")), "all different"),
        (("regression", ("a",), 0.0, 0.0), "a spread above 0"),
        (("regression", ("a",), float("nan")), "mean nan"),
    ],
)
def test_targets_that_make_no_sense_are_refused(given, match):
    with pytest.raises(ConfigError, match=match):
        Target(*given)


def test_answers_keep_the_index_of_a_column():
    """Put beside the rows of a part of a table, they stood beside others."""
    table = pd.DataFrame({"sequence": ["MKT", "GAVLI", "MWWWF", "HHHKK"]}, index=list("abcd"))
    part = table[table.sequence.str.contains("[WK]")]
    answers = model_of("binary").predict(part.sequence)
    assert answers.index.tolist() == ["a", "c", "d"]
    alone = model_of("binary").predict(["MWWWF"])
    assert part.assign(answer=answers["p(yes)"]).answer["c"] == pytest.approx(alone["p(yes)"][0])
    assert model_of("binary").predict(list(part.sequence)).index.tolist() == [0, 1, 2]

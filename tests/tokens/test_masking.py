"""Masking: rates, fates, and that special tokens are never touched."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.errors import ConfigError
from lcplm_graph.tokens.masking import IGNORE, is_relation, is_residue, mask_tokens
from lcplm_graph.tokens.vocabulary import EDGE, FIRST_RESIDUE, MASK, NO_EDGE, TOKENS


def sample(size: int = 200_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, len(TOKENS), (size,), generator=generator)


def masked(ids: torch.Tensor, seed: int = 1, **options):
    return mask_tokens(ids, generator=torch.Generator().manual_seed(seed), **options)


def test_residues_are_all_letters_and_nothing_else() -> None:
    letters = [len(token) == 1 and token.isalpha() for token in TOKENS]
    assert is_residue(torch.arange(len(TOKENS))).tolist() == letters


def test_rates_and_fates() -> None:
    ids = sample()
    out = masked(ids)
    scored = out.labels != IGNORE
    assert scored[is_residue(ids)].float().mean().item() == pytest.approx(0.15, abs=0.003)
    assert torch.equal(out.labels[scored], ids[scored])
    assert not scored[~is_residue(ids)].any()
    assert torch.equal(out.input_ids[~scored], ids[~scored])
    shown = out.input_ids[scored]
    assert (shown == MASK).float().mean().item() == pytest.approx(0.8, abs=0.01)
    # A random residue equals the old one now and then.
    assert (shown == ids[scored]).float().mean().item() == pytest.approx(0.1 + 0.1 / 25, abs=0.01)
    drawn = shown[(shown != MASK) & (shown != ids[scored])]
    assert ((drawn >= FIRST_RESIDUE) & (drawn < FIRST_RESIDUE + 20)).all()
    assert len(drawn.unique()) == 20


def test_relations_have_their_own_rate_and_always_become_mask() -> None:
    ids = sample()
    out = masked(ids, rate=0.0, relation_rate=0.3)
    hit = out.labels != IGNORE
    assert is_relation(ids)[hit].all()
    assert hit[is_relation(ids)].float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert (out.input_ids[hit] == MASK).all()
    assert set(out.labels[hit].tolist()) == {EDGE, NO_EDGE}


def test_mask_only_hides_the_same_positions_entirely() -> None:
    ids = sample()
    trained, honest = masked(ids), masked(ids, mask_only=True)
    assert torch.equal(trained.labels, honest.labels)
    assert (honest.input_ids[honest.labels != IGNORE] == MASK).all()


def test_same_seed_same_masks() -> None:
    ids = sample(1000)
    assert torch.equal(masked(ids).input_ids, masked(ids).input_ids)
    assert not torch.equal(masked(ids).labels, masked(ids, seed=2).labels)


@pytest.mark.parametrize("option", ["rate", "relation_rate"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_bad_rates(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=option):
        mask_tokens(torch.tensor([5]), **{option: value})

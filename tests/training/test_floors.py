from __future__ import annotations

import numpy as np
import pytest
import torch

from lcplm_graph.errors import ConfigError
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.masking import IGNORE, mask_tokens
from lcplm_graph.tokens.vocabulary import FIRST_RESIDUE, MASK, TOKEN_TO_ID
from lcplm_graph.training.corpus import Corpus, open_corpus
from lcplm_graph.training.floors import (
    composition_losses,
    neighbour_frequencies,
    neighbour_losses,
    residue_frequencies,
    unigram_losses,
)
from lcplm_graph.training.heldout import ACCURACY, AS_TRAINED, MASK_ONLY, HeldOutByLength

L, A = TOKEN_TO_ID["L"], TOKEN_TO_ID["A"]


def _uniform() -> torch.Tensor:
    frequencies = torch.full((25,), 1e-12, dtype=torch.float64)
    frequencies[:20] = 1 / 20
    return frequencies / frequencies.sum()


def test_uniform_residues_by_hand() -> None:
    ids = torch.tensor([MASK, L, L, A])
    labels = torch.tensor([L, L, A, IGNORE])
    losses = unigram_losses(ids, labels, _uniform())
    # A visible scored residue was kept (weight 1) or drawn at random (1/20 each).
    kept = (1 + 1 / 20) / (1 + 20 / 20)
    changed = (1 / 20) / (1 + 20 / 20)
    expected = -np.log([1 / 20, kept, changed])
    assert losses.numpy() == pytest.approx(expected, abs=1e-6)


def test_composition_counts_only_what_is_visible() -> None:
    ids = torch.tensor([0, L, L, MASK, 2, 0, A, MASK, 2])
    labels = torch.tensor([IGNORE] * 3 + [L] + [IGNORE] * 3 + [L, IGNORE])
    cu = torch.tensor([0, 5, 9], dtype=torch.int32)
    losses = composition_losses(ids, cu, labels, _uniform())
    expected = -np.log([(2 + 6) / 122, 6 / 121])
    assert losses.numpy() == pytest.approx(expected, abs=1e-6)


def test_floors_are_what_a_knower_of_the_corruption_scores() -> None:
    """No predictor that sees only the residue at the place does better, on average."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.arange(1, 21, dtype=torch.float64)
    frequencies = torch.cat([weights / weights.sum(), torch.zeros(5, dtype=torch.float64)])
    ids = FIRST_RESIDUE + torch.multinomial(frequencies, 400_000, True, generator=generator)
    masked = mask_tokens(ids, generator=generator)
    floor = unigram_losses(masked.input_ids, masked.labels, frequencies + 1e-12)
    asked = masked.labels != IGNORE
    shown, truth = masked.input_ids[asked], masked.labels[asked]
    table = torch.zeros(33, 33, dtype=torch.float64)  # the best predictor, by counting
    table.index_put_((shown, truth), torch.ones(len(shown), dtype=torch.float64), accumulate=True)
    best = -(table / table.sum(1, keepdim=True))[shown, truth].log()
    assert floor.mean().item() == pytest.approx(best.mean().item(), abs=0.01)
    entropy = -(frequencies[:20] * frequencies[:20].log()).sum().item()
    masked_only = mask_tokens(ids, mask_only=True, generator=generator)
    plain = unigram_losses(masked_only.input_ids, masked_only.labels, frequencies + 1e-12)
    assert plain.mean().item() == pytest.approx(entropy, abs=0.01)
    assert floor.mean() < plain.mean() - 0.1


def test_frequencies_are_those_of_the_corpus() -> None:
    store = SequenceStore.from_records(["a", "b"], ["L" * 900, "A" * 300])
    frequencies = residue_frequencies(store, np.arange(2))
    assert frequencies.sum() == pytest.approx(1.0)
    assert frequencies[0] / frequencies[1] == pytest.approx(901 / 301)


def test_held_out_losses_of_a_model_that_knows_the_frequencies(fasta) -> None:
    """Feed the evaluation a unigram model: mask-only it must hit the unigram floor exactly."""
    corpus = open_corpus(f"fasta:{fasta}", eval_tokens=500)
    held_out = HeldOutByLength(corpus, 256)
    frequencies = residue_frequencies(corpus.store, np.flatnonzero(corpus.is_training))
    row = torch.full((128,), -1e4, dtype=torch.float64)
    row[FIRST_RESIDUE : FIRST_RESIDUE + 25] = frequencies.log()
    got = held_out(lambda ids, cu: row.expand(len(ids), -1), torch.device("cpu"))
    assert set(got) == set(held_out.columns)
    report = held_out.report()
    for b, edge in enumerate(report["edges"]):
        floor = report["floors"][MASK_ONLY]["unigram"][b]
        assert got[f"{MASK_ONLY}_{edge}"] == pytest.approx(floor, abs=1e-4)
        assert got[f"{AS_TRAINED}_{edge}"] > report["floors"][AS_TRAINED]["unigram"][b]
    assert held_out.floors(MASK_ONLY)["unigram"] == pytest.approx(got[MASK_ONLY], abs=1e-4)
    assert 0 < got[ACCURACY] < 0.2


def test_held_out_proteins_are_whole_and_fill_batches(fasta) -> None:
    corpus = open_corpus(f"fasta:{fasta}", eval_tokens=2000)
    held_out = HeldOutByLength(corpus, 256)
    batches = [b for bin_ in held_out.bins for b in bin_.batches[MASK_ONLY]]
    lengths = torch.cat([b.cu_seqlens.diff() for b in batches]) - 2
    assert sorted(lengths.tolist()) == sorted(corpus.store.lengths[corpus.held_out].tolist())
    assert max(len(b.input_ids) for b in batches) <= 256


def test_neighbours_by_hand() -> None:
    """A masked residue between L and, two further, A; the next protein's residues do not count."""
    rng = np.random.default_rng(0)
    neighbours = torch.from_numpy(rng.dirichlet(np.ones(25), (8, 25)))
    ids = torch.tensor([0, L, MASK, MASK, A, 2, 0, L, 2])
    labels = torch.tensor([IGNORE, IGNORE, A, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE])
    cu = torch.tensor([0, 6, 9], dtype=torch.int32)
    got = neighbour_losses(ids, cu, labels, _uniform(), neighbours)
    own = 120 * _uniform()
    own[[L - FIRST_RESIDUE, A - FIRST_RESIDUE]] += 1
    # Distances -4 -3 -2 -1 1 2 3 4: L is at -1 (table 3), A at 2 (table 5).
    weight = own * (neighbours[3, :, L - FIRST_RESIDUE] * neighbours[5, :, A - FIRST_RESIDUE]).pow(
        0.75
    )
    expected = -(weight / weight.sum()).log()[A - FIRST_RESIDUE]
    assert got.numpy() == pytest.approx([expected.item()], abs=1e-9)


def test_neighbours_know_an_alternating_protein() -> None:
    """In LALALA... composition says one half, the neighbours nearly 1."""
    store = SequenceStore.from_records(["a"], ["LA" * 200])
    rows = np.arange(1)
    frequencies = residue_frequencies(store, rows)
    neighbours = neighbour_frequencies(store, rows)
    assert neighbours.sum(2).numpy() == pytest.approx(np.ones((8, 25)))
    assert neighbours[3, 0, 1] > 0.85  # left of an L there is an A
    ids = torch.tensor([0, *[L, A] * 20, 2])
    labels = torch.full_like(ids, IGNORE)
    labels[11] = L
    ids[11] = MASK
    cu = torch.tensor([0, len(ids)], dtype=torch.int32)
    own = composition_losses(ids, cu, labels, frequencies)
    assert own.exp().item() == pytest.approx(2, abs=0.2)
    assert neighbour_losses(ids, cu, labels, frequencies, neighbours).exp().item() < 1.01


def test_a_bin_none_of_whose_residues_is_masked_has_no_loss() -> None:
    texts = ["M", "LAGVSERT" * 20, *["MK"] * 18]
    store = SequenceStore.from_records(map(str, range(20)), texts)
    held_out = HeldOutByLength(Corpus(store, np.arange(2), {}), 512)
    assert [b.edge for b in held_out.bins] == [256]
    assert all(value == value for value in held_out.floors(MASK_ONLY).values())
    with pytest.raises(ConfigError, match="1 held-out proteins have 1 residues, none"):
        HeldOutByLength(Corpus(store, np.arange(1), {}), 512)

"""Forgetting at the markers around a protein: what it computes, and what it is for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lcplm_graph import LcPlmConfig, LcPlmForMaskedLM, load_encoder
from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.models.entrances import forget_at
from lcplm_graph.ops.selective_scan import selective_scan
from lcplm_graph.tokens.packing import pack, tokenize
from lcplm_graph.tokens.vocabulary import EDGE, encode_residues, pair_walk

CU = torch.tensor([0, 1, 8, 30], dtype=torch.int32)
AT = torch.tensor([1, 4, 17])


def _operands(rank: int | None) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    made = {
        "u": normal(30, 6), "delta": normal(30, rank or 6), "A": -normal(6, 4).abs(),
        "B": normal(30, 4), "C": normal(30, 4), "D": normal(6), "delta_bias": normal(6),
    }  # fmt: skip
    return made | ({"delta_weight": normal(6, rank)} if rank else {})


def _written_out(bias, z, reverse, u, delta, A, B, C, D, delta_bias, delta_weight=None):
    delta = delta if delta_weight is None else delta @ delta_weight.T
    rows: list[torch.Tensor] = [u.new_empty(0)] * len(u)
    for first, last in zip(CU.tolist(), CU.tolist()[1:], strict=False):
        h = u.new_zeros(A.shape)
        order = range(first, last)
        for t in reversed(order) if reverse else order:
            step = delta[t] + delta_bias
            decay = F.softplus(step + bias if t in AT else step)
            h = torch.exp(decay[:, None] * A) * h
            h = h + (F.softplus(step) * u[t])[:, None] * B[t]
            rows[t] = h @ C[t] + D * u[t]
    y = torch.stack(rows)
    return y if z is None else y * F.silu(z)


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize(("reverse", "gated"), [(False, False), (True, True)])
@pytest.mark.parametrize(
    ("backend", "dtype", "close"),
    [("reference", torch.float64, 1e-10), ("numba", torch.float32, 1e-4)],
)
def test_only_the_decay_changes(rank, reverse, gated, backend, dtype, close) -> None:
    """Values and every gradient are those of the equation, whatever kernel runs."""
    generator = torch.Generator().manual_seed(1)
    more = {"bias": torch.randn(6, generator=generator).double() * 2}
    if gated:
        more["z"] = torch.randn(30, 6, generator=generator).double()
    leaves = {k: v.requires_grad_() for k, v in (_operands(rank) | more).items()}
    bias, z = leaves["bias"], leaves.get("z")
    plain = {k: v for k, v in leaves.items() if k not in more}
    wanted = _written_out(bias, z, reverse, **plain)
    weights = torch.randn(30, 6, generator=generator).double()
    expected = torch.autograd.grad((wanted * weights).sum(), list(leaves.values()))

    mine = {k: v.detach().to(dtype).requires_grad_() for k, v in leaves.items()}
    bias, z = mine["bias"], mine.get("z")
    operands, restore = forget_at({k: mine[k] for k in plain}, AT, bias)
    y = selective_scan(**operands, z=z, cu_seqlens=CU, reverse=reverse, backend=backend)
    found = restore(y, z)
    torch.testing.assert_close(found.double(), wanted, atol=close, rtol=close)
    grads = torch.autograd.grad((found * weights.to(dtype)).sum(), list(mine.values()))
    for name, got, right in zip(leaves, grads, expected, strict=True):
        torch.testing.assert_close(got.double(), right, atol=10 * close, rtol=close, msg=name)


def _model(value: float | None, **changes) -> LcPlmForMaskedLM:
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=2, **changes)).eval()
    if value is not None:
        model.add_marker_steps(value)
    return model


def _walk(left: str, right: str = "GAVLIMFWPGGSTNQSTYCHKRDE"):
    return pair_walk(encode_residues(left), encode_residues(right), EDGE)


@pytest.mark.parametrize(
    "changes", [{}, {"bidirectional_weight_tie": False}, {"bidirectional": False}]
)
def test_in_windows_it_is_the_same_and_at_zero_nothing_changes(changes) -> None:
    packed = pack([_walk("MKTAYIAKQRQISFVK"), _walk("WWPLE", "MKT"), encode_residues("GAV")])
    call = {"input_ids": packed.input_ids, "cu_seqlens": packed.cu_seqlens}
    with torch.inference_mode():
        plain, zero = (_model(value, **changes)(**call).logits for value in (None, 0.0))
        torch.testing.assert_close(plain, zero)
        model = _model(3.0, **changes)
        whole = model(**call).logits
        assert not torch.allclose(whole, plain, atol=1e-3)
        for window in (1, 7, 30):
            torch.testing.assert_close(model(**call, window=window).logits, whole)
        padded = torch.full((3, 50), 1)
        mask = torch.zeros(3, 50, dtype=torch.bool)
        for row, (a, b) in enumerate(zip(packed.cu_seqlens, packed.cu_seqlens[1:], strict=False)):
            padded[row, -(b - a) :], mask[row, -(b - a) :] = packed.input_ids[a:b], True
        torch.testing.assert_close(model(padded, mask).logits[mask], whole)


def test_a_large_one_keeps_the_partner_out() -> None:
    """What stands beside a protein hardly moves its states, and without the bias it does."""
    moved = {}
    for value in (None, 25.0):
        states = []
        for partner in ("MKTAYIAKQRQISFVKSHFSRQ", "WWWWPPPPWWWWPPPPWWWWPP"):
            packed = pack([_walk(partner)])
            with torch.inference_mode():
                out = _model(value).bimamba(packed.input_ids, cu_seqlens=packed.cu_seqlens)
            # Behind the reach of both layers' short convolutions.
            states.append(out.last_hidden_state[len(partner) + 5 + 8 : -2])
        moved[value] = (states[0] - states[1]).norm()
    assert moved[25.0] < 0.1 * moved[None]


def test_they_are_stored_and_belong_to_the_fingerprint(tmp_path) -> None:
    model = _model(2.0)
    model.save_pretrained(tmp_path)
    again = load_encoder(tmp_path)
    assert again.model.config.marker_step_bias
    packed = pack([_walk("MKT")])
    expected = model(packed.input_ids, cu_seqlens=packed.cu_seqlens).logits
    torch.testing.assert_close(again.logits(packed), expected)
    with pytest.raises(ConfigError, match="has marker steps"):
        again.model.add_marker_steps(0.0)
    names = [k for k in model.state_dict() if k.endswith("marker_step_bias")]
    assert len(names) == 2 * 2
    assert not [k for k in _model(None).state_dict() if "marker" in k]
    with pytest.raises(InputError, match="cannot be seen in inputs_embeds"):
        model(inputs_embeds=torch.zeros(1, 5, 16))


def test_single_proteins_are_as_they_were() -> None:
    packed = tokenize(["MKTAYIAK", "GA"])
    plain, forgetful = (
        _model(value)(packed.input_ids, cu_seqlens=packed.cu_seqlens).logits for value in (None, 9)
    )
    assert torch.equal(plain, forgetful)

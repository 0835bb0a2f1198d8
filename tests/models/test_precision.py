"""An encoder in bfloat16: how far from float32, the same for any batch and number of threads."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph.errors import ConfigError
from lcplm_graph.features.formats import info_of
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.io import forget_warnings
from lcplm_graph.models import precision
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.precision import choose_dtype, load_in_precision
from lcplm_graph.models.shipped import DEFAULT_ENCODER, shipped_encoders
from lcplm_graph.proteins.store import SequenceStore

RNG = np.random.default_rng(0)
PROTEINS = ["".join(RNG.choice(list("LAGVSERTIDPKQNFYMHWC"), n)) for n in (1, 2, 33, 150, 71)]
FEATURES = 0.01
"""Bound on the relative change of features by bfloat16, which docs/encoder.md states."""
BATCHES = 0.01
"""Bound on the relative change of a protein's bfloat16 features by its batch mates."""


def change(low: torch.Tensor, exact: torch.Tensor) -> float:
    return float((low - exact).norm(dim=1).div(exact.norm(dim=1)).max())


@pytest.fixture(scope="module")
def low():
    return load_encoder(DEFAULT_ENCODER, dtype="bfloat16")


@pytest.fixture(scope="module")
def exact():
    return load_encoder(DEFAULT_ENCODER)


def test_features_are_close_to_those_of_float32(low, exact) -> None:
    got, expected = low.embed(PROTEINS), exact.embed(PROTEINS)
    assert got.dtype == torch.float32
    assert 1e-5 < change(got, expected) < FEATURES


def test_batch_mates_change_hardly_anything(low) -> None:
    together = low.embed(PROTEINS)
    alone = torch.cat([low.embed([protein]) for protein in PROTEINS])
    assert change(together, alone) < BATCHES


def test_windows_change_hardly_anything(low) -> None:
    packed = low.tokenize(PROTEINS)
    with torch.no_grad():
        whole = low.encode(packed)
        low.window, before = 64, low.window
        try:
            windows = low.encode(packed)
        finally:
            low.window = before
    assert windows.dtype == torch.float32
    assert float((windows - whole).norm() / whole.norm()) < FEATURES


def test_the_same_bytes_for_any_number_of_threads(low) -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(low.embed(PROTEINS[2:]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_caches_and_fingerprints_know_the_precision(
    low, exact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path))
    assert (low.precision, exact.precision) == ("bfloat16", "float32")
    assert low.fingerprint() != exact.fingerprint()
    store = SequenceStore.from_records(["a", "b"], PROTEINS[2:4])
    first = cached_embeddings(exact, store, "mean", progress=False)
    second = cached_embeddings(low, store, "mean", progress=False)
    assert not torch.equal(first, second)
    assert torch.equal(first, cached_embeddings(exact, store, "mean", progress=False))
    assert len(list((tmp_path / "features").iterdir())) == 2


@pytest.mark.parametrize(
    ("fast", "stated", "chosen"),
    [
        (True, 0.004, torch.bfloat16),
        (True, 0.02, torch.float32),
        (True, None, torch.float32),
        (False, 0.004, torch.float32),
    ],
)
def test_auto_asks_the_processor_and_the_shipped_check(
    fast: bool, stated: float | None, chosen: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: fast)
    monkeypatch.setattr(precision, "stated_change", lambda _: stated)
    assert choose_dtype(DEFAULT_ENCODER, "auto") == chosen
    assert choose_dtype(DEFAULT_ENCODER, "float32") == torch.float32
    assert choose_dtype(DEFAULT_ENCODER, "bfloat16") == torch.bfloat16


@pytest.mark.parametrize("name", shipped_encoders())
def test_every_shipped_encoder_states_how_little_its_features_change(name: str) -> None:
    stated = precision.stated_change(name)
    assert stated is not None and 0 < stated < precision.BOUND


@pytest.mark.parametrize(
    ("features", "fast"),
    [({"amx-bf16": True}, True), ({"avx512bf16": True}, True), ({"avx512f": True}, False)],
)
def test_processors(features: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: features)
    precision.multiplies_bfloat16.cache_clear()
    try:
        assert precision.multiplies_bfloat16() is fast
    finally:
        precision.multiplies_bfloat16.cache_clear()


def test_what_has_no_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, float32, bfloat16, not 'float16'"):
        load_in_precision(DEFAULT_ENCODER, "float16")
    with pytest.raises(ConfigError, match="has no weights"):
        load_in_precision("composition", "bfloat16")
    assert load_in_precision("composition", "auto").precision == "float32"


def test_add_protein_features(exact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path))
    store = SequenceStore.from_records(["a", "b"], PROTEINS[2:4])
    graph = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), protein_id=["a", "b"], num_nodes=2)
    options = {"pool": "mean", "sequences": store, "progress": False}
    add = AddProteinFeatures(DEFAULT_ENCODER, precision="bfloat16", **options)
    assert add.encoder.precision == "bfloat16"
    assert 1e-5 < change(add(graph).x, AddProteinFeatures(exact, **options)(graph).x) < FEATURES
    with pytest.raises(ConfigError, match="the encoder is loaded, in float32"):
        AddProteinFeatures(exact, precision="bfloat16")


def test_the_command_writes_down_what_it_computed_with(tmp_path: Path, capsys) -> None:
    from lcplm_graph import embed

    fasta, out = tmp_path / "a.fasta", tmp_path / "a.npz"
    fasta.write_text(f">a\n{PROTEINS[3]}\n")
    command = [str(fasta), "--encoder", DEFAULT_ENCODER, "--out", str(out)]
    assert embed.main([*command, "--precision", "bfloat16"]) == 0
    assert info_of(out)["precision"] == "bfloat16"
    # The same command in float32 is another job.
    assert embed.main(command) == 1
    assert "precision 'bfloat16', not 'float32'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        embed.main([*command, "--precision", "float16"])


@pytest.mark.parametrize(("fast", "said"), [(True, 0), (False, 1)])
def test_bfloat16_in_software_is_told(monkeypatch, fast, said):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: fast)
    forget_warnings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_in_precision("lcplm-1m", "bfloat16")
        load_in_precision("lcplm-1m", "auto")
        load_in_precision("lcplm-1m")
    assert sum("no instructions for bfloat16" in str(one.message) for one in caught) == said

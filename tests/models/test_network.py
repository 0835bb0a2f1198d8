"""Reading a model without Hugging Face gives what Hugging Face's classes give."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lcplm_graph import load_encoder
from lcplm_graph.errors import CheckpointError
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.names import CONFIG
from lcplm_graph.models.network import read_network
from lcplm_graph.tokens.packing import tokenize

PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQ", "GAVLIMCFYWHKRQNEDSTP", "M"]


@pytest.fixture(scope="module", params=["shared", "tied", "relation", "one direction", "forgets"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {
        "shared": {},
        "tied": {"tie_embeddings": True, "bidirectional_weight_tie": False},
        "relation": {"relation_channels": 8, "pool": "mean_std"},
        "one direction": {"bidirectional": False, "ssm_cfg": {"d_state": 8}},
        "forgets": {"marker_step_bias": True},
    }[request.param]
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=32, n_layer=2, **options))
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    return path


def test_it_equals_hugging_faces_model(folder: Path) -> None:
    plain, other = load_encoder(folder), LcPlmForMaskedLM.from_pretrained(folder).eval()
    assert read_network(folder) is not None
    whole = LcPlmEncoder(other, str(folder))
    packed = tokenize(PROTEINS)
    with torch.no_grad():
        assert torch.equal(plain.encode(packed), whole.encode(packed))
        assert torch.equal(plain.logits(packed), whole.logits(packed))
    assert plain.fingerprint() == whole.fingerprint()
    assert plain.pool == whole.pool


def test_the_model_is_made_when_it_is_asked_for(folder: Path) -> None:
    encoder = load_encoder(folder)
    parameters = {name: value.data_ptr() for name, value in encoder.named_parameters()}
    before, fingerprint = encoder.embed(PROTEINS), encoder.fingerprint()
    model = encoder.model
    assert isinstance(model, LcPlmForMaskedLM)
    assert encoder.model is model
    assert not model.training
    assert {name: value.data_ptr() for name, value in encoder.named_parameters()} == parameters
    assert encoder.fingerprint() == fingerprint
    assert torch.equal(encoder.embed(PROTEINS), before)
    assert model.config.to_dict() == LcPlmForMaskedLM.from_pretrained(folder).config.to_dict()
    assert model._keys_to_ignore_on_save == (
        LcPlmForMaskedLM.from_pretrained(folder)._keys_to_ignore_on_save
    )


def test_half_precision_weights_are_read_as_float32(folder: Path, tmp_path: Path) -> None:
    LcPlmForMaskedLM.from_pretrained(folder, dtype="float16").save_pretrained(tmp_path)
    network = read_network(tmp_path)
    assert network is not None
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    other = LcPlmForMaskedLM.from_pretrained(tmp_path)
    assert load_encoder(tmp_path).fingerprint() == LcPlmEncoder(other, "x").fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"quantization_config": {"quant_method": "nonsense"}},
        {"architectures": ["LcPlmForSequenceClassification"]},
        {"output_hidden_states": True},
        {"dtype": "float64"},
        {"unheard_of": 1},
    ],
)
def test_other_folders_are_left_to_hugging_face(
    folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    stored = json.loads((folder / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(stored | change))
    assert read_network(tmp_path) is None


@pytest.mark.parametrize("change", [{"d_model": 0}, {"n_layer": 3}, {"pool": "nonsense"}])
def test_both_ways_refuse_in_the_same_words(
    folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    stored = json.loads((folder / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(stored | change))
    with pytest.raises(CheckpointError) as plain:
        load_encoder(tmp_path)
    with pytest.raises(CheckpointError) as whole:
        LcPlmForMaskedLM.from_pretrained(tmp_path)
    assert str(plain.value) == str(whole.value)


def test_embedding_imports_no_model_library_and_no_compiler() -> None:
    script = (
        "import sys\n"
        "from lcplm_graph import load_encoder\n"
        "load_encoder('lcplm-1m').embed(['MKTAYIAK'])\n"
        "heavy = ('transformers', 'torch._dynamo', 'sympy', 'accelerate', 'pandas', 'networkx')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"

"""ESM C by `esmc:`: the same for any batch, from weights that fit or not at all."""

import pytest
import torch
from cases.encoder import EncoderCase

from lcplm_graph import load_encoder
from lcplm_graph.errors import CheckpointError
from lcplm_graph.models.esmc import EsmcEncoder

transformers = pytest.importorskip("transformers")
if not hasattr(transformers, "EsmcModel"):
    pytest.skip("this transformers does not know ESM C", allow_module_level=True)


SEQUENCES = ["MKTAYIAK", "GGGGWWWWLLL", "M"]


def tiny():
    torch.manual_seed(0)
    config = transformers.EsmcConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    return transformers.EsmcModel(config).eval()


class TestEsmC(EncoderCase):
    @pytest.fixture
    def make(self):
        return lambda: EsmcEncoder(tiny(), "esmc:tiny").eval()


def test_it_loads_from_a_folder_and_no_protein_depends_on_its_batch(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    encoder = load_encoder(f"esmc:{tmp_path}")
    together = encoder.embed(SEQUENCES, "mean_std")
    assert together.shape == (3, 2 * encoder.dim)
    alone = torch.cat([encoder.embed([s], "mean_std") for s in SEQUENCES])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together, EsmcEncoder(model, "x").embed(SEQUENCES, "mean_std"))


def test_its_tokens_are_those_of_esm2():
    from transformers.models.esmc.tokenization_esmc import SEQUENCE_VOCAB

    from lcplm_graph.tokens.packing import tokenize

    packed = tokenize(["LAGVSERTIDPKQNFYMHWCXBUZO"])
    letters = [SEQUENCE_VOCAB[i] for i in packed.input_ids.tolist()]
    assert letters == ["<cls>", *"LAGVSERTIDPKQNFYMHWCXBUZO", "<eos>"]


def test_another_model_is_refused(tmp_path):
    tiny().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"esmc"', '"esm"'))
    with pytest.raises(CheckpointError, match="model_type is 'esm', not 'esmc'"):
        load_encoder(f"esmc:{tmp_path}")

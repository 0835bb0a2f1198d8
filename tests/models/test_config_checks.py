"""What makes no sense in a configuration is refused, in the constructor and in config.json."""

import json

import pytest
import torch

from lcplm_graph.errors import CheckpointError, ConfigError, LcPlmWarning
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM

SMALL = {"d_model": 8, "n_layer": 1}
NONSENSE = [
    *({"pad_token_id": value} for value in (-5, -1, 128, 1e9, "1", True, [1])),
    *({"eos_token_id": value} for value in (-5, 9999, [2, 128], ["a"], True)),
    *({f"{kind}_token_id": -2} for kind in ("bos", "cls", "sep", "mask", "unk", "decoder_start")),
    *({"dtype": value} for value in (3, True, "float99", "int8", "Tensor", ["float32"], {})),
    *({"torch_dtype": value} for value in (3, "nonsense", "long", "torch.nn")),
    *({name: 1e-5} for name in ("norm_eps", "layer_norm_eps", "rms_norm_eps", "norm_epsilonn")),
    *({name: 4} for name in ("num_layers", "n_layerr", "d_modell", "d_state", "conv_kernel")),
    *({"quantization_config": value} for value in ({}, {"quant_method": "x"}, 3, [], "int8")),
    *({"hidden_size": value} for value in ("8", 8.0, -8, None, 1 << 40)),
    *({"tie_word_embeddings": 3}, {"use_cache": "yes"}, {"is_encoder_decoder": 0}),
    *({"attn_implementation": "sdpa"}, {"_attn_implementation": "flash"}),
    *({"id2label": {"a": "b"}}, {"id2label": {"0": 3}}, {"label2id": {"a": "b"}}),
    *({"problem_type": "x"}, {"architectures": [3]}, {"auto_map": 3}, {"relation_channels": "8"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("model")
    LcPlmForMaskedLM(LcPlmConfig(**SMALL)).save_pretrained(made)
    return made, (made / "config.json").read_text()


@pytest.mark.parametrize("wrong", NONSENSE, ids=lambda wrong: json.dumps(wrong))
def test_nonsense_is_named(folder, wrong):
    named = next(iter(wrong)).replace("hidden_size", "d_model").replace("torch_", "")
    named = named.replace("tie_word_embeddings", "tie_embeddings")
    with pytest.raises(ConfigError, match=named):
        LcPlmConfig(**{**SMALL, **wrong})
    path, stored = folder[0] / "config.json", json.loads(folder[1])
    path.write_text(json.dumps({**stored, **wrong}))
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{named}"):
        LcPlmForMaskedLM.from_pretrained(folder[0])


def test_what_is_right_is_taken(folder):
    stored = json.loads(folder[1])
    given = {"pad_token_id": -100, "eos_token_id": [2, 1], "bos_token_id": None, "use_cache": False}
    more = {"torch_dtype": "torch.bfloat16", "dtype": None, "return_dict": False}
    (folder[0] / "config.json").write_text(json.dumps({**stored, **given, **more}))
    model = LcPlmForMaskedLM.from_pretrained(folder[0], dtype="auto")
    assert (model.config.pad_token_id, model.config.eos_token_id) == (1, [2, 1])
    assert model.dtype == torch.bfloat16


def test_what_is_unknown_is_kept_and_said():
    with pytest.warns(LcPlmWarning, match="holds my_note, which LC-PLM does not know"):
        config = LcPlmConfig(**SMALL, my_note=3)
    assert LcPlmConfig.from_dict(config.to_dict()).my_note == 3


@pytest.mark.parametrize("options", [{"quantization_config": {}}, {"device_map": 3.5}])
def test_what_hugging_face_refuses_is_one_sentence(folder, options):
    (folder[0] / "config.json").write_text(folder[1])
    with pytest.raises(ConfigError, match=f"Hugging Face refuses {next(iter(options))}"):
        LcPlmForMaskedLM.from_pretrained(folder[0], **options)


@pytest.fixture(scope="module")
def esm2(tmp_path_factory):
    from transformers import EsmConfig, EsmModel

    made = tmp_path_factory.mktemp("esm2")
    config = EsmConfig(
        vocab_size=33, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, pad_token_id=1, mask_token_id=32,
    )  # fmt: skip
    EsmModel(config, add_pooling_layer=False).save_pretrained(made)
    return made, json.loads((made / "config.json").read_text())


@pytest.mark.parametrize(
    "wrong",
    [
        *({"pad_token_id": value} for value in (-5, 33, "1", None)),
        *({"mask_token_id": None}, {"layer_norm_eps": float("nan")}),
        *({"mask_token_id": 99}, {"position_embedding_type": "nope"}, {"pool": "nope"}),
        *({"relation_channels": value} for value in ("x", -1, 1.5)),
        *({"relation_channels": 4}, {"vocab_size": 40}, {"hidden_size": 16}),
        *({"num_hidden_layers": 2}, {"intermediate_size": 16}, {"max_position_embeddings": "x"}),
    ],
    ids=lambda wrong: json.dumps(wrong),
)
def test_nonsense_in_a_configuration_of_esm2_is_named(esm2, wrong):
    folder, stored = esm2
    (folder / "config.json").write_text(json.dumps({**stored, **wrong}))
    with pytest.raises(CheckpointError, match=str(folder)):
        load_encoder(f"esm2:{folder}")


@pytest.mark.parametrize("part", ["_check", "_ssm", "d_inner", "dt_rank", "to_dict", "from_preset"])
def test_parts_of_the_class_are_no_options(part: str) -> None:
    with pytest.raises(ConfigError, match=f"{part} is not an option"):
        LcPlmConfig(d_model=16, n_layer=1, **{part: "x"})

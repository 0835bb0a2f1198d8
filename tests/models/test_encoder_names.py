"""Every door that takes an encoder takes the name of one, as text or as a path."""

import itertools
from pathlib import Path

import pytest
import torch

from lcplm_graph import AddProteinFeatures, LinkPredictor, load_encoder
from lcplm_graph.errors import ConfigError
from lcplm_graph.features.embed import EmbedJob
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.models.masked_lm import load_masked_lm
from lcplm_graph.models.precision import load_in_precision
from lcplm_graph.models.shipped import shipped_folder
from lcplm_graph.models.zero_shot import score_pairs

NAME = "lcplm-g-2m"
PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQ", "GAVLIMFWPGG"]


@pytest.fixture
def doors(tmp_path):
    """Return what each door gives for an encoder."""
    number = itertools.count()
    fasta = tmp_path / "a.fasta"
    fasta.write_text(f">a\n{PROTEINS[0]}\n")
    return {
        "score_pairs": lambda e: score_pairs(e, [tuple(PROTEINS)]),
        "cached_embeddings": lambda e: cached_embeddings(e, PROTEINS, root=tmp_path),
        "EmbedJob": lambda e: EmbedJob(fasta, e, tmp_path / f"{next(number)}.npz").identity[
            "encoder_fingerprint"
        ],
        "AddProteinFeatures": lambda e: AddProteinFeatures(e).encoder.fingerprint(),
        "LinkPredictor": lambda e: LinkPredictor(encoder=e).in_channels,
    }  # fmt: skip


@pytest.mark.parametrize(
    "door", ["score_pairs", "cached_embeddings", "EmbedJob", "AddProteinFeatures", "LinkPredictor"]
)
def test_an_encoder_may_be_named(doors, door):
    of_encoder = doors[door](load_encoder(NAME))
    for name in (NAME, Path(shipped_folder(NAME))):
        found = doors[door](name)
        same = torch.equal(found, of_encoder) if torch.is_tensor(found) else found == of_encoder
        assert same
    for other in (3, None, torch.nn.Linear(2, 2)):
        with pytest.raises(ConfigError, match="encoder"):
            doors[door](other)


def test_what_is_no_encoder_has_no_precision_either():
    with pytest.raises(ConfigError, match="the name of one, not int"):
        AddProteinFeatures(3, precision="bfloat16")


@pytest.mark.parametrize("name", [None, 5, b"composition", ["composition"]])
def test_what_is_no_name_loads_no_encoder(name):
    for load in (load_encoder, load_masked_lm, load_in_precision):
        with pytest.raises(ConfigError, match=f"name or folder, not by {type(name).__name__}"):
            load(name)

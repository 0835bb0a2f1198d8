"""Every card is complete; faulty cards and unknown names are refused with help."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse

import pytest

from lcplm_graph.errors import ConfigError, DataError, UnknownNameError
from lcplm_graph.files import catalog
from lcplm_graph.files.catalog import KINDS, list_cards, load_card
from lcplm_graph.files.download import fetch_card_file

CARDS = {card.name: card for card in list_cards()}
DESIGNED = [
    "string_human_core",
    "string_human",
    "string_mouse",
    "string_yeast",
    "string_ecoli",
    "string",
    "go",
    "goa_human",
    "remote_homology",
    "ogbn_proteins",
    "ogbl_ppa",
    "pairs",
    "uniref50",
    "fasta",
]


@pytest.mark.parametrize("name", DESIGNED)
def test_every_dataset_of_the_design_has_a_card(name):
    assert name in CARDS


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_card_is_complete(card):
    assert card.kind in KINDS
    for text in (card.title, card.version, card.licence, card.citation):
        assert text.strip() == text != ""
    assert urlparse(card.homepage).scheme == "https"
    assert re.fullmatch(r"[\w.\-]+", card.version)
    assert all(isinstance(taxon, int) and taxon > 0 for taxon in card.organism)
    assert card.organism or card.parameter or card.kind != "ppi" or "58 species" in card.title
    assert card.embedded_alternative in ("", *CARDS)
    if card.files:
        assert "doi:" in card.citation or "arXiv:" in card.citation
        assert re.search(r"CC0|CC-BY|BSD", card.licence)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_files_of_a_card(card):
    filled = card.with_parameter("9606") if card.parameter == "taxon" else card
    assert len({file.role for file in card.files}) == len(card.files)
    assert len({file.name for file in filled.files}) == len(card.files)
    for file in filled.files:
        assert re.fullmatch(r"[\w.\-]+", file.name)
        if file.url is not None:
            assert urlparse(file.url).scheme in ("http", "https")
            assert "{" not in file.url
            assert file.path is None
        else:
            assert file.pinned is not None
            content = file.path.read_bytes()
            assert len(content) == file.bytes
            assert hashlib.sha256(content).hexdigest() == file.sha256


def test_embedded_data_stays_small():
    sizes = [sum(file.bytes for file in card.files if file.path) for card in CARDS.values()]
    assert max(sizes) <= 8_000_000
    assert sum(sizes) <= 12_000_000


def test_a_family_is_filled_in():
    card = load_card("string:10090")
    assert (card.name, card.organism, card.folder) == (
        "string:10090",
        (10090,),
        "string-10090/12.0",
    )
    assert card.file("sequences").url.endswith("/10090.protein.sequences.v12.0.fa.gz")


def test_a_named_species_is_the_family_with_its_taxon():
    named, general = load_card("string_yeast"), load_card("string:4932")
    assert named.files == general.files
    assert named.organism == general.organism


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("string_humn", "did you mean 'string_human'.*known: bernett, fasta, go,"),
        ("zzz", "no dataset 'zzz'; known"),
        ("../secrets", "no dataset"),
        ("", "no dataset"),
        ("string", "write it as string:<taxon>"),
        ("string:", "write it as string:<taxon>"),
        ("go:1", "write it as go"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(UnknownNameError, match=message):
        load_card(name)


def test_a_taxon_is_a_number():
    with pytest.raises(ConfigError, match="NCBI number"):
        load_card("string:human")


def test_unknown_role():
    with pytest.raises(UnknownNameError, match="no file 'link'; it has links, links_detailed"):
        load_card("string_human").file("link")
    with pytest.raises(UnknownNameError, match="no files"):
        load_card("pairs:x.tsv").file("links")


def test_embedded_files_need_no_download():
    card = load_card("string_human_core")
    assert card.embedded
    assert fetch_card_file(card, "links", offline=True) == card.file("links").path


CARD = """
title = "t"
kind = "ppi"
version = "1"
organism = []
licence = "CC0-1.0"
citation = "c"
homepage = "https://example.org"
"""
FILE = '[[files]]\nrole = "links"\nurl = "https://example.org/x"\n'
PIN = 'sha256 = "pinned-on-first-download"\n'
FAULTY = {
    "no toml": ("title = ", "not valid TOML"),
    "missing key": (CARD.replace("licence", "license"), r"missing keys \['licence'\].*'license'"),
    "unknown kind": (CARD.replace('"ppi"', '"graph"'), "kind 'graph' is not one of ppi"),
    "no checksum policy": (CARD + FILE, "sha256 is 64 hex digits or"),
    "short checksum": (CARD + FILE + 'sha256 = "abc"\n', "sha256 is 64 hex digits or"),
    "no role": (CARD + FILE.replace("role", "part") + PIN, "needs a role"),
    "url and path": (CARD + FILE + PIN + 'path = "x"\n', "either url or path"),
    "neither url nor path": (CARD + '[[files]]\nrole = "x"\n' + PIN, "either url or path"),
    "unknown file key": (CARD + FILE + PIN + "size = 3\n", r"unknown keys \['size'\]"),
}


@pytest.mark.parametrize(("text", "message"), FAULTY.values(), ids=FAULTY.keys())
def test_faulty_cards(tmp_path: Path, monkeypatch, text, message):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/card.toml").write_text(text)
    monkeypatch.setattr(catalog, "card_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load_card("mine")
    assert str(tmp_path / "mine/card.toml") in str(caught.value)


def test_a_missing_embedded_file(tmp_path: Path, monkeypatch):
    (tmp_path / "mine").mkdir()
    text = (
        CARD
        + FILE.replace('url = "https://example.org/x"', 'path = "x"')
        + f'sha256 = "{"0" * 64}"'
    )
    (tmp_path / "mine/card.toml").write_text(text)
    monkeypatch.setattr(catalog, "card_folder", lambda: tmp_path)
    with pytest.raises(DataError, match="install the package again"):
        fetch_card_file(load_card("mine"), "links")

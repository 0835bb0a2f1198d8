"""``python -m lcplm_graph.data``: tables on stdout, errors on stderr, honest exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lcplm_graph.data import main
from lcplm_graph.errors import LcPlmWarning
from lcplm_graph.files import catalog
from lcplm_graph.files.catalog import list_cards
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.store import SequenceStore


def test_list_names_every_dataset(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "VERSION", "FILES", "TITLE"]
    assert len(lines) == len(list_cards()) + 1
    assert any(line.startswith("string:<taxon>") for line in lines)
    assert "embedded" in next(line for line in lines if line.startswith("string_human_core "))


@pytest.mark.parametrize("name", [card.name for card in list_cards() if not card.parameter])
def test_show_prints_licence_citation_and_files(capsys, name):
    assert main(["show", name]) == 0
    out = capsys.readouterr().out
    card = catalog.load_card(name)
    for key in ("licence", "citation", "version", "organism"):
        assert f"\n{key}" in out
    assert all(file.role in out for file in card.files)


def test_verify_the_embedded_data(capsys):
    assert main(["verify", "string_human_core"]) == 0
    assert capsys.readouterr().out.count(" ok ") == 6


def test_verify_finds_a_changed_embedded_file(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    source = catalog.card_folder() / "string_human_core"
    for path in source.glob("*.gz"):
        (tmp_path / "mine" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mine/card.toml").write_text((source / "card.toml").read_text())
    monkeypatch.setattr(catalog, "card_folder", lambda: tmp_path)
    assert main(["verify", "mine"]) == 0
    content = bytearray((tmp_path / "mine/links.tsv.gz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "mine/links.tsv.gz").write_bytes(content)
    (tmp_path / "mine/go.obo.gz").write_bytes(b"short")
    assert main(["verify", "mine"]) == 1
    out = capsys.readouterr().out
    assert out.count("BROKEN") == 2
    assert "5 bytes" in out
    assert main(["verify", "mine", "--role", "sequences"]) == 0


def test_verify_what_is_not_there(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path))
    assert main(["verify", "go"]) == 1
    assert "MISSING" in capsys.readouterr().out
    path = tmp_path / "go/current/raw/go-basic.obo"
    path.parent.mkdir(parents=True)
    path.write_text("format-version: 1.2\n")
    assert main(["verify", "go"]) == 1
    assert "UNPINNED" in capsys.readouterr().out
    assert main(["download", "go", "--offline"]) == 0
    assert main(["verify", "go"]) == 0


def test_download_embedded_and_own_data(capsys):
    assert main(["download", "string_human_core", "--offline"]) == 0
    for command, said in (("download", "nothing to fetch"), ("verify", "nothing to check them")):
        assert main([command, "pairs:x.tsv"]) == 0
        assert said in capsys.readouterr().out
        assert main([command, "pairs:x.tsv", "--role", "links"]) == 1
        assert "no file 'links'" in capsys.readouterr().err


def test_errors_go_to_stderr_with_exit_code_1(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path))
    assert main(["show", "string_humn"]) == 1
    assert "did you mean 'string_human'?" in capsys.readouterr().err
    assert main(["download", "string_yeast", "--offline"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "'string_human_core', which needs no network" in captured.err
    assert str(tmp_path / "string_yeast/12.0/raw/4932.protein.links.v12.0.txt.gz") in captured.err
    assert main(["verify", "go", "--role", "links"]) == 1


def test_wrong_usage_is_exit_code_2():
    with pytest.raises(SystemExit, match="2"):
        main(["destroy"])


def test_as_a_module_without_heavy_imports():
    code = (
        "import sys; from lcplm_graph.data import main; main(['list']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, "-m", "lcplm_graph.data", "verify", "nothing"]
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_human_proteins_come_by_name_as_fasta(capsys, tmp_path):
    out = tmp_path / "mine.fasta"
    assert main(["sequences", "BRCA2", "9606.ENSP00000269305", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"2 proteins; written: {out}\n"
    store = SequenceStore.from_fasta(out)
    assert dict(zip(store.ids, store.lengths.tolist(), strict=True)) == {
        "BRCA2": 3418,
        "9606.ENSP00000269305": 393,
    }
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="HER2 is ERBB2"):
        assert main(["sequences", "HER2"]) == 0
    assert capsys.readouterr().out.startswith(">HER2\nMELAALCRWGLLLALLPPGAASTQVCTGTD")
    assert main(["sequences", "BRCA2", "nobody"]) == 1
    assert "'nobody' is not a name known here" in capsys.readouterr().err

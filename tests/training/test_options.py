from __future__ import annotations

import pytest
import yaml

from lcplm_graph.errors import ConfigError
from lcplm_graph.option_parser import parse_options
from lcplm_graph.stage2 import Stage2Options


def _parse(*argv: str) -> Stage2Options:
    return parse_options(Stage2Options, list(argv), "stage2")


def test_dashes_underscores_flags_and_yaml(tmp_path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"max_tokens": 512, "weighted": True, "graph": "g"}))
    options = _parse("--config", str(config), "--out", "o", "--steps", "3", "--walk-length=7")
    assert (options.max_tokens, options.weighted, options.walk_length) == (512, True, 7)
    options = _parse("--graph", "g", "--out", "o", "--steps", "3", "--max_tokens", "9")
    assert (options.max_tokens, options.weighted) == (9, False)
    assert _parse("--graph", "g", "--out", "o", "--steps", "3", "--weighted").weighted


def test_every_option_is_explained(capsys) -> None:
    with pytest.raises(SystemExit):
        _parse("--help")
    text = capsys.readouterr().out
    assert "--negative-rate" in text
    assert "Share of hops that lead" in " ".join(text.split())


def test_print_config_is_a_config(capsys, tmp_path) -> None:
    arguments = ["--graph", "g", "--out", "o", "--steps", "3", "--lr", "0.5"]
    with pytest.raises(SystemExit):
        _parse(*arguments, "--print_config")
    config = tmp_path / "c.yaml"
    config.write_text(capsys.readouterr().out)
    assert _parse("--config", str(config)) == _parse(*arguments)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 2.5}, "steps must be a whole number, not 2.5"),
        ({"walk_tokens": 0}, "walk_tokens must be at least 1, not 0"),
        ({"eval_pairs": 0}, "eval_pairs must be at least 1, not 0"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"warmup": -1}, "warmup must not be negative"),
        ({"relation_rate": 1.5}, "relation_rate must be between 0 and 1"),
        ({"marker_step": -1.0}, "marker_step must not be negative"),
        ({"curriculum": 0}, "curriculum must be at least 1 batch, not 0"),
        ({"curriculum": 9, "walk_length": 2}, "walk_length of at least 3"),
        ({"curriculum": 9, "relation": "frozen"}, "no --relation frozen"),
        ({"graph": "string:9606,,10090"}, "species with commas between them, each once"),
        ({"graph": "string:9606,9606"}, "species with commas between them, each once"),
        ({"graph": "9606,10090", "relation": "decoder"}, "needs one graph in memory"),
        ({"graph": "9606,10090", "split": "a.json"}, "split by a kind, not by a file"),
    ],
)
def test_bad_values(change, text) -> None:
    with pytest.raises(ConfigError, match=text):
        Stage2Options(**{"graph": "g", "out": "o", "steps": 1, **change})

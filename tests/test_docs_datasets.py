"""The Python of docs/datasets.md runs offline, in order, and prints what it promises."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "datasets.md"
# What a block promises stands behind a print, or as a comment on a line of its own.
PROMISE = re.compile(r"^(?:.*\)  )?# (.+)$", flags=re.M)


@pytest.fixture(scope="module")
def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)


def test_blocks_print_what_they_promise(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    names = {"__name__": "docs"}
    promised = 0
    for number, block in enumerate(blocks):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(block, f"{PAGE.name} block {number}", "exec"), names)
        for line in printed.getvalue().splitlines():
            assert line in PROMISE.findall(block)
            promised += 1
    assert promised >= 14


def test_every_dataset_is_on_the_page():
    from lcplm_graph.files.catalog import list_cards

    text = PAGE.read_text()
    for card in list_cards():
        assert f"`{card.name}" in text

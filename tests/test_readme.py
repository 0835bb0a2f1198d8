"""What README says works: its Python runs, and CI runs its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_blocks_run(number: int, capsys: pytest.CaptureFixture) -> None:
    block = blocks("python")[number]
    exec(compile(block, f"README.md block {number}", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    for promised in re.findall(r"print\(.*\)  # (.+)", block):
        assert promised in printed


def test_ci_runs_the_commands_of_the_readme() -> None:
    install, test = blocks("bash")[1].strip().split(" && ", 1)[1].split(" && ")
    ci = (ROOT / ".ci" / "run").read_text()
    assert install.replace(".venv/bin/pip install", "pip install -q") in ci
    assert "\n" + test.replace(".venv/bin/", "") + "\n" in ci


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_commands_exist() -> None:
    from lcplm_graph.__main__ import COMMANDS

    named = set(re.findall(r"^lcplm (\w+)", "\n".join(blocks("bash")), flags=re.M))
    assert named
    assert named <= set(COMMANDS)

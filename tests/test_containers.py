"""Dockerfile and conda file name what is there, and install the versions that the tests run with.

Neither can be built where there is no network, so what they say is checked.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = {
    canonicalize_name(name): version
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if (found := re.fullmatch(r"([\w.-]+)==([\w.+]+)(?: *[;#].*)?", line.strip()))
    for name, version in [found.groups()]
}


def steps() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    return [(line.split()[0], line.split(" ", 1)[1]) for line in text.splitlines() if line.strip()]


def test_every_dependency_has_a_tested_version_that_it_allows() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    # The test extra is what CI installs; cuda and ogb are not among it.
    for text in [*PROJECT["project"]["dependencies"], *extras["test"], *extras["docs"]]:
        wanted = Requirement(text)
        version = CONSTRAINTS.get(canonicalize_name(wanted.name))
        assert version, f"{wanted.name} has no version in constraints.txt"
        assert Version(version) in wanted.specifier, f"{text}, but constraints.txt has {version}"


def test_the_image_copies_what_is_there_and_all_that_a_wheel_needs() -> None:
    copied: set[str] = set()
    for word, rest in steps():
        sources = [] if word != "COPY" or rest.startswith("--from") else shlex.split(rest)[:-1]
        assert all((ROOT / source).exists() for source in sources), rest
        copied.update(sources)
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", "constraints.txt", PROJECT["project"]["readme"]}
    needed |= {*PROJECT["project"]["license-files"], *wheel["packages"], *wheel["force-include"]}
    assert needed <= copied
    # What is ignored does not reach the build: all is, but for the lines with "!".
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert copied <= sent


def test_the_image_runs_our_command_on_a_python_that_we_support() -> None:
    said = dict(steps())
    supported = SpecifierSet(PROJECT["project"]["requires-python"])
    bases = [rest.split()[0] for word, rest in steps() if word == "FROM"]
    assert len(bases) == 2 and len(set(bases)) == 1
    assert Version(bases[0].removeprefix("python:").removesuffix("-slim")) in supported
    assert said["ENTRYPOINT"] == '["lcplm"]' and "lcplm" in PROJECT["project"]["scripts"]
    (build,) = [rest for word, rest in steps() if word == "RUN" and "pip install" in rest]
    assert "-c constraints.txt ." in build
    # One line of constraints.txt is torch's, which the build takes by `grep`.
    assert "grep '^torch==' constraints.txt" in build
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert sum(line.startswith("torch==") for line in lines) == 1


def test_the_conda_environment_installs_this_package_with_the_tested_versions() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = [x for x in content["dependencies"] if str(x).startswith("python=")]
    supported = SpecifierSet(PROJECT["project"]["requires-python"])
    assert Version(python.removeprefix("python=")) in supported
    (pip,) = [x["pip"] for x in content["dependencies"] if isinstance(x, dict)]
    assert pip == ["-c constraints.txt", "."]

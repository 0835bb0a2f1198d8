"""What README and the guides say holds: links lead somewhere, commands parse, Python runs.

Pages are read as they are written, so a page that is added is tested without any change here.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import re
import shlex
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lcplm_graph import command, option_parser
from lcplm_graph.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
FAQ = (DOCS / "faq.md").read_text(encoding="utf-8")
BUILT = ("_build", "generated", "jupyter_execute")
WRITTEN = [path for suffix in ("*.md", "*.ipynb") for path in DOCS.rglob(suffix)]
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in WRITTEN if not set(BUILT) & set(path.parts)),
]
SOURCES = sorted((ROOT / "lcplm_graph").rglob("*.py"))

# Python of these pages needs files of the reader's own, or takes minutes: it is compiled, and
# what it imports must be there.
NOT_RUN: dict[str, str] = {"docs/finetune.md": "needs the run of the command above it"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    """Return a page as Markdown; cells of a notebook become fenced blocks."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source.startswith("%%bash"):
            parts.append("```bash\n" + source.split("\n", 1)[1] + "\n```")
        else:
            parts.append(f"```python\n{source}\n```")
    return "\n\n".join(parts)


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(path), flags=re.S | re.M)


def prose(path: Path) -> str:
    """Return the text without code."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "`code`", text)


@cache
def anchors(path: Path) -> set[str]:
    """Return the anchors of a page as GitHub and MyST make them from its headings."""
    included = re.findall(r"^```\{include\} (\S+)", text_of(path), flags=re.M)
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.S | re.M)
    found = set().union(*(anchors((path.parent / name).resolve()) for name in included))
    found |= set(re.findall(r"^\(([\w-]+)\)=$", text, flags=re.M))
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{name_of(page)} links to {target}"
        if anchor and there.suffix in (".md", ".ipynb"):
            assert anchor in anchors(there), f"{name_of(page)} links to {target}"


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of every `lcplm` command that stands on lines of its own."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        found = re.match(
            r"\s*(?:\w+=\S+ )*(?:lcplm|(?:python|torchrun\b.*?) -m lcplm_graph\.)(?: ?)(\w.*)", line
        )
        code = line.startswith("    ") or "`" not in line
        if not found or not code:
            continue
        for part in re.split(r" (?:&&|\|) ", found[1]):
            words = shlex.split(part.removeprefix("lcplm "), comments=True)
            yield [word for word in words if word != ">"]


def inline_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command named in a sentence: ``lcplm NAME --option``."""
    for span in re.findall(r"(?<!`)``?([^`]+)``?(?!`)", text):
        plain = re.sub(r"[\[\]|]", " ", " ".join(span.split()))
        found = re.match(r"(?:lcplm |python -m lcplm_graph\.)([a-z][\w]*.*)", plain)
        if found:
            yield found[1].replace("...", "").replace("…", "").split()


class Parsed(BaseException):
    """A command line was understood; nothing is run."""


def check_parses(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse = option_parser.parse_options

    def stop(*given, **named):
        raise Parsed(parse(*given, **named))

    with monkeypatch.context() as patch:
        patch.setattr(command, "parse_options", stop)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Parsed):
            # --help, --version and a bare family print and return.
            assert main(words) == 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for words in command_lines(text_of(page)):
        try:
            check_parses(words, monkeypatch)
        except SystemExit as error:
            said = capsys.readouterr().err
            if error.code:
                pytest.fail(f"{name_of(page)}: lcplm {shlex.join(words)}\n{said}")


def options_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the options of the command that `words` begin with."""
    found: set[str] = set()

    def stop(cls, argv, name, description=""):
        parser = option_parser.make_parser(cls, name)
        found.update(o for action in parser._actions for o in action.option_strings)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(command, "parse_options", stop)
        with contextlib.suppress(Parsed), contextlib.redirect_stdout(io.StringIO()):
            main([word for word in words if not word.startswith("-")])
    return found


def test_commands_in_sentences_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pages, docstrings and comments: the command is there, and so are its options."""
    known: dict[tuple[str, ...], set[str]] = {}
    for path in [*PAGES, *SOURCES]:
        text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.S | re.M)
        for words in inline_commands(text):
            if not re.fullmatch("[a-z][a-z0-9_]*", words[0]):
                continue
            module = importlib.util.find_spec(f"lcplm_graph.{words[0]}")
            assert words[0] in COMMANDS or module, f"{name_of(path)}: {' '.join(words)}"
            asked = {word.split("=")[0].rstrip(",.;") for word in words if word.startswith("--")}
            if words[0] not in COMMANDS or not asked - {"--help"}:
                continue
            key = tuple(word for word in words if not word.startswith("-"))[:2]
            if key not in known:
                known[key] = options_of(words, monkeypatch)
            assert asked <= known[key], f"{name_of(path)}: lcplm {' '.join(words)}"


def test_scripts_that_pages_name_exist() -> None:
    for page in PAGES:
        joined = re.sub(r"\\\n\s*", " ", text_of(page))
        for script, rest in re.findall(
            r"(?:python|pytest) ((?:benchmarks|examples|tests)/[\w/]+\.py)([^`\n#]*)", joined
        ):
            assert (ROOT / script).is_file(), f"{name_of(page)}: {script}"
            if script.startswith("tests/"):
                continue
            for option in re.findall(r" (--[\w-]+)", rest):
                assert option in (ROOT / script).read_text(), f"{name_of(page)}: {script} {option}"
        for script in re.findall(r"`((?:benchmarks|examples)/[\w/.]+)`", text_of(page)):
            assert (ROOT / script).exists(), f"{name_of(page)}: {script}"


def has_python(page: Path) -> bool:
    return page.suffix == ".md" and bool(blocks(page, "python"))


@pytest.mark.parametrize("page", [*filter(has_python, PAGES)], ids=name_of)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run in their order and print what stands behind them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    names = {"__name__": "docs"}
    for number, block in enumerate(blocks(page, "python")):
        code = compile(block, f"{name_of(page)}, block {number}", "exec")
        if name_of(page) in NOT_RUN:
            check_imports(block)
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code, names)
        for promised in re.findall(r"print\(.*\)  # (.+)", block):
            assert promised in printed.getvalue()


def test_quoted_scores_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    quotes = r"```bash\n(lcplm score [^\n]+)\n```\s+```text\n(.*?)```"
    found = [quote for page in PAGES for quote in re.findall(quotes, text_of(page), flags=re.S)]
    assert found
    for words, quoted in found:
        capsys.readouterr()
        assert main(shlex.split(words)[1:]) == 0
        printed, promised = capsys.readouterr().out.split(), quoted.split()
        number = re.compile(r"[01]\.\d+")
        assert [x for x in printed if not number.fullmatch(x)] == [
            x for x in promised if not number.fullmatch(x)
        ]
        values = [[float(x) for x in text if number.fullmatch(x)] for text in (printed, promised)]
        assert values[0] == pytest.approx(values[1], abs=0.002)


def check_imports(code: str) -> None:
    """Import what some Python imports, names included."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for one in node.names:
                importlib.import_module(one.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for one in node.names:
                assert hasattr(module, one.name), f"{node.module}.{one.name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_figures_name_their_command(page: Path) -> None:
    """Under every picture stands the command that made it: "Made by `python ...`"."""
    for picture, below in re.findall(r"!\[[^]]*\]\(([^)]+)\)(.{0,300})", text_of(page), flags=re.S):
        assert re.search(r"[Mm]ade by\s+`(?:python|lcplm) ", below), f"{name_of(page)}: {picture}"


NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=name_of)
def test_notebooks_are_stored_bare(notebook: Path) -> None:
    """Their outputs are made when the site is built; what they import is there."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    for block in blocks(notebook, "python"):
        check_imports(block)
    assert notebook.stem in (DOCS / "tutorials" / "index.md").read_text()


def whole_text(path: Path) -> str:
    """Return a page with the pages that it includes."""
    included = re.findall(r"^```\{include\} (\S+)", text_of(path), flags=re.M)
    return text_of(path) + "".join(whole_text((path.parent / name).resolve()) for name in included)


def test_numbers_of_the_claims_stand_in_the_pages_they_link_to() -> None:
    page = DOCS / "claims.md"
    rows = [line for line in text_of(page).splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        claim, result, command = (cell.strip() for cell in row.strip("|").split(" | "))
        assert claim and "`" in command, row
        there = "".join(
            whole_text(page.parent / file) for file in re.findall(r"\]\(([^)#]+)", result)
        )
        there = there.replace(",", "")
        plain = re.sub(r"\]\([^)]*\)", "]", result)
        for number in re.findall(r"(?:\d{1,3}(?:,\d{3})+|\d*\.\d+)(?!\d)", plain):
            assert number.replace(",", "") in there, (
                f"{number} of {claim!r} is not in the linked page"
            )


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = [block for block in blocks(README, "bash") if "-m venv" in block]
    assert len(commands) == 2
    install, test = commands[1].strip().split(" && ", 1)[1].split(" && ")
    ci = (ROOT / ".ci" / "run").read_text()
    assert install.replace(".venv/bin/pip install", "pip install -q") in ci
    assert "\n" + test.replace(".venv/bin/", "") + "\n" in ci


def test_every_dataset_is_on_its_page() -> None:
    from lcplm_graph.files.catalog import list_cards

    text = text_of(DOCS / "datasets.md")
    for card in list_cards():
        assert f"`{card.name}" in text


def test_every_command_has_a_line_in_the_guides() -> None:
    guides = "\n".join(text_of(page) for page in PAGES)
    assert [name for name in COMMANDS if f"lcplm {name}" not in guides] == []


def messages() -> str:
    """Return every text in the code, as it is put together; "..." stands for what is filled in."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "..." for p in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_messages_that_questions_quote_are_in_the_code() -> None:
    """Who searches for the words of a message finds them: headings quote its first words."""
    quoted = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\*\*(.+?)\*\*", FAQ, flags=re.M)))
    words = [
        part.strip()
        for text in quoted
        for part in re.sub(r"\d+|'\w+'", "...", text).split("...")
        if len(part.split()) > 1
    ]
    assert len(words) > 8
    known = messages()
    assert [part for part in words if part not in known] == []


def test_what_guides_import_is_in_the_reference() -> None:
    from lcplm_graph import __all__ as names

    listed = set(re.findall(r"^   (\w+)$", text_of(DOCS / "api" / "index.md"), flags=re.M))
    assert set(names) - {"__version__"} <= listed
    for page in PAGES:
        code = "\n".join(blocks(page, "python"))
        used = re.findall(r"^(?:from|import) lcplm_graph\.(\w+)", code, flags=re.M)
        used += re.findall(r"`lcplm_graph\.(\w+)(?:[.(][^`/]*)?`", text_of(page))
        # The groups of entry points are called like modules.
        real = {name for name in used if importlib.util.find_spec(f"lcplm_graph.{name}")}
        assert real <= listed, f"{name_of(page)}: {real - listed}"

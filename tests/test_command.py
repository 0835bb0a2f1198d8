"""Command lines: what is parsed, what goes wrong in one sentence, and the exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from filelock import Timeout

from lcplm_graph.__main__ import main as lcplm
from lcplm_graph.command import Command, run_command, run_subcommand
from lcplm_graph.errors import ConfigError, Interrupted, LcPlmWarning
from lcplm_graph.evaluate.link import LinkCommand
from lcplm_graph.evaluate.ogb import OgbCommand
from lcplm_graph.heads.fit_link import LINK_FIT
from lcplm_graph.locks import sole_writer
from lcplm_graph.option_parser import parse_options, positional, several
from lcplm_graph.predict.links import EdgesOptions


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Options of a toy.

    Parameters
    ----------
    words
        What to say.
    colour
        Of the toy.
    fast
        Run.
    parts
        Of the toy.
    size
        Of the toy.
    share
        Of the toy.
    name
        Of the toy.
    """

    words: list[str] = positional(metavar="WORD", nargs="*", default=[])
    colour: Literal["red", "blue"] = "red"
    fast: bool = False
    parts: list[str] | None = several(default=None)
    size: int | None = None
    share: float = 0.5
    name: str | None = None


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], Toy()),
        (["1e5", "null"], Toy(words=["1e5", "null"])),
        (["--parts", "1", "2.0", "--fast"], Toy(parts=["1", "2.0"], fast=True)),
        (["a", "--colour=blue", "--no-fast"], Toy(words=["a"], colour="blue")),
    ],
)
def test_values_keep_their_spelling(argv, expected) -> None:
    assert parse_options(Toy, argv, "toy") == expected


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--colur", "red"], "lcplm toy: unrecognized arguments: --colur"),
        (["--colur", "red"], "did you mean '--colour'?"),
        (["--colour", "green"], "lcplm toy: --colour green: give one of 'red', 'blue'"),
        (["--size", "big"], "lcplm toy: --size big: give a whole number"),
        (["--size", ""], "lcplm toy: --size : give a whole number"),
        (["--share", "1.5.0"], "lcplm toy: --share 1.5.0: give a number"),
    ],
)
def test_a_wrong_command_line_is_two_lines_and_exit_2(argv, text, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(Toy, argv, "toy")
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert text in said
    assert said.count("\n") == 2


def test_a_config_file_that_is_no_text_is_one_sentence(tmp_path, capsys) -> None:
    path = tmp_path / "options.yaml"
    path.write_bytes("colour: réd".encode("latin-1"))
    with pytest.raises(SystemExit):
        parse_options(Toy, ["--config", str(path)], "toy")
    assert "lcplm toy: the file of --config is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "the file of --config holds no options, which are lines of NAME: VALUE"),
        ("- a", "the file of --config holds no options"),
        ("name: 5", "--name 5: give a text"),
        ("name: [a]", "--name ['a']: give a text"),
        ("size: [1]", "--size [1]: give a whole number"),
        ("size: true", "--size True: give a whole number"),
        ("share: {a: 1}", "--share {'a': 1}: give a number"),
        (f"size: [{'x, ' * 5000}x]", "--size ['x', 'x'"),
        ("colour: 1", "--colour 1: give one of 'red', 'blue'"),
        ("size: 1\nsize: 2", "the file of --config: line 2: size is given on line 1 already"),
        ("{name: a, size: 1, name: b}", "the file of --config: line 1: name is given on line 1"),
        ("[" * 100_000, "the file of --config: line 1: lists and mappings nest too deep"),
        ("- " * 100_000, "the file of --config: line 1: lists and mappings nest too deep"),
    ],
)
def test_a_config_file_of_other_kinds_is_one_short_sentence(text, said, tmp_path, capsys) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit):
        parse_options(Toy, ["--config", str(path)], "toy")
    found = capsys.readouterr().err
    assert f"lcplm toy: {said}" in found
    assert found.count("\n") == 2
    assert len(found) < 700


SECRETS = "https://me:hunter2@host.org/a.gz?token=s3cret"


def test_what_is_secret_in_a_url_is_not_said(capsys) -> None:
    def warn(_: Toy) -> None:
        print(warnings.formatwarning(SECRETS, LcPlmWarning, "x.py", 7), end="")
        raise ConfigError(f"{Path(SECRETS)}: no such file")

    assert run_command("toy", Toy, warn, []) == 1
    with pytest.raises(SystemExit):
        parse_options(Toy, ["--config", SECRETS], "toy")
    with pytest.raises(SystemExit):
        parse_options(Toy, ["--size", SECRETS], "toy")
    out, err = capsys.readouterr()
    assert out.startswith("lcplm toy: warning: https://...@host.org/a.gz?...")
    assert err.count("host.org/a.gz") == 3
    assert "hunter2" not in out + err
    assert "s3cret" not in out + err


def _raise(error: BaseException):
    def run(_: Toy) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigError("no such thing"), 1, "lcplm toy: no such thing\n"),
        (KeyboardInterrupt(), 130, "lcplm toy: interrupted; nothing half written is left\n"),
        (Interrupted(signal.SIGTERM, "x.ckpt"), 143, "saved as x.ckpt; go on with --resume auto"),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(error, status, text, capsys) -> None:
    assert run_command("toy", Toy, _raise(error), []) == status
    assert text in capsys.readouterr().err


def test_a_family_of_commands(capsys) -> None:
    family = {
        "say": Command(Toy, lambda toy: print(*toy.words), "say it"),
        "fail": Command(Toy, lambda toy: 3, "fail"),
    }
    assert run_subcommand("toys", family, ["say", "a", "b"]) == 0
    assert capsys.readouterr().out == "a b\n"
    assert run_subcommand("toys", family, ["fail"]) == 3
    assert run_subcommand("toys", family, []) == 0
    assert "say it" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run_subcommand("toys", family, ["sya"])
    assert "lcplm toys: unknown command 'sya', did you mean 'say'?" in capsys.readouterr().err


def test_a_closed_pipe_ends_quietly() -> None:
    code = """
import sys
from lcplm_graph.command import run_command
from lcplm_graph.doctor import DoctorOptions

sys.exit(run_command("toy", DoctorOptions, lambda _: [print("x" * 999) for _ in range(9999)] and 0))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
    assert run.returncode == 141
    assert said == b""


def test_warnings_are_one_line_without_code(capsys) -> None:
    def say(_: Toy) -> None:
        print(warnings.formatwarning("two of three", LcPlmWarning, "x.py", 7), end="")

    assert run_command("toy", Toy, say, []) == 0
    assert capsys.readouterr().out == "lcplm toy: warning: two of three\n"
    assert "x.py:7" in warnings.formatwarning("two of three", LcPlmWarning, "x.py", 7)


def test_completion_knows_commands_options_and_choices(capsys, tmp_path) -> None:
    (tmp_path / "my proteins.fasta").touch()
    assert lcplm(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = [["em"], ["predict", ""], ["embed", "--po"], ["embed", "--pool", "mean_"],
             ["evaluate", "link", "--no-h"], ["embed", f"{tmp_path}/m"],
             ["completion", ""], ["data", "clear", "he"], ["data", "clear", "heads", "wa"],
             ["data", "show", "string_human_"], ["completion", "--he"]]  # fmt: skip
    for words in asked:
        quoted = " ".join(f'"{word}"' for word in words)
        script += f"COMP_WORDS=(lcplm {quoted}); COMP_CWORD={len(words)}; _lcplm\n"
        script += 'echo "${COMPREPLY[*]}"; echo "${#COMPREPLY[@]}" >&2\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "embed"
    assert {"partners", "edges"} <= set(lines[1].split())
    assert lines[2:] == [
        "--pool", "mean_std mean_std_max_min mean_std_max_min_parts", "--no-homologues",
        f"{tmp_path}/my proteins.fasta",
        "bash zsh fish", "heads", "walks", "string_human_core", "--help",
    ]  # fmt: skip
    assert done.stderr.split()[-1] == "1"


def test_help_into_a_closed_pipe_ends_quietly() -> None:
    for words in ("--help", "embed --help"):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m lcplm_graph {words} | true"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["variants", "nowhere.fasta", "--all-singles"],
        ["contacts", "nowhere.fasta"],
        ["search", "nowhere.fasta", "--db", "nowhere.h5"],
        ["predict", "function", "nowhere.fasta"],
        ["predict", "edges"],
        ["predict-property", "nowhere", "nowhere.fasta"],
    ],
    ids=lambda words: words[0],
)
def test_an_output_of_another_kind_is_refused_before_anything_is_read(words, capsys, tmp_path):
    out = tmp_path / "table.xlsx"
    assert lcplm([*words, "--out", str(out)]) == 1
    assert f"the output {out} should end in " in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["embed", "in.fasta", "--out", "out.h5", "--encoder", "composition"],
        ["score", "MKT", "GAV"],
        ["variants", "in.fasta", "--all-singles", "--out", "out.tsv", "--encoder", "random:1m"],
        ["contacts", "in.fasta", "--out", "out.tsv", "--encoder", "random:1m"],
        ["finetune", "table.tsv", "--out", "run", "--encoder", "composition", "--mode", "head"],
    ],
    ids=lambda words: words[0],
)
def test_a_device_that_is_not_there_is_named(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.fasta").write_text(">a\nMKTAYIAK\n")
    (tmp_path / "table.tsv").write_text("sequence\tlabel\nMKT\t1\n")
    assert lcplm([*words, "--device", "tpu9"]) == 1
    assert "there is no device 'tpu9' here" in " ".join(capsys.readouterr().err.split())


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Options of a toy that writes.

    Parameters
    ----------
    out
        Where to.
    """

    out: str


def test_an_output_is_one_commands(tmp_path, capsys) -> None:
    out = tmp_path / "new" / "run"
    answers = []

    def write(options: Writing) -> None:
        if not answers:
            answers.append(None)
            other = out.parent / ".." / "new" / "run"
            answers[0] = run_command("toy", Writing, write, ["--out", str(other)])

    assert run_command("toy", Writing, write, ["--out", str(out)]) == 0
    assert answers == [1]
    assert "/run: another command writes there now; wait" in capsys.readouterr().err
    assert not out.parent.exists()
    for name, told in (("a" * 300, "the name is too long"), ("file/a", "is a file and no folder")):
        (tmp_path / "file").touch()
        assert run_command("toy", Writing, write, ["--out", str(tmp_path / name)]) == 1
        assert told in capsys.readouterr().err


def test_a_folder_that_is_mounted_is_locked_from_inside(tmp_path, monkeypatch) -> None:
    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr("lcplm_graph.locks.os.access", lambda path, mode: False)
    with sole_writer(tmp_path / "mounted"):
        assert not list(tmp_path.glob(".*"))
        with pytest.raises(Timeout), sole_writer(tmp_path / "mounted"):
            pass
    assert not list((tmp_path / "mounted").iterdir())


@pytest.mark.parametrize("options", [EdgesOptions, LinkCommand, OgbCommand])
def test_help_says_the_steps_that_are_taken_by_default(options) -> None:
    assert f"; default: {LINK_FIT.steps}." in options.__doc__


def in_a_process(words: list[str], code: str = "", **options) -> subprocess.CompletedProcess:
    """Run ``lcplm`` in a process of its own, after some lines of code."""
    script = f"import sys\n{code}\nfrom lcplm_graph.__main__ import main\nsys.exit(main())"
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, timeout=120, check=False, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is full")
def test_printing_to_a_full_disk_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        ended = in_a_process(["data", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("lcplm data list: cannot write what is printed")
    assert ended.stderr.count("\n") == 1 and "the disk is full" in ended.stderr


def test_a_process_without_streams_runs() -> None:
    closed = "sys.stdout = None"
    ended = in_a_process(["data", "list"], closed, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    # An error does not get among the data.
    closed = "sys.stderr = None"
    ended = in_a_process(["nonsense"], closed, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize(("encoding", "printed"), [("latin-1", "\\u0142 ü"), ("ascii", r"\xfc")])
def test_letters_that_the_terminal_lacks_are_printed_as_their_codes(
    encoding, printed, monkeypatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    say = "import lcplm_graph.__main__ as m; m._run = lambda words: print('ł ü')"
    ended = in_a_process([], say, capture_output=True)
    assert ended.returncode == 0 and printed in ended.stdout.decode(encoding)


def test_ctrl_c_waits_for_the_module_that_is_being_loaded(tmp_path) -> None:
    # As libraries in C do it: what interrupts their loading is lost.
    (tmp_path / "swallows.py").write_text(
        "import signal, time\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n    time.sleep(0.3)\n"
        "except KeyboardInterrupt:\n    pass\n"
    )
    code = (
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import signal, time, lcplm_graph.__main__ as m\n"
        # What a shell starts in the background ignores it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def run(words):\n    import swallows\n    time.sleep(30)\n"
        "m._run = run"
    )
    ended = in_a_process([], code, capture_output=True, text=True)
    assert "interrupted; nothing half written" in ended.stderr
    # Python ends itself by the signal, if `exec` saw it.
    assert ended.returncode in (130, -signal.SIGINT)

"""A search by another program: it ends with the process that started it, however that ends."""

from __future__ import annotations

import os
import signal
import tempfile
import time

import pytest

from lcplm_graph.errors import BackendError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.search import homologous_pairs

PAIR = ["MKTAYIAKQRQISFVKSHFSRQ", "GAVLIMFWPSTCYNQ"]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program `mmseqs` of some lines of shell on the path."""

    def make(text):
        path = tmp_path / "bin" / "mmseqs"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return make


def _until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended between open and read
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_mmseqs_and_what_it_started_end_with_a_search_that_is_stopped(program, tmp_path, number):
    # As MMseqs2 does, a program that waits for one of its own.
    program(f"echo $$ > {tmp_path}/one; sh -c 'echo $$ > {tmp_path}/two; sleep 600; :'; :")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            homologous_pairs(PAIR, method="mmseqs")
        finally:
            os._exit(1)
    _until(lambda: (tmp_path / "two").is_file() and (tmp_path / "two").read_text().strip())
    pids = [(tmp_path / name).read_text().strip() for name in ("one", "two")]
    assert all(map(_runs, pids))
    os.kill(child, number)
    os.waitpid(child, 0)
    _until(lambda: not any(map(_runs, pids)))
    _until(lambda: not any((tmp_path / "tmp").iterdir()))


def test_what_mmseqs_says_is_told(program, tmp_path):
    program("echo Error: no memory >&2; exit 3")
    with pytest.raises(BackendError, match="mmseqs failed with code 3: Error: no memory"):
        homologous_pairs(PAIR, method="mmseqs")
    program('printf "0\\t1\\t0.9\\t0.8\\t0.7\\t52\\n" > "$4"')
    hits = homologous_pairs(PAIR, method="mmseqs")
    assert hits.pairs.tolist() == [[0, 1]]
    measured = (hits.identity[0], hits.coverage[0], hits.bits[0])
    assert measured == pytest.approx((0.9, 0.7, 52))
    assert not any((tmp_path / "tmp").iterdir())


def test_proteins_too_short_for_mmseqs_have_no_relatives(program):
    """MMseqs2 fails where no protein has a seed, and finds none of these among longer ones."""
    forget_warnings()
    program("echo No k-mer could be extracted for the database x.; echo Error: died >&2; exit 1")
    with pytest.warns(LcPlmWarning, match="shorter than 14 residues or of low complexity"):
        hits = homologous_pairs(["MKTAYIAK", "GAVLIM"], method="mmseqs")
    assert hits.pairs.shape == (0, 2) and len(hits.bits) == 0

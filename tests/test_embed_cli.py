"""`python -m lcplm_graph.embed` as users run it: killed at random points, it loses nothing."""

import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from lcplm_graph import embed
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.pooling import POOLS, pooled_dim
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.proteins.fasta import write_fasta

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def proteins(count, length, seed=0):
    rng = np.random.default_rng(seed)
    names = [f"p{i}" for i in range(count)]
    return names, ["".join(rng.choice(LETTERS, n)) for n in rng.integers(5, length, count)]


def test_the_encoder_is_the_default_one_unless_named(tmp_path):
    write_fasta(tmp_path / "a.fasta", ["p"], ["MKTAYIAK"])
    assert embed.main([str(tmp_path / "a.fasta"), "--out", str(tmp_path / "a.h5")]) == 0
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["encoder"] == DEFAULT_ENCODER


def test_command_line_says_the_size_first(tmp_path, capsys):
    names, sequences = proteins(20, 40)
    write_fasta(tmp_path / "a.fasta", names, sequences)
    out = tmp_path / "a.h5"
    arguments = ["--encoder", "composition", "--out", str(out), "--half"]
    assert embed.main([str(tmp_path / "a.fasta"), *arguments]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("20 proteins x 20 float16 = 0.0 MB")
    assert said[1] == f"written: {out}"
    with h5py.File(out) as file:
        expected = load_encoder("composition").embed(sequences).numpy()
        np.testing.assert_allclose(file["p3"], expected[3], atol=1e-3)


def test_errors_are_one_sentence(tmp_path, capsys):
    (tmp_path / "bad.fasta").write_text(">a\nMK7\n")
    arguments = ["--encoder", "composition", "--out", str(tmp_path / "o.npz")]
    assert embed.main([str(tmp_path / "bad.fasta"), *arguments]) == 1
    assert "bad.fasta, line 2, record 'a': '7' at position 3" in capsys.readouterr().err
    assert embed.main([str(tmp_path / "none.fasta"), *arguments]) == 1
    assert "no such file" in capsys.readouterr().err


def _size(path):
    """Bytes of a file that the program under test may take away at any time."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_killed_at_random_points_nothing_is_lost(tmp_path):
    names, sequences = proteins(1500, 400)
    sequences[700] = sequences[3]
    write_fasta(tmp_path / "a.fasta", names, sequences)
    out = tmp_path / "a.npz"
    command = [
        sys.executable, "-c",
        # Check points after every batch, so that each kill finds something to keep.
        "import lcplm_graph.features.embed as e, lcplm_graph.embed as c, sys;"
        "e._SECONDS_BETWEEN_CHECKPOINTS = 0.0; sys.exit(c.main(sys.argv[1:]))",
        str(tmp_path / "a.fasta"), "--encoder", "dipeptide", "--out", str(out),
        "--max-tokens", "600",
    ]  # fmt: skip
    values = out.with_name("a.npz.parts") / "values.bin"
    rng, kills, sizes = random.Random(0), 0, []
    while kills < 2:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = _size(values)
        while process.poll() is None:
            if _size(values) > before + rng.randint(20_000, 400_000):
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        assert process.wait() in (-signal.SIGKILL, 0)
        if not values.exists():  # finished, be it just before it was killed
            break
        sizes.append(_size(values))
    assert kills >= 1
    assert sizes == sorted(sizes)
    subprocess.run(command, check=True, capture_output=True)
    archive = np.load(out)
    assert archive["ids"].tolist() == names
    expected = load_encoder("dipeptide").embed(sequences).numpy()
    np.testing.assert_array_equal(archive["embeddings"], expected)
    assert not values.parent.exists()


def test_a_finished_file_is_kept_unless_told_otherwise(tmp_path, capsys):
    names, sequences = proteins(20, 40)
    write_fasta(tmp_path / "a.fasta", names, sequences)
    out = tmp_path / "a.npz"
    command = [str(tmp_path / "a.fasta"), "--encoder", "composition", "--out", str(out)]
    assert embed.main(command) == 0
    first = out.stat()
    assert embed.main(command) == 0
    assert "already complete" in capsys.readouterr().out
    assert out.stat().st_mtime_ns == first.st_mtime_ns
    assert embed.main([*command, "--half"]) == 1
    assert "dtype 'float32', not 'float16'; give --overwrite" in capsys.readouterr().err
    other = [*command, "--encoder", "dipeptide"]
    assert embed.main(other) == 1
    assert "made with encoder 'composition', not 'dipeptide'; give" in capsys.readouterr().err
    assert np.load(out)["embeddings"].dtype == np.float32
    assert embed.main([*command, "--half", "--overwrite"]) == 0
    assert np.load(out)["embeddings"].dtype == np.float16
    out.write_bytes(b"of someone else")
    assert embed.main(command) == 1
    assert "does not say how it was made" in capsys.readouterr().err
    assert out.read_bytes() == b"of someone else"


def test_options_that_make_no_sense_are_refused_before_an_encoder_is_loaded(tmp_path, capsys):
    (tmp_path / "a.fasta").write_text(">a\nMKT\n")

    def refused(*options, encoder="no such encoder"):
        assert embed.main([str(tmp_path / "a.fasta"), "--encoder", encoder, *options]) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["a.fasta"]
        return capsys.readouterr().err

    assert ".h5, .npz, .parquet" in refused("--out", str(tmp_path / "o.csv"))
    out = ("--out", str(tmp_path / "o.npz"))
    assert "--pool has no meaning" in refused(*out, "--pool", "max", "--per-residue")
    assert "no device 'tpu9'" in refused(*out, "--device", "tpu9", encoder="composition")
    assert "--device belongs to" in refused(*out, "--device", "cpu", "--engine", "ray")
    good = [str(tmp_path / "a.fasta"), "--encoder", "composition", *out, "--device", "cpu"]
    assert embed.main(good) == 0


def test_every_pooling_can_be_asked_for_and_no_other(tmp_path, capsys):
    (tmp_path / "a.fasta").write_text(">a\nMKT\n")
    words = [str(tmp_path / "a.fasta"), "--encoder", "lcplm-1m", "--out"]
    widths = {}
    for pool in POOLS:
        out = tmp_path / f"{pool}.npz"
        assert embed.main([*words, str(out), "--pool", pool]) == 0
        widths[pool] = np.load(out)["embeddings"].shape[1]
    assert widths == {pool: pooled_dim(192, pool) for pool in POOLS}
    with pytest.raises(SystemExit):
        embed.main([*words, str(tmp_path / "b.npz"), "--pool", "median"])
    assert "median" in capsys.readouterr().err


def test_pooling_by_cls_is_refused_where_no_state_stands_there(tmp_path, capsys):
    (tmp_path / "a.fasta").write_text(">a\nMKT\n")
    words = [str(tmp_path / "a.fasta"), "--encoder", "dipeptide", "--out", str(tmp_path / "a.h5")]
    assert embed.main([*words, "--pool", "cls"]) == 1
    said = "pooling cls has no meaning for dipeptide; take one of mean, mean_std"
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.fasta"]

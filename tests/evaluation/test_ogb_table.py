"""`lcplm evaluate ogb` on an archive in OGB's layout."""

import gzip
import itertools
import json
import shutil

import numpy as np
import pytest
import torch

from lcplm_graph import evaluate

SIZE, FAMILIES = 48, ("ACDE", "FGHI", "KLMN", "PQRS")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def archive(tmp_path):
    """Proteins of a family are linked; negatives of the split join two families."""
    rng = np.random.default_rng(0)
    names = [f"9606.P{i}" for i in range(SIZE)]
    pairs = np.array(list(itertools.combinations(range(SIZE), 2)))
    same = pairs[:, 0] % 4 == pairs[:, 1] % 4
    links, others = rng.permutation(pairs[same]), rng.permutation(pairs[~same])
    train, valid, test = links[:160], links[160:200], links[200:]
    home = tmp_path / "source" / "ppassoc"
    rows = "".join(f"{i},{name}\n" for i, name in enumerate(names))
    write(home / "mapping" / "nodeidx2proteinid.csv.gz", "node idx,protein id\n" + rows)
    write(home / "raw" / "edge.csv.gz", "".join(f"{a},{b}\n" for a, b in train))
    write(home / "raw" / "node-feat.csv.gz", "1,0\n" * SIZE)
    folder = home / "split" / "throughput"
    folder.mkdir(parents=True)
    torch.save({"edge": train}, folder / "train.pt")
    torch.save({"edge": valid, "edge_neg": others[:200]}, folder / "valid.pt")
    torch.save({"edge": test, "edge_neg": others[200:400]}, folder / "test.pt")
    sequences = ["".join(rng.choice(list(FAMILIES[i % 4]), 30)) for i in range(SIZE)]
    fasta = "".join(f">{n}\n{s}\n" for n, s in zip(names, sequences, strict=True))
    write(tmp_path / "v11.fa.gz", fasta)
    return shutil.make_archive(str(tmp_path / "ppassoc"), "zip", home.parent), len(test)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--steps", "60", "--seed", "1"], "--steps, --seed means nothing without --encoder"),
        (["--encoder", "dipeptide", "--members", "0"], "--members must be at least 1, not 0"),
        (["--hits", "0"], "--hits must be at least 1, not 0"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_the_work(options, told, capsys):
    assert evaluate.main(["ogb", "--archive", "none.zip", *options]) == 1
    assert told in capsys.readouterr().err


def test_hits_of_baselines_and_link_model(archive, tmp_path, capsys):
    path, tested = archive
    command = [
        "ogb", "--archive", path, "--sequences", str(tmp_path / "v11.fa.gz"), "--encoder",
        "dipeptide", "--hits", "20", "--steps", "60", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert evaluate.main(command) == 0
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = {row["model"]: row for row in report["rows"]}
    assert list(rows) == [
        "degree", "common neighbours", "adamic adar", "resource allocation",
        "link model (dipeptide), without convolutions",
    ]  # fmt: skip
    # Two of a family have neighbours in common, two of different ones never.
    assert rows["common neighbours"]["test"] > 0.95
    assert rows["degree"]["test"] < 0.6
    assert rows["link model (dipeptide), without convolutions"]["test"] > 0.9
    assert report["facts"]["test"] == f"{tested:,} links"
    capsys.readouterr()
    assert evaluate.main([*command[:-4], "--hits", "500", "--out", str(tmp_path / "out")]) == 1
    assert "Hits@500 needs at least 500 negatives, there are 200" in capsys.readouterr().err

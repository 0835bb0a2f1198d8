"""Evaluations that `kill_matrix.py` stops: each table with its pictures and its page."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kill_commands import command, function_options
from kill_matrix import Job

_ATOM = "ATOM  %5d  CA  %s A%4d    %8.3f%8.3f%8.3f  1.00  0.00           C  \n"
_RESIDUES = ("MET", "LYS", "GLY", "THR", "ALA")


def make_evaluation_inputs(inputs: Path) -> None:
    """Write what evaluations read and no other job does."""
    pairs = [f"P{a}\tP{b}\n" for a in range(24) for b in range(a) if (a + b) % 2]
    (inputs / "dense.tsv").write_text("".join(pairs))
    (inputs / "dense.fasta").write_text((inputs / "a.fasta").read_text())
    _structures(inputs / "structures")
    _assays(inputs / "assays")
    _ogb(inputs)


def _structures(folder: Path) -> None:
    folder.mkdir()
    # It turns back on itself, so that residues far apart in the chain touch.  Of one structure
    # there is no interval, which takes most of the time.
    atoms = [
        _ATOM % (i + 1, _RESIDUES[i % 5], i + 1, 3.8 * abs(8 - i), i % 3, i // 8) for i in range(16)
    ]
    (folder / "s.pdb").write_text("".join(atoms))


def _assays(folder: Path) -> None:
    folder.mkdir()
    (folder / "x.csv").write_text("mutant,DMS_score\nK2R,0.5\nM1A:T3V,-1\nA4G,0.25\n")
    reference = "DMS_id,DMS_filename,target_seq\nx,x.csv,MKTAYIAK\n"
    (folder / "reference.csv").write_text(reference)


def _ogb(inputs: Path) -> None:
    """Write ogbl-ppa in small: proteins are linked to the next ones of a ring."""
    nodes = 24
    near = np.array([(i, (i + k) % nodes) for k in (1, 2, 3) for i in range(nodes)])
    far = np.array([(i, (i + 9) % nodes) for i in range(nodes)])
    split = {
        "train": {"edge": near[:48]},
        "valid": {"edge": near[48:60], "edge_neg": far[:12]},
        "test": {"edge": near[60:], "edge_neg": far[12:]},
    }
    tables = {
        "mapping/nodeidx2proteinid": "node idx,protein id\n"
        + "".join(f"{i},P{i}\n" for i in range(nodes)),
        "raw/edge": "".join(f"{a},{b}\n" for a, b in near[:48]),
        "raw/node-feat": "1,0\n" * nodes,
    }
    with zipfile.ZipFile(inputs / "ppassoc.zip", "w") as archive:
        for name, text in tables.items():
            archive.writestr(f"ppassoc/{name}.csv.gz", gzip.compress(text.encode(), mtime=0))
        for part, content in split.items():
            with archive.open(f"ppassoc/split/throughput/{part}.pt", "w") as file:
                torch.save(content, file)


def evaluation_jobs(inputs: Path) -> dict[str, Job]:
    """Return the jobs by name."""
    tiny, fasta = inputs / "tiny", inputs / "a.fasta"

    def job(what: str, *words: Any) -> Job:
        def run(folder: Path) -> None:
            out = ("--out", folder / what, "--report", folder / "page.html")
            command("evaluate", what, *words, *out)

        return Job(run)

    dense = ("--graph", f"pairs:{inputs / 'dense.tsv'}", "--encoder", "composition")
    return {
        "evaluate-link": job(
            "link", *dense, "--split", "random", "--ranked", 0, "--resamples", 2, "--steps", 1,
            "--conv", "none", "--negatives", "uniform", "--members", 1, "--no-untrained",
        ),
        "evaluate-function": job(
            "function", *function_options(inputs), "--aspect", "MF", "--resamples", 2, "--steps", 1
        ),
        "evaluate-homology": job(
            "homology", "--source", inputs / "tape.tar.gz", "--encoder", "composition"
        ),
        "evaluate-contacts": job(
            "contacts", inputs / "structures", "--encoder", tiny, "--least", 5
        ),
        "evaluate-variants": job(
            "variants", inputs / "assays", "--reference", inputs / "assays" / "reference.csv",
            "--encoder", tiny, "--method", "wild-type",
        ),
        "evaluate-ogb": job(
            "ogb", "--archive", inputs / "ppassoc.zip", "--sequences", fasta, "--encoder",
            "composition", "--steps", 1, "--members", 1, "--hits", 5,
        ),
    }  # fmt: skip

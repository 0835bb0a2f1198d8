from __future__ import annotations

import gzip
import os

import numpy as np
import pytest

from lcplm_graph.errors import ConfigError, DataError, DownloadError, UnknownNameError
from lcplm_graph.training import corpus as module
from lcplm_graph.training.corpus import choose_held_out, length_bin, length_edges, open_corpus


def test_converted_once_and_again_when_the_file_changes(fasta, monkeypatch) -> None:
    first = open_corpus(f"fasta:{fasta}", eval_tokens=300)
    monkeypatch.setattr(module.SequenceStore, "from_fasta", None)  # a second conversion would fail
    again = open_corpus(f"fasta:{fasta}", eval_tokens=300)
    assert again.store.ids == first.store.ids
    assert again.facts == first.facts
    assert np.array_equal(again.held_out, first.held_out)
    monkeypatch.undo()
    with open(fasta, "a") as file:
        file.write(">new\nMKTAYIAK\n")
    os.utime(fasta, ns=(1, 1))
    assert len(open_corpus(f"fasta:{fasta}", eval_tokens=300).store) == len(first.store) + 1


def test_compressed_is_the_same(fasta) -> None:
    packed = fasta.with_name("packed.fasta.gz")
    packed.write_bytes(gzip.compress(fasta.read_bytes()))
    stores = [open_corpus(f"fasta:{p}", eval_tokens=300).store for p in (fasta, packed)]
    assert list(stores[0]) == list(stores[1])


def test_bins() -> None:
    assert length_edges(100) == [128]
    assert length_edges(1025) == [128, 256, 512, 1024, 2048]
    assert length_bin(np.array([1, 128, 129, 256, 257, 512, 513])).tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_held_out_takes_as_much_of_each_bin_but_never_over_a_tenth() -> None:
    lengths = np.concatenate([np.full(1000, 100), np.full(1000, 200), np.full(25, 2000)])
    rows = choose_held_out(lengths, 2000, seed=0)
    assert np.bincount(length_bin(lengths[rows])).tolist() == [20, 10, 0, 0, 1]
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, choose_held_out(lengths, 2000, seed=0))
    assert not np.array_equal(rows, choose_held_out(lengths, 2000, seed=1))
    assert len(choose_held_out(lengths, 10**9, seed=0)) == 202


def test_training_never_sees_what_is_held_out(fasta) -> None:
    corpus = open_corpus(f"fasta:{fasta}", eval_tokens=300)
    assert not corpus.is_training[corpus.held_out].any()
    assert corpus.is_training.sum() + len(corpus.held_out) == len(corpus.store)


def test_errors(fasta, tmp_path, monkeypatch) -> None:
    with pytest.raises(DataError, match=r"missing\.fasta: no such file"):
        open_corpus("fasta:missing.fasta", eval_tokens=1)
    with pytest.raises(UnknownNameError, match="did you mean 'uniref50'"):
        open_corpus("uniref5", eval_tokens=1)
    with pytest.raises(ConfigError, match="is not a corpus of sequences"):
        open_corpus("string_human", eval_tokens=1)
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"fetch https://\S*uniref50\.fasta\.gz by hand"):
        open_corpus("uniref50", eval_tokens=1)
    few = tmp_path / "few.fasta"
    few.write_text(">a\nMKT\n>b\nMKV\n")
    with pytest.raises(ConfigError, match="too few to hold a tenth"):
        open_corpus(f"fasta:{few}", eval_tokens=1)

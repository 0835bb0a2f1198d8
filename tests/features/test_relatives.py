"""Relatives of proteins: what the search found as weights, kept for the next time."""

import numpy as np
import pytest

from lcplm_graph.errors import DataError, LcPlmWarning
from lcplm_graph.features import relatives as module
from lcplm_graph.features.relatives import all_alignments, relatives, weights
from lcplm_graph.proteins.search import homologous_pairs

GLOBIN = (
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKL"
)


def family(seed=0, count=6):
    """A protein, and copies of it that differ more and more; the last two are of no family."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    first = rng.choice(letters, 200)
    found = []
    for step in range(count):
        copy = first.copy()
        copy[rng.permutation(200)[: 20 * step]] = rng.choice(letters, 20 * step)
        found.append("".join(copy))
    return [*found, "".join(rng.choice(letters, 150)), "".join(rng.choice(letters, 150))]


def test_weights_fall_with_distance_and_are_symmetric(tmp_path):
    proteins = family()
    found = relatives(proteins, root=tmp_path).toarray()
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 1)
    assert (np.diff(found[0, :5]) < 0).all()
    assert not found[6:, :6].any()
    # Every alignment counts, however short or remote, with its bits by two for each residue.
    hits = homologous_pairs(proteins, identity=0, coverage=0, method="kmer")
    for (i, j), bits in zip(hits.pairs.tolist(), hits.bits, strict=True):
        mean = np.sqrt(len(proteins[i]) * len(proteins[j]))
        assert found[i, j] == pytest.approx(min(1, bits / (2 * mean)))
    assert np.count_nonzero(found) == 2 * len(hits.pairs) + len(proteins)


def test_two_sets(tmp_path):
    proteins = family()
    found = relatives([proteins[2], proteins[7], GLOBIN], proteins, root=tmp_path)
    assert found.shape == (3, 8)
    within = relatives(proteins, root=tmp_path)
    np.testing.assert_allclose(found[[0]].toarray(), within[[2]].toarray())
    assert found[[1]].toarray().tolist() == [[0, 0, 0, 0, 0, 0, 0, 1]]
    assert not found[[2]].nnz
    assert relatives([], proteins, root=tmp_path).shape == (0, 8)


def test_the_same_proteins_are_searched_once(tmp_path, monkeypatch):
    proteins = family()
    first = relatives(proteins, root=tmp_path).toarray()
    (file,) = tmp_path.iterdir()
    searched = []

    def search(*given, **options):
        searched.append(given)
        return homologous_pairs(*given, **options)

    monkeypatch.setattr(module, "homologous_pairs", search)
    np.testing.assert_array_equal(relatives(iter(proteins), root=tmp_path).toarray(), first)
    assert not searched
    # Another order, another set, and the same set against itself are other questions.
    turned = relatives(proteins[::-1], root=tmp_path).toarray()
    np.testing.assert_array_equal(turned[::-1, ::-1], first)
    relatives(proteins[:3], proteins[3:], root=tmp_path)
    relatives(proteins, proteins, root=tmp_path)
    assert len(searched) == 3
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"damaged .*delete this cache file"):
        relatives(proteins, root=tmp_path)


def test_proteins_too_long_for_the_search_have_no_relatives(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_LENGTH", 199)
    proteins = [GLOBIN, *family(), GLOBIN[5:]]
    with pytest.warns(LcPlmWarning, match="6 of 10 proteins have more than 199 residues"):
        found = relatives(proteins, root=tmp_path).toarray()
    assert found[0, 9] > 0.9
    np.testing.assert_array_equal(found[1:7, 1:7], np.eye(6))


def test_a_repeated_sequence_is_its_own_relative_in_full():
    texts = [GLOBIN, GLOBIN]
    hits = all_alignments(texts)
    assert hits.pairs.tolist() == [[0, 1]]
    assert weights(hits, texts, texts).tolist() == [1.0]


def test_a_protein_of_residues_that_score_little_is_its_own_relative_in_full(tmp_path):
    """A, S, V and L are worth less than two bits each when they are aligned with themselves."""
    plain = "".join(np.random.default_rng(0).choice(list("ASVLTI"), 120))
    bits = all_alignments([plain], [plain]).bits
    assert bits[0] < 2 * 120
    assert relatives([plain], [plain, GLOBIN], root=tmp_path).toarray().tolist() == [[1, 0]]

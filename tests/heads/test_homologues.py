"""What homologues of a protein have, and its place beside a head."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score

from lcplm_graph.heads.homologues import (
    AnnotatedProteins,
    best_weight,
    homologue_transfer,
    mixed,
)

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def test_labels_are_weighed_by_bits():
    pairs = np.array([[0, 0], [0, 1], [2, 1]])
    labels = np.array([[1, 1, 0], [0, 1, 0]], bool)
    for kind in (np.asarray, sparse.csr_array, tuple):
        found = homologue_transfer(pairs, np.array([100, 300, 50.0]), kind(labels), 3)
        np.testing.assert_allclose(found, [[0.25, 1, 0], [0, 0, 0], [0, 1, 0]])
    nothing = homologue_transfer(np.empty((0, 2), np.int64), np.empty(0), labels, 2)
    np.testing.assert_array_equal(nothing, np.zeros((2, 3)))


def test_who_has_no_homologue_keeps_what_the_head_says():
    head = np.array([[0.2, 0.4], [0.2, 0.4]])
    found = mixed(head, np.array([[1.0, 0], [0, 0]]), 0.75)
    np.testing.assert_allclose(found, [[0.8, 0.1], [0.2, 0.4]])


def test_the_weight_is_the_best_of_all_tenths():
    rng = np.random.default_rng(0)
    labels = rng.random((60, 9)) < 0.3
    head = np.clip(labels * 0.4 + rng.random(labels.shape) * 0.6, 0, 1)
    homologues = (labels ^ (rng.random(labels.shape) < 0.1)).astype(float)
    weight = best_weight(labels, head, homologues)
    quality = [
        average_precision_score(labels.ravel(), mixed(head, homologues, tenth / 10).ravel())
        for tenth in range(11)
    ]
    assert weight == pytest.approx(int(np.argmax(quality)) / 10) and 0 < weight < 1
    assert best_weight(labels, labels.astype(float), 1.0 - labels) == 0
    assert best_weight(np.zeros((0, 9), bool), head[:0], homologues[:0]) == 0


def test_annotated_proteins_are_searched_and_kept_in_tensors():
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(LETTERS, n)) for n in (80, 120, 100)]
    labels = sparse.csr_array(np.array([[1, 0], [1, 1], [0, 0]], bool))
    known = AnnotatedProteins(sequences, labels)
    again = AnnotatedProteins.from_tensors(known.tensors(), terms=2)
    asked = [sequences[1][5:], "".join(rng.choice(LETTERS, 90)), sequences[0]]
    for one in (known, again):
        np.testing.assert_allclose(one.transfer(asked), [[1, 1], [0, 0], [1, 0]])
    assert again.sequences == sequences

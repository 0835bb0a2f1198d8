"""The leakage report: what it counts, and which splits it lets pass."""

from dataclasses import replace

import numpy as np
import pytest

from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.leakage import LeakageReport, leakage_report
from lcplm_graph.splits.split import Split

CLEAN = LeakageReport("C3", "test", 9, 9, 0, 0, 0, 0, 0.3, 0.5, 0.5, "stub_matched")
KINDS = ("random", "C1", "C2", "C3", "node", "cluster", "species", "temporal")


@pytest.mark.parametrize(
    ("found", "refused_by"),
    [
        ({}, set()),
        ({"shared_pairs": 1}, set(KINDS)),
        ({"shared_proteins": 1}, {"C3", "cluster", "species"}),
        ({"identical_sequences": 1}, {"cluster"}),
        ({"homologues": 1}, {"cluster"}),
    ],
)
def test_each_kind_refuses_what_it_promises_not_to_share(found, refused_by):
    report = replace(CLEAN, **found)
    assert {kind for kind in KINDS if not report.ok(kind)} == refused_by
    assert report.ok() == ("C3" not in refused_by)


def test_copies_of_training_proteins_are_counted_once_each():
    """Twenty proteins in a ring, and their copies in the same ring; two also meet a known one."""
    rng = np.random.default_rng(0)
    letters = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 60)) for _ in range(20)]
    store = SequenceStore.from_records(map(str, range(42)), [*letters, *letters, "MKV", "GAW"])
    ring = [[i, (i + 1) % 20] for i in range(20)]
    copies = [[20 + j, 20 + i] for i, j in ring]
    split = Split("random", 42, ring, ring, [*copies, [3, 40], [40, 41]], [1] * 22)
    report = leakage_report(split, store, method="kmer", negatives="uniform")
    assert (report.pairs, report.shared_pairs) == (22, 20)
    # Protein 3 is a training protein, and no copy of one.
    assert (report.proteins, report.shared_proteins) == (23, 1)
    assert report.identical_sequences == report.homologues == 20


def test_degrees_are_those_of_training_alone():
    """Hubs of the held-out part are no hubs yet."""
    train = [[i, i + 1] for i in range(20)]
    split = Split("C3", 60, train, train, [[30, i] for i in range(31, 45)], [1] * 14)
    assert leakage_report(split, negatives="hard").degree_auroc == 0.5

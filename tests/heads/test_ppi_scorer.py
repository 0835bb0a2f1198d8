"""The scorer that ships: symmetric, the same alone and among others, honest about odd input."""

import itertools
import json
import time
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from lcplm_graph import PPIScorer, score
from lcplm_graph.datasets.pair_table import id_columns
from lcplm_graph.errors import InputError, LcPlmWarning, SequenceError, UnknownNameError
from lcplm_graph.heads import nearest as nearest_module
from lcplm_graph.heads import ppi_scorer
from lcplm_graph.heads.nearest import NearestPairs
from lcplm_graph.heads.ppi_scorer import SCORERS_DIR
from lcplm_graph.io import forget_warnings

GRAPHML = "http://graphml.graphdrawing.org/xmlns"
GLOBIN = (
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKL"
)


@pytest.fixture(scope="module")
def scorer():
    return PPIScorer.from_pretrained()


def test_a_pair_has_one_probability_in_either_order_alone_and_among_others(scorer):
    rng = np.random.default_rng(0)
    names = list(dict.fromkeys(scorer.known.store.ids))[:40]
    pairs = [(names[i], names[j]) for i, j in rng.integers(40, size=(10_000, 2))]
    everything = scorer.answer(pairs)
    assert everything.probability.shape == (10_000,)
    assert ((everything.probability > 0) & (everything.probability < 1)).all()
    assert np.ptp(everything.probability) > 0.3
    begun = time.process_time()
    assert scorer.answer(pairs).rows() == everything.rows()
    assert time.process_time() - begun < 5, "fewer than 2,000 pairs a second"
    for i in range(3):
        # Without the features that are known by now, as a new process would.
        scorer._rows.clear()
        (alone,) = scorer.score([pairs[i]])
        (turned,) = scorer.score([pairs[i][::-1]])
        assert alone == turned == everything.probability[i]


def test_many_pairs_can_be_asked_for_in_parts(scorer, tmp_path, monkeypatch):
    names = list(scorer.known.store.ids[:12])
    pairs = list(itertools.combinations(names, 2))
    whole, asked = scorer.answer(pairs), scorer.asked(names)
    parts = [row for i in range(0, len(pairs), 7) for row in asked.answer(pairs[i : i + 7]).rows()]
    assert parts == whole.rows()
    # Also where there are more proteins than are kept for later, nothing is done anew for a part.
    with monkeypatch.context() as patch:
        patch.setattr(nearest_module, "_KEPT", 5)
        patch.setattr(ppi_scorer, "_KEPT", 5)
        asked = scorer.asked(names)
        patch.setattr(scorer.nearest, "_search", None)
        patch.setattr(scorer.encoder, "embed", None)
        assert asked.answer(pairs).rows() == scorer.asked(names).answer(pairs).rows() == parts
    assert scorer.score([]).shape == scorer.answer([]).known.shape == (0,)
    # The command writes as it goes, so that all pairs of a proteome need not fit into memory.
    fasta = tmp_path / "p.fasta"
    fasta.write_text("".join(f">{x}\n{scorer.known.sequence(x)}\n" for x in names))
    monkeypatch.setattr(score, "_BLOCK", 7)
    assert score.main([str(fasta), str(fasta), "--out", str(tmp_path / "p.tsv")]) == 0
    lines = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()[1:]]
    assert [tuple(line[:2]) for line in lines] == pairs
    found = np.array([line[2:] for line in lines], float)
    np.testing.assert_allclose(found, np.array([row[2:] for row in parts]), atol=1e-6)
    assert score.main([str(fasta), str(fasta), "--out", str(tmp_path / "p.graphml")]) == 0
    graph = nx.read_graphml(tmp_path / "p.graphml")
    assert {frozenset(pair[:2]) for pair in graph.edges} == set(map(frozenset, pairs))


def test_training_pairs_of_relatives_count_for_a_pair(scorer):
    """RNF7 and CUL2, relatives of RBX1 and CUL1, are a training pair; so are others, remoter."""
    pairs = [("RBX1", "CUL1"), ("CUL1", "RBX1"), ("TP53", "MDM4")]
    found = scorer.answer(pairs)
    assert found.interolog_evidence[0] == found.interolog_evidence[1] > 0.05
    assert found.interolog_evidence[2] == 0
    assert (found.interolog_evidence <= 1).all()
    alone = PPIScorer(
        replace(scorer.model, interolog_weight=(0, 0, 0)), scorer.encoder, scorer.nearest,
        scorer.known,
    ).score(pairs)  # fmt: skip
    assert found.probability[0] > alone[0]
    assert found.probability[2] == alone[2]
    # Remote relatives are none of the nearest pair.
    weights = scorer.nearest.weights([scorer.known.sequence("RNF7")]).toarray()[0]
    assert (weights > 0).sum() > (weights == 1).sum() == 1


def test_members_whose_parts_attend_are_heard_about_new_proteins_alone(scorer):
    ids = scorer.known.store.ids
    trained = [name for name in ids if scorer.known.known(name) in scorer._trained][:2]
    new = [name for name in ids if scorer.known.known(name) not in scorer._trained][:2]
    plain = [k for k, recipe in enumerate(scorer.model.recipes) if recipe.head == "link"]
    without = replace(
        scorer.model,
        members=[scorer.model.members[k] for k in plain],
        recipes=[scorer.model.recipes[k] for k in plain],
    )
    others = PPIScorer(without, scorer.encoder, scorer.nearest, scorer.known)
    pairs = [tuple(trained), (trained[0], new[0]), tuple(new)]
    same = np.isclose(scorer.score(pairs), others.score(pairs), rtol=1e-6, atol=0)
    assert same.tolist() == [True, False, False]


def test_names_and_sequences_are_the_same_protein(scorer):
    sequence = scorer.known.sequence("TP53")
    by_name, by_sequence = scorer.score([("TP53", "mdm2"), (sequence, "Q00987")])
    assert by_name == by_sequence
    (own,) = scorer.score([("my", "TP53")], {"my": GLOBIN})
    (raw,) = scorer.score([(GLOBIN, "P04637")])
    assert own == raw
    (spelt,) = scorer.score([("Q9MINE", "sp|P04637|P53_HUMAN")], {"tr|Q9MINE|X_Y": GLOBIN})
    assert spelt == raw


def test_pairs_and_sequences_of_any_kind(scorer):
    pairs, own = [("my", "TP53"), ("TP53", "MDM2")], {"my": GLOBIN}
    want = scorer.score(pairs, own).tolist()
    frame = pd.DataFrame(pairs, index=[1, 0])
    kinds = (frame, np.array(pairs), iter(pairs), [pd.Series(p, index=[1, 0]) for p in pairs])
    for given in kinds:
        assert scorer.score(given, pd.Series(own)).tolist() == want
    for wrong in ([{"my", "TP53"}], "TP53", [("TP53",)], [("TP53", 5)], {"a": "b"}):
        with pytest.raises(InputError, match=r"^pairs"):
            scorer.score(wrong, own)
    with pytest.raises(InputError, match="a mapping of name to sequence, not list"):
        scorer.score(pairs, [GLOBIN])


def test_a_short_id_that_is_missing_from_the_sequences_is_no_peptide(scorer):
    own = {"zz1": GLOBIN}
    for name in ("zz", "ACDE", "zz ", "aa*"):
        with pytest.raises(UnknownNameError, match="neither among the sequences that were given"):
            scorer.score([("zz1", name)], own)
    with pytest.raises(UnknownNameError, match="did you mean zz1"):
        scorer.score([("zz1", "zz")], own)
    # What is long enough is a sequence all the same, and without others so is anything.
    assert scorer.score([("zz1", GLOBIN)], own) == scorer.score([(GLOBIN, GLOBIN)])
    assert scorer.score([("ACDE", "MDM2")]).shape == (1,)


def test_a_human_protein_takes_no_place_of_another_in_silence(scorer, tmp_path):
    (tmp_path / "yeast.fasta").write_text(f">CDC19\n{GLOBIN}\n")
    (tmp_path / "pairs.tsv").write_text("CDC19\tCDC42\nCDC42\ttp53\n")
    said = (
        r"as proteins of string_human_core and human_proteome.*: 'CDC42', 'tp53' \(2 of 3 names\); "
        "give their"
    )
    forget_warnings()
    given = ["--sequences", str(tmp_path / "yeast.fasta"), "--pairs", str(tmp_path / "pairs.tsv")]
    with pytest.warns(UserWarning, match=said):
        assert score.main(given) == 0
    forget_warnings()
    with pytest.warns(UserWarning, match=said):
        scorer.score([("CDC19", "CDC42"), ("CDC42", "tp53")], {"CDC19": GLOBIN})
    forget_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer.score([("CDC19", GLOBIN)], {"CDC19": GLOBIN})
        scorer.score([("CDC42", "TP53")], {})
    # All that are nowhere are counted and named at once.
    with pytest.raises(UnknownNameError, match="2 of 3 names stand for no protein: 'zz', 'b_1'"):
        scorer.score([("CDC19", "zz"), ("b_1", "zz")], {"CDC19": GLOBIN})


def test_any_length_and_identical_proteins(scorer):
    forget_warnings()
    long = GLOBIN * 330
    assert len(long) > 30_000
    with pytest.warns(UserWarning, match="unlike anything seen"):
        found = scorer.answer([("M", long), (GLOBIN, GLOBIN), ("A" * 300, GLOBIN)])
    assert np.isfinite(found.probability).all()
    assert found.unlike_training.tolist()[0]
    assert found.unlike_training.tolist()[2]
    assert found.nearest_training_identity[0] == 0


def test_a_training_pair_is_nearest_to_itself(scorer):
    i = int(np.argmax(np.diff(scorer.nearest._indptr) > 0))
    j = int(scorer.nearest._indices[scorer.nearest._indptr[i]])
    a, b = scorer.nearest.sequences[i], scorer.nearest.sequences[j]
    found = scorer.answer([(a, b), (b, a)])
    assert found.nearest_training_identity.tolist() == [1.0, 1.0]
    names = [scorer.nearest.names[k] for k in (i, j)]
    assert [scorer.known.sequence(name) for name in names] == [a, b]
    assert found.nearest_training_pair == [tuple(names), tuple(names[::-1])]
    assert not found.unlike_training.any()


def test_the_nearest_pair_is_as_near_as_its_less_similar_protein():
    rng = np.random.default_rng(1)
    proteins = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 200)) for _ in range(4)]
    nearest = NearestPairs(proteins, np.array([[0, 1], [2, 3]]))

    def changed(sequence, share):
        at = rng.permutation(len(sequence))[: int(share * len(sequence))]
        letters = list(sequence)
        for i in at:
            letters[i] = "W" if letters[i] != "W" else "A"
        return "".join(letters)

    asked = [changed(proteins[0], 0.1), changed(proteins[1], 0.4), proteins[2]]
    identity, pairs = nearest.of(asked, np.array([[1, 0], [0, 2], [0, 1]]))
    assert identity[0] == identity[2] == pytest.approx(0.6, abs=0.05)
    assert identity[1] == 0
    assert pairs.tolist() == [[1, 0], [-1, -1], [0, 1]]
    # Between two pairs that are equally near, the order of the question decides nothing.
    twice = NearestPairs([proteins[0]] * 2 + [proteins[1]] * 2, np.array([[0, 3], [1, 2]]))
    _, pairs = twice.of(proteins[:2], np.array([[0, 1], [1, 0]]))
    assert pairs[0].tolist() == pairs[1].tolist()[::-1]
    assert (pairs >= 0).all()


def test_nonsense_is_one_sentence(scorer):
    with pytest.raises(UnknownNameError, match="'TP54_X1' is neither a protein known here"):
        scorer.score([("TP54_X1", "TP53")])
    with pytest.raises(InputError, match="pairs"):
        scorer.score(["TP53"])
    with pytest.raises((SequenceError, UnknownNameError)):
        scorer.score([("", "TP53")])
    with pytest.raises(UnknownNameError, match="shipped: lcplm-2m-human"):
        PPIScorer.from_pretrained("no-such")
    forget_warnings()
    with pytest.warns(UserWarning, match="'NOGENE' is not a name known here"):
        scorer.score([("NOGENE", "TP53")])


def test_the_command_writes_the_columns_of_the_contract(tmp_path, capsys):
    assert score.main(["TP53", "MDM2"]) == 0
    out, err = capsys.readouterr()
    header, row = out.splitlines()
    assert "pair of TP53 and MDM2: none with 30% identity over 50% of both proteins" in err
    columns = ["protein1", "protein2", "probability", "uncertainty", "nearest_training_identity"]
    assert header.split("\t") == columns
    assert 0 < float(row.split("\t")[2]) < 1
    (tmp_path / "p.fasta").write_text(f">x\n{GLOBIN}\n>y\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ\n")
    (tmp_path / "pairs.tsv").write_text("x\ty\t1\ny\tTP53\nx\tx\n")
    given = ["--pairs", str(tmp_path / "pairs.tsv"), "--sequences", str(tmp_path / "p.fasta")]
    assert score.main([*given, "--out", str(tmp_path / "out.tsv")]) == 0
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0].split("\t") == columns
    assert [line.split("\t")[:2] for line in lines[1:]] == [["x", "y"], ["y", "TP53"], ["x", "x"]]
    assert score.main([*given, "--out", str(tmp_path / "out.graphml")]) == 0
    assert nx.read_graphml(tmp_path / "out.graphml").number_of_edges() == 3
    edges = ElementTree.parse(tmp_path / "out.graphml").iter(f"{{{GRAPHML}}}edge")
    assert sorted(edge.get("id") for edge in edges) == ["0", "1", "2"]
    assert score.main([str(tmp_path / "p.fasta"), "TP53"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert score.main([str(tmp_path / "p.fasta")] * 2) == 0
    assert [row.split("\t")[:2] for row in capsys.readouterr().out.splitlines()[1:]] == [["x", "y"]]
    assert score.main(["RBX1", "CUL1"]) == 0
    assert "of RBX1 and CUL1: RNF7 and CUL2, 37% identity" in capsys.readouterr().err
    assert score.main(["A" * 200, "MDM2", "--details"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split("\t") == [*columns, *score.DETAILS]
    assert row.split("\t")[5:] == ["", "", "yes", "0.0000", "no"]
    assert score.main(["MDM2", "TP53"]) == 0
    told = "MDM2 and TP53 are known to interact (STRING); the model does not count that"
    assert told in capsys.readouterr().err
    assert score.main(["RNF7", "CUL2"]) == 0
    told = "RNF7 and CUL2 are known to interact (STRING); the model was trained on it"
    assert told in capsys.readouterr().err
    assert score.main(["GRB2", "RB1"]) == 0
    assert "known" not in capsys.readouterr().err
    for wrong, told in (
        (["TP53"], "got 1"),
        (["TP5_3", "MDM2"], "neither a protein known here"),
        (["--pairs", str(tmp_path / "none.tsv")], "none.tsv"),
    ):
        assert score.main(wrong) == 1
        assert told in capsys.readouterr().err


def test_the_card_holds_what_was_measured(scorer):
    folder = SCORERS_DIR / "lcplm-2m-human"
    facts = json.loads((folder / "config.json").read_text())["facts"]
    text = (folder / "README.md").read_text()
    for part, found in facts["test"].items():
        assert f"| {part} | {found['positives']:,} | {found['auroc']['value']:.3f}" in text
    assert {part: round(found["ece"], 2) for part, found in facts["test"].items()} == {
        "C1": 0.02, "C2": 0.02, "C3": 0.04, "all": 0.02
    }  # fmt: skip
    assert scorer.encoder.fingerprint() == facts["fingerprint"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6


LONG = "myprotein_of_organism_X_isoform"
CD4 = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVVHSLAKWKRQ"


def asked(tmp_path, capsys, table, *more):
    path = tmp_path / "pairs.tsv"
    path.write_text(table)
    status = score.main(["--pairs", str(path), *more])
    told = capsys.readouterr()
    return status, [line.split("\t")[:2] for line in told.out.splitlines()[1:]], told.err


def test_printed_names_are_whole(tmp_path, capsys):
    fasta = tmp_path / "iso.fasta"
    fasta.write_text(f">{LONG}1\n{CD4}\n>{LONG}2\n{CD4[::-1]}\n")
    assert score.main([str(fasta), "TP53"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("\t")[0] for line in lines] == [f"{LONG}1", f"{LONG}2"]


@pytest.mark.parametrize(
    "table",
    [
        "from\tto\nTP53\tMDM2\n",
        "id_a\tid_b\nTP53\tMDM2\n",
        "# note\nTP53\tMDM2\n",
        "rank\tprotein1\tprotein2\tsymbol1\n1\tTP53\tMDM2\tTP53\n",
        "query\trank\tpartner\tsymbol\nTP53\t1\tMDM2\tMDM2\n",
        '"V1"\t"V2"\n'.replace("V", "protein") + '"TP53"\t"MDM2"\n',
    ],
)
def test_tables_of_other_commands_are_read(tmp_path, capsys, table):
    assert asked(tmp_path, capsys, table)[:2] == (0, [["TP53", "MDM2"]])


def test_genes_that_are_called_like_columns_are_genes():
    assert id_columns(["ID1", "ID2"]) is None
    assert id_columns(["id1", "id2"]) == (0, 1)


def test_an_unknown_word_of_a_table_is_no_sequence(tmp_path, capsys):
    status, _, told = asked(tmp_path, capsys, "TP53\tMDM2\nTP53\tMTT\n")
    assert status == 1
    assert "'MTT' is not a name known here" in told


def test_too_many_pairs_are_not_printed(tmp_path, capsys):
    fasta = tmp_path / "many.fasta"
    fasta.write_text("".join(f">p{i}\nMKT{'A' * i}\n" for i in range(50)))
    assert score.main([str(fasta), str(fasta)]) == 1
    assert "1,225 pairs are too many to print" in capsys.readouterr().err


def test_one_name_for_two_proteins_is_refused(tmp_path, capsys):
    fasta = tmp_path / "mouse.fasta"
    fasta.write_text(f">TP53\n{CD4}\n")
    assert score.main([str(fasta), "TP53"]) == 1
    assert "'TP53' is a record of the FASTA file, too" in capsys.readouterr().err
    assert score.main([str(fasta), str(fasta)]) == 1
    assert "holds one protein; a pair needs two" in capsys.readouterr().err
    assert score.main(["TP53", "TP53"]) == 0


def test_a_report_that_cannot_be_written_is_told_at_once(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert score.main(["TP53", "MDM2", "--report", str(tmp_path / "file" / "x.html")]) == 1
    told = capsys.readouterr()
    assert "a part of the path is a file" in told.err and not told.out


@pytest.mark.parametrize(
    ("text", "said"),
    [("MKTAYIAKQRQUOBZXJFVKSHFSRQ", "read as X: 1 J"), ("ATGGCCATTGTAATGGG" * 5, "as in DNA")],
)
def test_what_is_strange_about_a_sequence_is_said(scorer, text, said):
    forget_warnings()
    with pytest.warns(LcPlmWarning, match=f"the sequence {text[:20]}.*{said}"):
        scorer.score([(text, "TP53")])


def test_features_of_many_proteins_are_kept_and_change_nothing(scorer, monkeypatch, tmp_path):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path))
    monkeypatch.setattr(ppi_scorer, "_WORTH_KEEPING", 3)
    pairs = [(GLOBIN, GLOBIN[:50]), (GLOBIN[20:], GLOBIN[:70]), (GLOBIN, GLOBIN[20:])]
    scorer._rows.clear()
    one_by_one = [float(scorer.score([pair])[0]) for pair in pairs]
    assert not list(tmp_path.rglob("*.safetensors"))
    for embed in (scorer.encoder.embed, None):
        # The second time nothing is computed.
        if embed is None:
            monkeypatch.setattr(scorer.encoder, "embed", lambda *a, **k: pytest.fail("embedded"))
        scorer._rows.clear()
        assert scorer.score(pairs).tolist() == one_by_one
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    scorer._rows.clear()

"""Names of human proteins beyond those of the training data: symbols, aliases, accessions."""

from __future__ import annotations

import warnings

import pytest

from lcplm_graph import StringPPI, score
from lcplm_graph.errors import LcPlmWarning, UnknownNameError
from lcplm_graph.heads import names as names_module
from lcplm_graph.heads.names import KnownProteins, read_proteome
from lcplm_graph.io import forget_warnings
from lcplm_graph.predict.asked import asked_proteins
from lcplm_graph.proteins.store import SequenceStore


@pytest.fixture(scope="module")
def known():
    return KnownProteins.embedded("string_human_core")


def test_every_human_gene_is_known_by_its_names(known):
    assert known.names.find("BRCA2") == []
    assert len(known.sequence("BRCA2")) == 3418
    assert known.sequence("brca2") == known.sequence("P51587") == known.sequence("FANCD1")
    # What the training data knows is that of the training data; both have the same sequence.
    proteome = read_proteome("human_proteome")
    for row in range(0, len(known.store), 97):
        symbol = known.names.names[row]
        if proteome.names.find(symbol):
            assert proteome.known(symbol) == known.store[row]


def test_the_proteome_holds_all_sequences_of_the_graph(known):
    assert set(known.store) <= set(read_proteome("human_proteome").store)


def test_an_alias_is_told_and_one_of_several_genes_is_refused(known):
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="2 of 4 names are other names of genes: HER2 is ERBB2"):
        found = known.sequences(["HER2", "p53", "TP53", "BRCA2"])
    assert found["p53"] == found["TP53"]
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="1 of 1 names are other names of genes: HER2 is ERBB2"):
        asked_proteins(["HER2"], lambda: known)
    with pytest.raises(UnknownNameError, match="'CD20' is a name of 2 proteins here: KRT20, MS4A1"):
        known.sequence("CD20")
    # The symbol of one gene is not another one that is also called so.
    assert len(known.sequence("HTT")) == 3142


def test_names_of_the_caller_come_first_and_say_so(known):
    own = KnownProteins.of({"BRCA2": "MKTAYIAKQRQISFVKSHFSRQ", "x": "MVLSPADKTNVKAAWGKVGA"})
    forget_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert known.sequences(["BRCA2", "x"], own)["BRCA2"] == "MKTAYIAKQRQISFVKSHFSRQ"
    with pytest.warns(LcPlmWarning, match="string_human_core and human_proteome.*: 'ATM'"):
        known.sequences(["BRCA2", "ATM"], own)


def test_the_nearest_name_is_one_of_all_genes(known):
    with pytest.raises(UnknownNameError, match="did you mean LRRK2"):
        known.sequence("LRRK22")


def test_a_sequence_is_no_reason_to_read_the_proteome(known, monkeypatch):
    monkeypatch.setattr(names_module, "read_proteome", lambda name: pytest.fail(name))
    fresh = KnownProteins(known.store, known.names, known.title, organism=known.organism)
    sequence = "MKTAYIAKQRQISFVKSHFSRQ"
    assert fresh.sequences([sequence, "TP53"])[sequence] == sequence


def test_names_of_another_organism_are_not_looked_up():
    store = SequenceStore.from_records(["YAL001C"], ["MKTAYIAKQRQISFVKSHFSRQ"])
    of_yeast = KnownProteins.of(store)
    assert of_yeast.organism == () and of_yeast.known("BRCA2") is None
    assert StringPPI("string_human_core").organism == (9606,)
    of_both = KnownProteins(of_yeast.store, of_yeast.names, organism=(9606, 4932))
    assert of_both.known("BRCA2") is None


def test_the_command_takes_a_gene_that_the_graph_lacks(capsys):
    assert score.main(["TMPRSS2", "ACE2"]) == 0
    assert "TMPRSS2\tACE2\t0." in capsys.readouterr().out


def test_a_protein_is_asked_of_the_whole_proteome(tmp_path, monkeypatch):
    names = ["TP53", "ACE2"]
    sequences = [read_proteome("human_proteome").known(name) for name in names]
    store = SequenceStore.from_records(names, sequences)
    monkeypatch.setattr(SequenceStore, "from_fasta", _for_the_proteome(store))
    out = tmp_path / "screen.tsv"
    assert score.main(["TP53", "human_proteome", "--out", str(out)]) == 0
    rows = out.read_text().splitlines()[1:]
    assert [row.split("\t")[:2] for row in rows] == [["TP53", "TP53"], ["TP53", "ACE2"]]


def _for_the_proteome(small):
    whole = SequenceStore.from_fasta

    def read(path, *args, **kwargs):
        return small if "human_proteome" in str(path) else whole(path, *args, **kwargs)

    return read

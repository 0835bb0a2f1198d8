"""Reading and scoring variants, and the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lcplm_graph.errors import DataError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.masked_lm import load_masked_lm
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tasks.marginals import log_likelihood, masked_marginals, wild_type_marginals
from lcplm_graph.tasks.variant_job import VariantJob
from lcplm_graph.tasks.variant_table import variants_of
from lcplm_graph.tasks.variants import parse_variant, score_variants
from lcplm_graph.tokens.vocabulary import RESIDUES, STANDARD_RESIDUES
from lcplm_graph.variants import main

SEQUENCE = "MKTAYIAKQRQISF"


@pytest.fixture(scope="module")
def lm() -> LcPlmEncoder:
    torch.manual_seed(0)
    return LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=32, n_layer=2)).eval(), "tiny").eval()


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("K2R", "MRTAYIAKQRQISF"),
        ("p.K2R", "MRTAYIAKQRQISF"),
        ("A4V:K2R", "MRTVYIAKQRQISF"),
        ("K2=", SEQUENCE),
        ("K2del", "MTAYIAKQRQISF"),
        ("K2_A4del", "MYIAKQRQISF"),
        ("K2_T3insGG", "MKGGTAYIAKQRQISF"),
        ("K2_A4delinsW", "MWYIAKQRQISF"),
        ("K2dup", "MKKTAYIAKQRQISF"),
        ("K2_A4dup", "MKTAKTAYIAKQRQISF"),
        ("K2del:F14L", "MTAYIAKQRQISL"),
    ],
)
def test_forms_of_variants(text, changed):
    assert parse_variant(text, SEQUENCE).apply(SEQUENCE) == changed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A2V", "position 2 is K, not A"),
        ("F15L", "at position 15, but the protein has 14 residues"),
        ("M0L", "at position 0, but the protein has 14 residues"),
        ("K2J", "puts in 'J', which is not an amino acid"),
        ("K2*", "ends the protein elsewhere"),
        ("Lys2", "is not understood"),
        ("p.Lys2Ter", "ends the protein elsewhere, which is not scored; leave it out"),
        ("p.Lys2ArgfsTer7", "ends the protein elsewhere"),
        ("c.5A>G", "is of DNA or RNA"),
        ("2R", "is not understood"),
        ("K2R:K2A", "changes position 2 twice"),
        ("K2_A4del:T3V", "changes position 3 twice"),
        ("K2_A4insG", "must name two neighbours"),
        ("A4_K2del", "ends before it begins"),
        ("M1_F14del", "leaves no residue"),
        ("M" + "9" * 5000 + "L", "is not understood"),
    ],
)
def test_wrong_variants_get_one_sentence(text, told):
    with pytest.raises(DataError, match="variant") as error:
        parse_variant(text, SEQUENCE)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["masked", "wild-type"])
def test_scores_are_differences_of_marginals_and_likelihoods(lm, method):
    masked = method == "masked"
    table = masked_marginals(lm, SEQUENCE) if masked else wild_type_marginals(lm, SEQUENCE)
    names = ["K2R", "A4V:K2R", "K2del", "K2=", "T3X"]
    scores = score_variants(lm, SEQUENCE, [parse_variant(n, SEQUENCE) for n in names], method)

    def effect(position: int, new: str) -> float:
        row = table[position - 1]
        return row[RESIDUES.index(new)] - row[RESIDUES.index(SEQUENCE[position - 1])]

    deleted = log_likelihood(lm, "MTAYIAKQRQISF", masked=masked)
    expected = [
        effect(2, "R"),
        effect(4, "V") + effect(2, "R"),
        deleted - log_likelihood(lm, SEQUENCE, masked=masked),
        0.0,
        effect(3, "X"),
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_pseudo_perplexity_scores_whole_proteins(lm):
    names = ["K2R", "K2del"]
    scores = score_variants(
        lm, SEQUENCE, [parse_variant(n, SEQUENCE) for n in names], "pseudo-perplexity"
    )
    wild = log_likelihood(lm, SEQUENCE) / 14
    expected = [
        log_likelihood(lm, "MRTAYIAKQRQISF") / 14 - wild,
        log_likelihood(lm, "MTAYIAKQRQISF") / 13 - wild,
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["masked", "wild-type", "pseudo-perplexity"])
def test_the_cost_that_is_said_is_what_runs(lm, method, tmp_path, monkeypatch):
    store = SequenceStore.from_records(["p", "odd"], [SEQUENCE, "MXXK"])
    variants = [parse_variant(n, SEQUENCE) for n in ("K2R", "A4V:K2R", "K2del")]
    ran = []
    logits = lm.logits
    monkeypatch.setattr(lm, "logits", lambda p: ran.append(len(p.input_ids)) or logits(p))
    for wanted in (None, {0: variants}):
        ran.clear()
        job = VariantJob(lm=lm, proteins=store, variants=wanted, method=method)
        job.run(tmp_path / "out.tsv", progress=False)
        assert sum(ran) == job.tokens


def test_tables_of_variants(tmp_path):
    store = SequenceStore.from_records(["a", "b"], ["MKTAY", "GGSGG"])
    table = tmp_path / "v.csv"
    table.write_text("# mine\nprotein,mutant,DMS_score\nb,S3A,0.1\na,K2R,0.2\nb,S3G:G1A,0.3\n")
    found = variants_of(table, store)
    assert {i: [v.name for v in vs] for i, vs in found.items()} == {
        1: ["S3A", "S3G:G1A"],
        0: ["K2R"],
    }


@pytest.mark.parametrize("sign", [";", "\t", "  "])
def test_what_separates_columns_is_read_from_the_lines(sign, tmp_path):
    store = SequenceStore.from_records(["a", "b"], ["MKTAY", "GGSGG"])
    table = tmp_path / "v.csv"
    table.write_text("# mine\nprotein,mutant\nb,S3A\na,K2R\n".replace(",", sign))
    found = variants_of(table, store)
    assert {i: [v.name for v in vs] for i, vs in found.items()} == {1: ["S3A"], 0: ["K2R"]}


def test_the_last_cell_of_a_row_may_be_empty(tmp_path):
    store = SequenceStore.from_records(["p1"], ["MKTAY"])
    table = tmp_path / "v.tsv"
    table.write_text("protein\tvariant\tnote\np1\tK2R\t\np1\tK2A\tx\n")
    assert [variant.name for variant in variants_of(table, store)[0]] == ["K2R", "K2A"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("K2R\n", "line 1: there are 2 proteins, so the table needs a column protein"),
        ("protein\tchange\na\tK2R\n", "one of them must be called variant"),
        ("protein\tvariant\na\tK2R\nc\tK2R\n", "line 3: protein 'c' is not among the sequences"),
        ("protein\tvariant\na\tK2R\na\n", "line 3: 1 columns, the first line has 2"),
        ("protein\tvariant\na\tR2K\n", "line 2: variant 'R2K' does not match the sequence"),
        ("protein\tvariant\tscore\na\t\t1\n", "line 2: the variant is empty"),
        ("# nothing\n", "there is no variant in the file"),
    ],
)
def test_wrong_tables_get_one_sentence(content, told, tmp_path):
    store = SequenceStore.from_records(["a", "b"], ["MKTAY", "GGSGG"])
    (tmp_path / "v.tsv").write_text(content)
    with pytest.raises(DataError) as error:
        variants_of(tmp_path / "v.tsv", store)
    assert told in str(error.value)


def read(path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_command_scores_all_singles_and_draws(tmp_path, capsys):
    fasta, out = tmp_path / "p.fasta", tmp_path / "p.tsv"
    fasta.write_text(">p some protein\nMKTXAYIAKQ\n")
    with pytest.warns(UserWarning, match="1 positions with a residue other than the 20"):
        status = main([str(fasta), "--all-singles", "--out", str(out), "--encoder", "random:1m"])
    assert status == 0
    rows = read(out)
    assert rows[0] == ["protein", "variant", "score"]
    assert len(rows) == 1 + 9 * 19
    lm = load_masked_lm("random:1m")
    table = masked_marginals(lm, "MKTXAYIAKQ")
    by_name = {name: float(score) for _, name, score in rows[1:]}
    expected = table[1, STANDARD_RESIDUES.index("R")] - table[1, STANDARD_RESIDUES.index("K")]
    assert by_name["K2R"] == pytest.approx(expected, abs=1e-5)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "p.tsv.parts").exists()
    assert "120 tokens through the model" in capsys.readouterr().out


def test_command_goes_on_where_it_stopped(tmp_path, monkeypatch):
    fasta, out = tmp_path / "p.fasta", tmp_path / "p.tsv"
    fasta.write_text(">a\nMKTAYIAKQ\n>b\nMKLAYIAKQWW\n")
    arguments = [str(fasta), "--all-singles", "--out", str(out), "--encoder", "random:1m"]
    logits = LcPlmEncoder.logits

    def stop_at_b(self, packed):
        if int(packed.cu_seqlens[1]) == 13:
            raise KeyboardInterrupt
        return logits(self, packed)

    monkeypatch.setattr(LcPlmEncoder, "logits", stop_at_b)
    assert main(arguments) == 130
    assert not out.exists()
    passes = []
    monkeypatch.setattr(
        LcPlmEncoder, "logits", lambda self, p: passes.append(p.num_streams) or logits(self, p)
    )
    assert main(arguments) == 0
    assert sum(passes) == 11
    assert len(read(out)) == 1 + 19 * 20


def test_no_picture_of_an_earlier_run_is_called_drawn(tmp_path, capsys):
    (tmp_path / "p.fasta").write_text(">p\nMKT\n")
    (tmp_path / "v.txt").write_text("K2del\n")
    (tmp_path / "o.png").write_text("of an earlier run")
    command = [str(tmp_path / "p.fasta"), "--variants", str(tmp_path / "v.txt")]
    assert main([*command, "--out", str(tmp_path / "o.tsv"), "--encoder", "random:1m"]) == 0
    assert "drawn" not in capsys.readouterr().out


def test_figures_are_a_folder(tmp_path, capsys):
    (tmp_path / "p.fasta").write_text(">p\nMKT\n")
    command = [str(tmp_path / "p.fasta"), "--all-singles", "--out", str(tmp_path / "o.tsv")]
    assert main([*command, "--figures", command[0]]) == 1
    assert "is a file; name a folder" in capsys.readouterr().err


def test_command_wants_one_of_two(tmp_path, capsys):
    (tmp_path / "p.fasta").write_text(">p\nMKT\n")
    assert main([str(tmp_path / "p.fasta"), "--out", str(tmp_path / "o.tsv")]) == 1
    assert "give either --all-singles or --variants FILE" in capsys.readouterr().err


def test_all_variants_that_are_written_are_announced(lm, tmp_path):
    store = SequenceStore.from_records(["odd"], ["MKTUXBAY"])
    job = VariantJob(lm=lm, proteins=store, variants=None, method="wild-type")
    with pytest.warns(UserWarning, match="3 positions with a residue other than the 20"):
        job.run(tmp_path / "out.tsv", progress=False)
    rows = len((tmp_path / "out.tsv").read_text().splitlines()) - 1
    assert str(job).startswith(f"{rows} variants") and rows == 5 * 19


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("p.Lys2Arg", "K2R"),
        ("p.(Lys2Arg)", "K2R"),
        ("Lys2_Thr3delinsGlyAla", "K2_T3delinsGA"),
        ("p.Lys2=", "K2="),
        ("p.Met1Leu:p.Lys2Arg", "M1L:K2R"),
    ],
)
def test_three_letters_are_one(text, same):
    assert parse_variant(text, "MKTAY").edits == parse_variant(same, "MKTAY").edits


def test_tables_of_geneticists(tmp_path):
    store = SequenceStore.from_records(
        ["sp|P04637|P53_HUMAN", "sp|P0A|OTHER"], ["MKTAY", "MVLSP"], ["GN=TP53", "GN=OTH"]
    )
    table = tmp_path / "v.tsv"
    table.write_text(
        "gene\tHGVSp\tclass\nTP53\tp.Lys2Arg\tx\nP04637\tK2A\tx\nOTH\tp.Val2Leu\tx\n"
        "TP53\tP04637:p.Lys2Glu\tx\n"
    )
    found = variants_of(table, store)
    assert [v.name for v in found[0]] == ["p.Lys2Arg", "K2A", "P04637:p.Lys2Glu"]
    assert [v.name for v in found[1]] == ["p.Val2Leu"]
    (tmp_path / "l.txt").write_text("P04637.2(TP53):p.Lys2Arg\nOTH:p.Val2Leu\n")
    assert {k: len(v) for k, v in variants_of(tmp_path / "l.txt", store).items()} == {0: 1, 1: 1}
    table.write_text("gene\tvariant\nTP53\tP0A:p.Lys2Arg\n")
    with pytest.raises(DataError, match="line 2: variant .* is of another protein than 'TP53'"):
        variants_of(table, store)


def test_variants_that_cannot_be_scored_are_left_out_if_asked(tmp_path):
    store = SequenceStore.from_records(["a"], ["MKTAY"])
    table = tmp_path / "v.txt"
    table.write_text("K2R\nK2*\nT2R\nX9:p.K2R\nK2A\n")
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="3 of 5 variants left out, .*: line 2, .*; line 3, "):
        found = variants_of(table, store, skip_unknown=True)
    assert [v.name for v in found[0]] == ["K2R", "K2A"]
    table.write_text("K2*\n")
    with pytest.raises(DataError, match="none of 1 variants can be scored; line 1"):
        variants_of(table, store, skip_unknown=True)

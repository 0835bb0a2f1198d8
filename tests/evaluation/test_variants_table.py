"""ProteinGym's files, and Spearman beside baselines."""

from __future__ import annotations

import numpy as np
import pytest

from lcplm_graph.errors import DataError
from lcplm_graph.evaluate import main
from lcplm_graph.evaluation.variants import evaluate_variants, read_assays, spearman
from lcplm_graph.models.masked_lm import load_masked_lm
from lcplm_graph.tasks.variants import score_variants

TARGET = "MKTAYIAKQRQISF"


@pytest.fixture
def files(tmp_path):
    reference = tmp_path / "DMS_substitutions.csv"
    reference.write_text(
        "DMS_id,DMS_filename,UniProt_ID,target_seq,MSA_filename\n"
        f"A_one,A_one.csv,A,{TARGET},A.a2m\nB_two,B_two.csv,B,MKT,B.a2m\n"
    )
    (tmp_path / "A_one.csv").write_text(
        "mutant,mutated_sequence,DMS_score,DMS_score_bin\n"
        "K2R,MRTAYIAKQRQISF,1.5,1\nK2W:A4C,MWTCYIAKQRQISF,-2.0,0\nY5F,MKTAFIAKQRQISF,0.3,1\n"
    )
    (tmp_path / "A.a2m").write_text(
        ">A/1-14\nMKTAYIAKQRQISF\n>x\nMRTAFIAKQRQISF\n>y\nMRTA-IAKQRQISF\n"
    )
    return tmp_path


def test_spearman_of_an_assay_and_its_baselines(files):
    assays = read_assays(files / "DMS_substitutions.csv", files, files)
    assert [assay.name for assay in assays] == ["A_one"]
    lm = load_masked_lm("random:1m")
    report = evaluate_variants(assays, lm, "mine", progress=False)
    rows = {row["model"]: row for row in report.rows}
    expected = spearman(score_variants(lm, TARGET, assays[0].variants), np.array([1.5, -2, 0.3]))
    assert rows["mine"]["spearman"] == pytest.approx(expected)
    assert rows["site-independent"]["spearman"] == pytest.approx(1.0)
    assert rows["ESM-2 8M (published)"]["spearman"] == 0.229


def test_measured_scores_keep_their_digits(files):
    (files / "A_one.csv").write_text("mutant,DMS_score\nK2R,1.00000001\nY5F,1.00000002\n")
    (assay,) = read_assays(files / "DMS_substitutions.csv", files)
    assert assay.measured.tolist() == [1.00000001, 1.00000002]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("DMS_score,", "score,", "the column(s) DMS_score are missing"),
        ("K2R", "A2R", "line 2: variant 'A2R' does not match the sequence: position 2 is K"),
        ("0.3", "high", "line 4: DMS_score is not a number"),
        ("Y5F", "Y5del", "line 4: 'Y5del' is not a substitution"),
    ],
)
def test_wrong_tables_get_one_sentence(files, old, new, told):
    path = files / "A_one.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError) as error:
        read_assays(files / "DMS_substitutions.csv", files)
    assert told in str(error.value)


def test_command(files, capsys):
    out = files / "out"
    words = ["variants", str(files), "--reference", str(files / "DMS_substitutions.csv")]
    assert main([*words, "--encoder", "random:1m", "--out", str(out)]) == 0
    assert (out / "results.json").is_file()
    assert "mean Spearman" in capsys.readouterr().out

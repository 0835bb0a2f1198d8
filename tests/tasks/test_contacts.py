"""The categorical Jacobian against brute force, and structures against written coordinates."""

from __future__ import annotations

import bz2
import gzip
import lzma

import numpy as np
import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM

from lcplm_graph.contacts import main
from lcplm_graph.errors import ConfigError, DataError, InputError, LcPlmWarning
from lcplm_graph.evaluation.contacts import chains_of, evaluate_contacts
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.esm2 import Esm2MaskedLM
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.tasks.contacts import (
    categorical_jacobian,
    contact_map,
    interface_map,
    pair_layouts,
    protein_layout,
)
from lcplm_graph.tasks.precision import density, nearness, precision_at
from lcplm_graph.tasks.structures import (
    contacts_between,
    is_structure,
    read_chain,
    read_chains,
)
from lcplm_graph.tokens.vocabulary import STANDARD_RESIDUES, encode_protein

SEQUENCE = "MKTAYIAKQ"


@pytest.fixture(scope="module")
def lm() -> LcPlmEncoder:
    torch.manual_seed(0)
    return LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=32, n_layer=2)).eval(), "tiny").eval()


def logits_of(lm: LcPlmEncoder, text: str) -> np.ndarray:
    with torch.no_grad():
        return lm.model(torch.from_numpy(encode_protein(text))[None]).logits[0, :, 4:24].numpy()


def by_hand(lm: LcPlmEncoder, jacobian: np.ndarray) -> np.ndarray:
    """Centre, symmetrise, norm and APC, written out with loops."""
    for axis in range(4):
        jacobian = jacobian - jacobian.mean(axis, keepdims=True)
    n = len(jacobian)
    scores = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                scores[i, j] = np.linalg.norm((jacobian[i, :, j] + jacobian[j, :, i].T) / 2)
    total = scores.sum()
    return np.array(
        [
            [
                0 if i == j else scores[i, j] - scores[i].sum() * scores[:, j].sum() / total
                for j in range(n)
            ]
            for i in range(n)
        ]
    )


@pytest.mark.parametrize("max_tokens", [1, 50, 4096])
def test_jacobian_and_map_are_those_of_brute_force(lm, max_tokens):
    plain = logits_of(lm, SEQUENCE)[1:-1]
    expected = np.empty((9, 20, 9, 20))
    for i in range(9):
        for a, letter in enumerate(STANDARD_RESIDUES):
            changed = SEQUENCE[:i] + letter + SEQUENCE[i + 1 :]
            expected[i, a] = logits_of(lm, changed)[1:-1] - plain
    layout = protein_layout(lm, SEQUENCE)
    found = categorical_jacobian(lm, layout, max_tokens=max_tokens)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.nbytes == layout.memory
    scores = contact_map(lm, SEQUENCE, max_tokens=max_tokens)
    np.testing.assert_allclose(scores, by_hand(lm, expected), atol=1e-4)


def test_between_two_proteins_the_walk_is_changed_on_either_side(lm):
    a, b = "MKTA", "GWS"
    text = "[BON]{}[EON][EDGE][BON]{}[EON]"
    plain = logits_of(lm, text.format(a, b))
    there, back = pair_layouts(lm, a, b)
    jacobian = categorical_jacobian(lm, there)
    changed = logits_of(lm, text.format("MWTA", b)) - plain
    w = STANDARD_RESIDUES.index("W")
    np.testing.assert_allclose(jacobian[1, w], changed[9:12], atol=1e-5)
    changed = logits_of(lm, text.format(a, "GWW")) - plain
    np.testing.assert_allclose(categorical_jacobian(lm, back)[2, w], changed[2:6], atol=1e-5)
    scores = interface_map(lm, a, b)
    assert scores.shape == (4, 3)
    np.testing.assert_allclose(scores.sum(0), 0, atol=1e-4)


def test_esm2_has_contacts_of_one_protein_but_no_edge_marker():
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, pad_token_id=1, mask_token_id=32,
        position_embedding_type="rotary",
    )  # fmt: skip
    esm = Esm2MaskedLM(EsmForMaskedLM(config).eval(), "esm2:tiny").eval()
    assert contact_map(esm, SEQUENCE).shape == (9, 9)
    with pytest.raises(ConfigError, match=r"knows no \[EDGE\] marker"):
        interface_map(esm, "MKT", "GWS")


def test_precision_counts_ties_as_chance_and_leaves_unknown_pairs_out():
    known = np.zeros((30, 30), np.float32)
    known[0, 25] = known[1, 26] = 1
    scores = np.zeros((30, 30))
    assert density(known) == pytest.approx(2 / 21)
    assert precision_at(scores, known, 3) == pytest.approx(2 / 21)
    scores[0, 25] = 1
    assert precision_at(scores, known, 1) == 1
    known[0, 25] = np.nan
    assert precision_at(scores, known, 20) == pytest.approx(1 / 20)
    assert precision_at(nearness(30), np.eye(30, k=24, dtype=np.float32), 6) == 1


def pdb(chain: str, residues: list[tuple[str, int]], shift: float = 0.0) -> str:
    lines = []
    for name, number in residues:
        for atom, y in (("CA", 0.0), ("CB", 1.5)):
            if atom == "CB" and name == "GLY":
                continue
            x = 3.8 * (number % 20)
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {atom:3s} {name} {chain}{number:4d}    "
                f"{x:8.3f}{y:8.3f}{shift:8.3f}  1.00  0.00           C  "
            )
    return "\n".join([*lines, "TER", ""])


@pytest.fixture
def structure(tmp_path):
    pytest.importorskip("biotite")
    names = ["MET", "LYS", "THR", "GLY", "ALA", "TRP", "MSE", "LEU"]
    kept = [(n, i) for i, n in enumerate(names, 1) if i not in (5, 6)]
    path = tmp_path / "two.pdb"
    path.write_text(pdb("A", kept) + pdb("B", [("GLY", 1), ("SER", 2)], shift=20) + "END\n")
    return path


def test_chains_keep_the_place_of_what_was_not_resolved(structure):
    first, second = read_chains(structure)
    assert (first.sequence, second.sequence) == ("MKTGXXML", "GS")
    known = contacts_between(first.points, first.points)
    assert known[0, 1] == 1
    assert known[0, 3] == 0
    assert np.isnan(known[0, 4])
    assert np.nanmax(contacts_between(first.points, second.points)) == 0


def test_breaks_of_unknown_length_are_counted(tmp_path):
    pytest.importorskip("biotite")
    path = tmp_path / "broken.pdb"
    # Of these two breaks the numbers tell of 300 residues, and of none.
    first, second = [("MET", 1), ("LYS", 2)], [("THR", 310), ("SER", 311)]
    third = pdb("A", [("TRP", 312)], shift=50)
    path.write_text(pdb("A", [*first, *second]) + third + "END\n")
    with pytest.warns(LcPlmWarning, match=r"chain A has 2 break\(s\) of which"):
        (found,) = read_chains(path)
    assert found.sequence == "MKTSW"


def test_a_chain_may_have_no_name(tmp_path):
    pytest.importorskip("biotite")
    path = tmp_path / "old.pdb"
    path.write_text(pdb(" ", [("MET", 1), ("LYS", 2)]) + "END\n")
    assert read_chain(path, " ").sequence == "MK"
    with pytest.raises(DataError, match="there are one without a name"):
        read_chain(path, "A")


def test_free_amino_acids_are_no_residues_of_the_chain(tmp_path):
    pytest.importorskip("biotite")
    chain = pdb("A", [("MET", 1), ("MSE", 2), ("GLY", 3)]).replace("MSE", "SEP")
    modified = chain.replace("ATOM  ", "HETATM")
    ligand = pdb("A", [("GLU", 130)], shift=30).replace("ATOM  ", "HETATM")
    path = tmp_path / "ligand.pdb"
    # The chain's own modified residues are HETATM, too.
    path.write_text(modified + ligand + "END\n")
    (found,) = read_chains(path)
    assert found.sequence == "MSG"
    path.write_text(ligand + "END\n")
    with pytest.raises(DataError, match="no protein chain"):
        read_chains(path)


def test_of_alternate_locations_the_most_occupied_counts(tmp_path):
    pytest.importorskip("biotite")
    lines = pdb("A", [("MET", 1), ("GLY", 2)]).splitlines()
    seldom, usual = (
        lines[1].replace("CB  MET", f"CB {name}MET").replace("  1.00", occupancy).replace("1.5", y)
        for name, occupancy, y in (("A", "  0.20", "9.5"), ("B", "  0.80", "1.5"))
    )
    path = tmp_path / "two.pdb"
    path.write_text("\n".join([lines[0], seldom, usual, *lines[2:], "END", ""]))
    (found,) = read_chains(path)
    assert found.points[0, 1] == 1.5


def test_files_of_one_name_are_all_read(tmp_path):
    for number, name in enumerate(("ALA", "GLY", "SER")):
        folder = tmp_path / f"target{number}"
        folder.mkdir()
        (folder / "ranked_0.pdb").write_text(pdb("A", [(name, i) for i in range(1, 42)]))
    found = chains_of(tmp_path)
    assert [chain.sequence[0] for chain in found.values()] == ["A", "G", "S"]
    assert list(found) == [
        "ranked_0_A",
        "target1/ranked_0.pdb_A",
        "target2/ranked_0.pdb_A",
    ]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_structures_are_unpacked_whatever_they_are_compressed_by(pack, structure, tmp_path):
    suffix = {gzip.compress: ".gz", bz2.compress: ".BZ2", lzma.compress: ".xz"}[pack]
    (tmp_path / f"s.pdb{suffix}").write_bytes(pack(structure.read_bytes()))
    assert [c.sequence for c in read_chains(tmp_path / f"s.pdb{suffix}")] == [
        c.sequence for c in read_chains(structure)
    ]
    assert is_structure(tmp_path / f"s.bcif{suffix}")
    (tmp_path / f"cut.pdb{suffix}").write_bytes(pack(structure.read_bytes())[:-20])
    with pytest.raises(DataError, match="archive is truncated or damaged; fetch it again"):
        read_chains(tmp_path / f"cut.pdb{suffix}")
    (tmp_path / f"cut.bcif{suffix}").write_bytes(pack(b"\0" * 9999)[:-20])
    with pytest.raises(DataError, match="archive is truncated or damaged; fetch it again"):
        read_chains(tmp_path / f"cut.bcif{suffix}")


def test_wrong_structures_get_one_sentence(structure, tmp_path):
    with pytest.raises(DataError, match=r"no protein chain 'C'; there are A, B"):
        read_chain(structure, "C")
    with pytest.raises(DataError, match="no such file"):
        read_chains(tmp_path / "none.pdb")
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(DataError, match=r"structures are read from \.pdb"):
        read_chains(tmp_path / "x.txt")
    (tmp_path / "x.cif").write_text("no cif at all")
    with pytest.raises(DataError, match="not readable as a structure"):
        read_chains(tmp_path / "x.cif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there is no \.pdb"):
        chains_of(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder; give the folder that the structures"):
        chains_of(tmp_path / "none")
    with pytest.raises(DataError, match="this is a file; give the folder"):
        chains_of(structure)
    for least, most in ((0, None), (40, 0), (40, 39)):
        with pytest.raises(ConfigError, match="give a least number from 1"):
            chains_of(tmp_path / "empty", least, most)


def test_commands_write_table_and_map(structure, tmp_path, capsys):
    out = tmp_path / "c.tsv"
    options = ["--out", str(out), "--encoder", "random:1m", "--least-separation", "3"]
    assert main(["--structure", str(structure), *options]) == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert rows[0] == ["position1", "residue1", "position2", "residue2", "score", "contact"]
    assert len(rows) == 1 + 15
    assert {row[5] for row in rows[1:]} == {"0", ""}
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "MB for the Jacobian" in capsys.readouterr().out
    fasta = tmp_path / "two.fasta"
    fasta.write_text(">a\nMKT\n>b\nGW\n")
    assert main([str(fasta), *options[:-2]]) == 0
    assert len(out.read_text().splitlines()) == 1 + 6
    assert main([str(fasta), "--structure", str(structure), *options]) == 1
    assert "the sequence is not that of chain A" in capsys.readouterr().err


def test_a_separation_that_means_nothing_is_refused(tmp_path, capsys):
    two, short = tmp_path / "two.fasta", tmp_path / "short.fasta"
    two.write_text(">a\nMKT\n>b\nGW\n")
    short.write_text(">a\nMKTAYI\n")
    out = ["--out", str(tmp_path / "c.tsv")]
    assert main([str(two), "--least-separation", "3", *out]) == 1
    assert "means nothing between two" in capsys.readouterr().err
    assert main([str(short), *out]) == 1
    assert "no two of 6 residues are 6 apart" in capsys.readouterr().err


def test_a_jacobian_that_fits_into_no_memory_is_one_sentence(lm):
    with pytest.raises(InputError, match=r"takes 16,000,003 GB, which this machine has not free"):
        contact_map(lm, "A" * 3_162_278)


def test_evaluation_has_the_baselines(structure, lm):
    chains = {"two_A": read_chain(structure)._replace(sequence="MKTGAWML" * 4)}
    points = np.cumsum(np.random.default_rng(0).normal(size=(32, 3)) * 1.5, 0).astype(np.float32)
    chains = {name: chain._replace(points=points) for name, chain in chains.items()}
    report = evaluate_contacts(chains, {"tiny": lm}, progress=False, resamples=10)
    long = {row["model"]: row for row in report.rows if row["range"] == "long"}
    assert list(long) == ["chance", "nearness along the chain", "tiny"]
    known = contacts_between(points, points)
    assert long["chance"]["pl"] == pytest.approx(density(known))
    scores = contact_map(lm, "MKTGAWML" * 4)
    assert long["tiny"]["pl"] == pytest.approx(precision_at(scores, known, 32))

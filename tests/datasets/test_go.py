"""`GOFunction`: labels, masks, time splits, and the real benchmarks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from cases.dataset import ProteinDatasetCase

from lcplm_graph import StringPPI
from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.memory import from_dataframe
from lcplm_graph.errors import ConfigError, DataError, LcPlmWarning
from lcplm_graph.files.catalog import load_card
from lcplm_graph.go import labels as go_labels
from lcplm_graph.go.annotations import EXPERIMENTAL
from lcplm_graph.go.ontology import Ontology
from lcplm_graph.io import forget_warnings
from lcplm_graph.splits.parts import PARTS, random_parts

ROOT, BINDING, PROTEIN, KINASE, ION = (f"GO:{n:07d}" for n in (3674, 5488, 5515, 19900, 43167))
PROCESS, GROWTH = "GO:0008150", "GO:0040007"


def obo_of(parents):
    text = "format-version: 1.2\nontology: go\n"
    for term, (namespace, above) in parents.items():
        text += f"\n[Term]\nid: {term}\nname: {term}\nnamespace: {namespace}\n"
        text += "".join(f"is_a: {parent}\n" for parent in above)
    return text


@pytest.fixture
def files(tmp_path):
    mf, bp = "molecular_function", "biological_process"
    terms = {
        ROOT: (mf, []),
        BINDING: (mf, [ROOT]),
        PROTEIN: (mf, [BINDING]),
        KINASE: (mf, [PROTEIN]),
        ION: (mf, [BINDING]),
        PROCESS: (bp, []),
        GROWTH: (bp, [PROCESS]),
    }
    (tmp_path / "go.obo").write_text(obo_of(terms))
    rows = [
        ("A", KINASE, "IDA", "MF", 20100101),
        ("B", PROTEIN, "IDA", "MF", 20100101),
        ("C", ION, "EXP", "MF", 20100101),
        ("C", KINASE, "IEA", "MF", 20100101),
        ("D", ION, "IMP", "MF", 20200101),
        ("E", ION, "IMP", "MF", 20200101),
        ("E", GROWTH, "IMP", "BP", 20100101),
        ("A", ION, "IMP", "MF", 20200101),
        ("Z", ION, "IMP", "MF", 20100101),
        ("D", "GO:9999999", "IMP", "MF", 20100101),
    ]
    frame = pd.DataFrame(rows, columns=["protein", "go_id", "evidence", "aspect", "date"])
    frame.to_csv(tmp_path / "labels.tsv", sep="\t", index=False)
    sequences = {"A": "MA", "B": "MC", "C": "MD", "D": "ME", "E": "MF", "F": "MG"}
    fasta = "".join(f">{name}\n{text}\n" for name, text in sequences.items())
    (tmp_path / "all.fasta").write_text(fasta)
    return {
        "annotations": tmp_path / "labels.tsv",
        "ontology": tmp_path / "go.obo",
        "sequences": tmp_path / "all.fasta",
        "root": tmp_path / "root",
        "min_proteins": 1,
    }


class TestGoFunction(ProteinDatasetCase):
    @pytest.fixture
    def dataset(self, files):
        return GOFunction(**files, valid=0, test=0)


def labels_of(dataset):
    data = dataset[0]
    names = np.array(data.go_terms, dtype=object)
    rows = zip(data.protein_id, data.y.numpy(), strict=True)
    return {name: set(names[row]) for name, row in rows}


def test_labels_are_propagated_without_root_and_protein_binding(files):
    dataset = GOFunction(**files, valid=0, test=0)
    assert labels_of(dataset) == {
        "A": {BINDING, KINASE, ION},
        "B": set(),
        "C": {BINDING, ION},
        "D": {BINDING, ION},
        "E": {BINDING, ION},
    }
    data = dataset[0]
    assert data.y.dtype == torch.bool
    assert dataset.sequences.ids == data.protein_id
    assert dataset.report["excluded_terms"] == 1
    assert dataset.report["terms_unknown"] == 1
    assert dataset.report["other_proteins"] == 1
    assert dataset.report["other_evidence"] == 1
    # The parent of the kinase column is the excluded term, so its own parent stands in.
    place = {term: i for i, term in enumerate(data.go_terms)}
    assert {tuple(edge) for edge in data.go_parents.T.tolist()} == {
        (place[KINASE], place[BINDING]),
        (place[ION], place[BINDING]),
    }
    assert not data.train_mask[data.protein_id.index("B")]


def test_names_of_another_database_join_through_the_aliases_of_string(tmp_path):
    graph = StringPPI("string_human_core")
    card = load_card("string_human_core")
    proteins = pd.read_csv(card.file("info").path, sep="\t")
    named = pd.read_csv(card.file("annotations").path, sep="\t")
    named["protein"] = named["protein"].map(proteins.set_index("protein")["uniprot"])
    extra = pd.DataFrame([["NOBODY", KINASE, "IDA", "MF"]], columns=named.columns)
    path = tmp_path / "uniprot.tsv"
    pd.concat([named, extra]).to_csv(path, sep="\t", index=False)
    ontology = card.file("ontology").path
    joined = GOFunction(annotations=path, ontology=ontology, graph=graph, root=tmp_path)
    direct = GOFunction("string_human_core", root=tmp_path)
    assert joined.report["names_translated"] == named["protein"].nunique()
    assert joined.report["other_proteins"] == 1
    assert joined[0].protein_id == graph[0].protein_id
    # Proteins of one accession share their annotations, so a few have more than of their own.
    shared = proteins["uniprot"].duplicated(keep=False).to_numpy()
    assert joined.report["names_of_several_proteins"] == proteins["uniprot"][shared].nunique()
    terms = [joined[0].go_terms.index(term) for term in direct[0].go_terms]
    y = joined[0].y[:, terms]
    assert torch.equal(y[~shared], direct[0].y[~shared])
    assert (y >= direct[0].y).all()


def test_cached_and_reproducible(files):
    first = GOFunction(**files, valid=0.25, test=0.25, seed=3)
    again = GOFunction(**files, valid=0.25, test=0.25, seed=3)
    assert first.processed_dir == again.processed_dir
    assert torch.equal(first[0].y, again[0].y)
    masks = torch.stack([again[0][f"{part}_mask"] for part in ("train", "val", "test")])
    assert masks.sum(dim=0).max() == 1
    assert masks.sum(dim=1).tolist() == [2, 1, 1]
    assert GOFunction(**files, seed=4).processed_dir != first.processed_dir


def test_equal_sequences_stay_in_one_part():
    groups = np.repeat(np.arange(50), 4)
    drawn = random_parts(np.ones(200, dtype=bool), groups, 0.2, 0.2, seed=1)
    masks = [drawn == part for part in PARTS]
    assert [int(mask.sum()) for mask in masks] == [120, 40, 40]
    for mask in masks:
        assert set(np.bincount(groups[mask], minlength=50)) <= {0, 4}


def test_min_proteins_counts_training_only(files):
    dataset = GOFunction(**files | {"min_proteins": 2}, valid=0, test=0)
    assert set(dataset[0].go_terms) == {BINDING, ION}
    with pytest.raises(DataError, match="no term of MF has 9 training proteins"):
        GOFunction(**files | {"min_proteins": 9})
    # Nothing half: only the lock of the failed build is there.
    left = [path.name for path in (files["root"] / "processed").rglob("*") if path.is_file()]
    assert left.count("data.pt") == 1


def test_time_split_by_date(files):
    dataset = GOFunction(**files, temporal=(20150101, 20250101), valid=0)
    data = dataset[0]
    names = np.array(data.protein_id)
    assert set(names[data.train_mask]) == {"A", "C"}
    assert set(names[data.test_mask]) == {"D", "E"}
    assert set(names[data.no_knowledge_mask]) == {"D"}
    assert set(names[data.limited_knowledge_mask]) == {"E"}
    assert set(names[data.partial_knowledge_mask]) == {"A"}
    # A is in training, so the label that it gained later must not be visible there.
    assert labels_of(dataset)["A"] == {BINDING, KINASE}
    gains = dict(zip(names[data.gain_index].tolist(), data.y_gain, strict=True))
    terms = np.array(data.go_terms, dtype=object)
    assert set(terms[gains["A"].numpy()]) == {ION}


def test_two_files_give_the_same_time_split(files, tmp_path):
    frame = pd.read_csv(files["annotations"], sep="\t")
    old, new = tmp_path / "old.tsv", tmp_path / "new.tsv"
    frame[frame["date"] < 20150101].to_csv(old, sep="\t", index=False)
    frame.to_csv(new, sep="\t", index=False)
    by_date = GOFunction(**files, temporal=(20150101, 20250101), valid=0)[0]
    by_file = GOFunction(**files | {"annotations": old}, later_annotations=new, valid=0)[0]
    for key in by_date.to_dict():
        same = by_date[key] == by_file[key]
        assert same.all() if isinstance(same, torch.Tensor) else same, key


def test_graph_gives_nodes_and_edges(files):
    edges = pd.DataFrame({"protein1": ["F", "C"], "protein2": ["A", "F"]})
    graph = from_dataframe(edges, {"F": "MG", "C": "MD", "A": "MA"})
    files.pop("sequences")
    dataset = GOFunction(**files, graph=graph, valid=0, test=0)
    assert dataset[0].protein_id == ["F", "C", "A"]
    assert torch.equal(dataset[0].edge_index, graph[0].edge_index)
    assert not dataset[0].y[0].any()
    assert dataset.sequences[2] == "MA"


def test_options_that_do_not_fit(files):
    with pytest.raises(ConfigError, match="both"):
        GOFunction(annotations=files["annotations"])
    with pytest.raises(ConfigError, match="rising dates"):
        GOFunction(**files, temporal=(20250101, 20150101))
    with pytest.raises(ConfigError, match="give one"):
        GOFunction(**files, temporal=(20100101, 20150101), later_annotations="x")
    with pytest.raises(ConfigError, match="nothing to train"):
        GOFunction(**files, valid=0.5, test=0.5)


@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
def test_all_aspects_at_once(benchmarks, tmp_path):
    dataset = GOFunction(
        annotations=benchmarks.file("string_shs27k/go_annotations.tsv"),
        ontology=benchmarks.file("string_shs27k/go.obo"),
        sequences=benchmarks.file("string_shs27k/proteins.fasta"),
        aspect=("MF", "BP", "CC"),
        min_proteins=10 if benchmarks.whole else 1,
        **({} if benchmarks.whole else {"valid": 0, "test": 0}),
        root=tmp_path,
    )
    assert set(dataset[0].go_aspect) == {"MF", "BP", "CC"}
    child, parent = dataset[0].go_parents
    y = dataset[0].y
    assert (y[:, parent] >= y[:, child]).all()
    if not benchmarks.whole:
        labels = {name.removeprefix("9606."): terms for name, terms in labels_of(dataset).items()}
        assert labels == {
            "ENSP01": {"GO:0000101", "GO:0005488", "GO:0000202", "GO:0000201"},
            "ENSP02": {"GO:0005488", "GO:0000302", "GO:0000301"},
            "ENSP03": {"GO:0000301"},
            "ENSP04": {"GO:0000102", "GO:0000201"},
        }


def test_gains_equal_the_published_ones(benchmarks):
    """The gains 2014 -> 2022 by our matrices are those of the benchmark's own file."""

    def file(name):
        return benchmarks.file(f"go_temporal/{name}")

    ontology = Ontology.from_obo(file("go_2022.obo"))
    old = go_labels.read_all(file(f"go2014_{part}.tsv") for part in ("mf", "bp", "cc"))
    new = go_labels.read_all([file("human_exp_2022.tsv")]).select(EXPERIMENTAL | {"IPI"})
    proteins = pd.Index(sorted(new.table["protein"].unique()))
    before, _ = go_labels.label_matrix(old, ontology, proteins)
    later, _ = go_labels.label_matrix(new, ontology, proteins)
    published = pd.read_csv(file("human_gain_2014_2022.tsv"), sep="\t")
    for aspect in ("MF", "BP", "CC"):
        part = published[published["aspect"] == aspect].set_index("protein")
        found = go_labels.gain(before, later, ontology.in_aspect(aspect))
        names = proteins[go_labels.has_any(found.gained)]
        assert sorted(names) == sorted(part.index)
        new_here = part.index[part["kind"] == "none_in_aspect"]
        assert sorted(proteins[found.none | found.limited]) == sorted(new_here)
        for name in names[:: 97 if benchmarks.whole else 1]:
            row = found.gained[[proteins.get_loc(name)]].indices
            assert {ontology.terms[i] for i in row} == set(part.at[name, "new_terms"].split(","))


def time_split(benchmarks, root, **options):
    parts = ("mf", "bp", "cc")
    with pytest.warns(LcPlmWarning, match="without evidence codes"):
        return GOFunction(
            annotations=[benchmarks.file(f"go_temporal/go2014_{part}.tsv") for part in parts],
            later_annotations=benchmarks.file("go_temporal/human_exp_2022.tsv"),
            ontology=benchmarks.file("go_temporal/go_2022.obo"),
            sequences=benchmarks.file("swissprot_go_2014_rep50.fasta"),
            root=root,
            **options,
        )


def test_time_split_of_two_files(stand_ins, tmp_path):
    forget_warnings()
    dataset = time_split(stand_ins, tmp_path, valid=0, min_proteins=1)
    data = dataset[0]
    names = np.array(data.protein_id)
    assert names.tolist() == ["HUM001", "HUM002", "HUM003", "HUM004", "HUM005", "MOU001"]
    masks = ("train_mask", "test_mask", "no_knowledge_mask", "limited_knowledge_mask")
    assert [names[data[mask]].tolist() for mask in (*masks, "partial_knowledge_mask")] == [
        ["HUM001", "MOU001"], ["HUM003", "HUM005"], ["HUM005"], ["HUM003"], ["HUM001"],
    ]  # fmt: skip
    assert labels_of(dataset) == {
        "HUM001": {"GO:0000101", "GO:0005488"},
        "HUM002": set(),
        "HUM003": {"GO:0000101", "GO:0005488"},
        "HUM004": set(),
        "HUM005": {"GO:0000102", "GO:0000103"},
        "MOU001": {"GO:0000102", "GO:0000103"},
    }


@pytest.mark.slow
def test_time_split_of_the_whole_benchmark(whole_benchmarks, tmp_path):
    data = time_split(whole_benchmarks, tmp_path)[0]
    assert data.num_nodes == 129_078
    assert int(data.test_mask.sum()) == int(
        (data.no_knowledge_mask | data.limited_knowledge_mask).sum()
    )


def test_the_embedded_graph(tmp_path):
    dataset = GOFunction("string_human_core", root=tmp_path, valid=0.1, test=0.2)
    data = dataset[0]
    assert data.num_nodes == len(dataset.sequences) == 7728
    assert data.edge_index.shape[1] == 2 * 35985
    # The card counts 4,660 proteins in MF; the label "molecular_function" alone does not count.
    shared = sum(int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test"))
    assert 4640 <= shared <= 4660
    assert "GO:0005515" not in data.go_terms
    assert "GO:0003674" not in data.go_terms
    child, parent = data.go_parents
    assert (data.y[:, parent] >= data.y[:, child]).all()
    support = data.y[data.train_mask].sum(dim=0)
    assert int(support.min()) >= 10
    digests = dataset.sequences.digests()
    held_out = (data.val_mask | data.test_mask).numpy()
    assert not set(digests[held_out]) & set(digests[data.train_mask.numpy()])

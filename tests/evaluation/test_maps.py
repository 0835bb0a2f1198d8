"""Maps of embeddings: colours that do not repeat, labels of tables and of what ships, a page."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest

from lcplm_graph import StringPPI
from lcplm_graph import map as map_command
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.evaluation.link_task import with_symbols
from lcplm_graph.evaluation.map_labels import read_labels, shipped_labels
from lcplm_graph.evaluation.maps import EmbeddingMap
from lcplm_graph.figures import COLOURS, shades


def features(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 5))


def test_the_most_frequent_labels_have_a_colour_of_their_own() -> None:
    labels = [f"family {i}" for i in range(10) for _ in range(12 - i)] + [None] * 5
    made = EmbeddingMap.of(features(len(labels)), labels, "toy")
    assert made.names == [f"family {i}" for i in range(len(COLOURS))]
    *named, rest = made.legend()
    assert len({row[2] for row in made.legend()}) == len(COLOURS) + 1
    assert [row[3] for row in named] == [12, 11, 10, 9, 8, 7, 6]
    assert rest[0] == -1 and rest[3] == 5 + 4 + 3 + 5
    assert re.fullmatch(r"PCA 1 \(\d+% of the variance\)", made.axes[0])


def test_of_several_labels_one_counts_that_tells_of_most_others() -> None:
    labels = [{"common", "a"}, {"common"}, {"a"}, {"common", "b"}, ()]
    made = EmbeddingMap.of(features(5), labels, "toy")
    assert made.names == ["common", "a"]
    assert made.group.tolist() == [0, 0, 1, 0, -1]


def test_steps_of_a_scale_keep_their_order() -> None:
    labels = ["many"] * 3 + ["few"] * 2 + ["none"] + [None]
    made = EmbeddingMap.of(features(7), labels, "toy", order=["none", "few", "some", "many"])
    assert made.names == ["none", "few", "many"]
    assert made.group.tolist() == [2, 2, 2, 1, 1, 0, -1]
    assert [row[2] for row in made.legend()] == [*shades(3), "#bbbbbb"]


def test_a_map_without_labels_is_not_pale(tmp_path) -> None:
    made = EmbeddingMap.of(features(40), [None] * 40, "toy")
    made.draw(tmp_path / "m.svg")
    assert COLOURS[0].lower() in (tmp_path / "m.svg").read_text()
    assert made.legend() == [(-1, "all proteins", COLOURS[0], 40)]
    EmbeddingMap.of(features(3), ["a", None, None], "toy").draw(tmp_path / "n.svg")
    assert "#bbbbbb" in (tmp_path / "n.svg").read_text()


def test_two_proteins_are_no_map() -> None:
    with pytest.raises(InputError, match="three proteins or more, not 2"):
        EmbeddingMap.of(features(2), [None, None], "toy")
    with pytest.raises(InputError, match=r"two features or more a protein, not shape \(5, 1\)"):
        EmbeddingMap.of(features(5)[:, :1], [None] * 5, "toy")


@pytest.mark.filterwarnings("error")
def test_equal_embeddings_are_drawn_without_a_warning(tmp_path, recwarn) -> None:
    EmbeddingMap.of(np.ones((4, 3)), [None] * 4, "t").draw(tmp_path / "map.png")
    assert not [one for one in recwarn if one.category is UserWarning]


def test_equal_embeddings_have_no_variance_to_share() -> None:
    made = EmbeddingMap.of(np.ones((4, 3)), [None] * 4, "t")
    assert made.share == (0, 0)
    assert not made.place.any()


def test_the_page_is_whole_and_takes_nothing_for_markup(tmp_path) -> None:
    ids = ["</script><b>x", "b", 'c"&', "d"]
    made = EmbeddingMap.of(features(4), ["one", "one", "<i>", None], "A & <B>", ids)
    text = made.write_page(tmp_path / "m.html").read_text(encoding="utf-8")
    assert "https:" not in text and "http:" not in text and " src=" not in text
    assert "<title>A &amp; &lt;B&gt;</title>" in text
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text, flags=re.S)[0])
    assert data["ids"] == ids and data["group"] == [0, 0, 1, -1]
    assert data["x"] == pytest.approx(made.place[:, 0], rel=1e-3)
    assert [row[1:] for row in data["legend"]] == [
        ["one", COLOURS[0], 2], ["<i>", COLOURS[1], 1], ["other or none", "#bbbbbb", 1],
    ]  # fmt: skip


def test_a_map_of_a_graph_names_genes() -> None:
    names = with_symbols(StringPPI("string_human_core"))
    assert "TP53 (9606.ENSP00000269305)" in names
    assert len(set(names)) == 7728


def test_a_table_of_labels(tmp_path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("Entry\tPfam\nP04637\tPF00870;PF07710;\nP04637\tPF08563\nQ00987\t\n")
    found = read_labels(table, ["sp|P04637|P53_HUMAN", "Q00987", "other"])
    assert found.labels == [{"PF00870", "PF07710", "PF08563"}, set(), set()]
    assert found.note.endswith("labels of 1 of 3 proteins; 1 lines name other proteins or none")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\tx\nb\n", "line 2: a line is a protein's id and its label with a tab between"),
        ("x\ty\n", "no line gives a label to a protein of the map; ids are 'x' here, 'a' there"),
    ],
)
def test_a_table_that_says_nothing_is_refused(tmp_path, content, said) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text(content)
    with pytest.raises(DataError) as caught:
        read_labels(table, ["a", "b"])
    assert said in str(caught.value)


def test_labels_that_ship_are_found_by_any_name() -> None:
    families = shipped_labels("pfam", ["TP53", "P04637", "nobody"])
    assert families.labels[0] == families.labels[1] >= {"PF00870"}
    assert families.labels[2] == set() and families.texts[2] == ""
    assert families.texts[1].startswith("TP53: PF00870")
    with pytest.raises(DataError, match="give a table of labels instead"):
        shipped_labels("pfam", ["nobody"])


def test_terms_that_ship_are_closed_upwards_and_tell() -> None:
    names = ["TP53", "MDM2", "EGFR", "RHO", "CDK1", "CDK2", "HBB"]
    found = shipped_labels("MF", names)
    by_name = dict(zip(names, found.labels, strict=True))
    # Of seven proteins more than two share it, so that it would not tell; its child does.
    assert not any("molecular_function" in own or "binding" in own for own in found.labels)
    assert "G protein-coupled receptor activity" in by_name["RHO"]
    assert "photoreceptor activity" in found.texts[3]
    assert "protein binding" not in by_name["TP53"]


def test_the_command_writes_picture_and_page(tmp_path, capsys) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, row in zip("abcd", features(4), strict=True):
            file[name] = row
    (tmp_path / "l.tsv").write_text("a\tone\nb\ttwo\nc\tone\n")
    words = [str(tmp_path / "x.h5"), "--labels", str(tmp_path / "l.tsv")]
    assert map_command.main([*words, "--out", str(tmp_path / "map.pdf")]) == 1
    assert not (tmp_path / "map.pdf").exists()
    assert map_command.main([*words, "--out", str(tmp_path / "map.png")]) == 0
    said = capsys.readouterr().out
    assert "labels of 3 of 4 proteins" in said and "2  one" in said
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert "x, by l" in (tmp_path / "map.html").read_text()

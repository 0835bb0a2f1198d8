"""The look of figures: one model, one look, and a plot that is drawn whole."""

from __future__ import annotations

import itertools

import matplotlib.image

from lcplm_graph.figures import draw_forest, label_ends, look, new_figure, panels

MODELS = (
    "degree", "common neighbours", "Adamic", "composition", "composition + dipeptides",
    "random:1m (untrained)", "lcplm-1m", "lcplm-g-2m",
)  # fmt: skip


def test_no_two_kinds_of_features_share_a_colour() -> None:
    assert len({look(model)["color"] for model in MODELS}) == len(MODELS)


def test_colour_says_features_and_marker_says_method() -> None:
    plain, gnn, link = (look(f"lcplm-1m{more}") for more in ("", " + GraphSAGE", ", link model"))
    assert plain["color"] == gnn["color"] == link["color"]
    assert len({plain["marker"], gnn["marker"], link["marker"]}) == 3


def test_forest_is_drawn_whole(tmp_path) -> None:
    parts = {"C1": {m: 0.5 + 0.05 * i for i, m in enumerate(MODELS)}, "C3": {MODELS[0]: 0.5}}
    draw_forest(tmp_path / "forest.png", parts, "AUROC", "toy", chance=0.5)
    picture = matplotlib.image.imread(tmp_path / "forest.png")
    assert picture.shape[1] > 500
    assert picture[..., :3].min() < 0.2


def test_labels_at_line_ends_keep_their_order_and_a_distance() -> None:
    axis = panels(new_figure(4, 3), 1, 1)[0, 0]
    heights = [0.0, 0.01, 0.02, 0.5, 1.0]
    for height in heights:
        axis.plot([0, 1], [0.3, height], label=str(height))
    axis.plot([0, 1], [0.3, 0.4], label="_unnamed")
    label_ends(axis, gap=0.1)
    places = [text.xy[1] for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == [str(height) for height in heights]
    assert all(b - a > 0.0999 for a, b in itertools.pairwise(places))
    assert places[0] > 0
    assert [t.get_color() for t in axis.texts] == [x.get_color() for x in axis.get_lines()[:-1]]


def test_one_encoder_before_and_after_stage_2_looks_different() -> None:
    names = ("encoder LC-PLM", "encoder LC-PLM-G", "link model (LC-PLM-G in walks)", "degree")
    before, after, link, degree = (look(name)["color"] for name in names)
    assert after == link and len({before, after, degree}) == 3

"""The look of figures: one model, one look, and a plot that is drawn whole."""

from __future__ import annotations

import matplotlib.image

from lcplm_graph.figures import draw_forest, look

MODELS = (
    "degree", "common neighbours", "Adamic", "composition", "composition + dipeptides",
    "random:1m (untrained)", "lcplm-1m", "lcplm-g-1m",
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

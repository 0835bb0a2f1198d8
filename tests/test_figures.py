"""The look of figures: one model, one look, and a plot that is drawn whole."""

from __future__ import annotations

import itertools

import matplotlib.image
import numpy as np

from lcplm_graph.evaluation import plots
from lcplm_graph.evaluation.maps import draw_embeddings
from lcplm_graph.figures import draw_forest, label_ends, look, new_figure, panels, save

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


def test_names_with_dollar_signs_are_no_formulas(tmp_path) -> None:
    odd = r"a $\no{formula$ b"
    draw_forest(tmp_path / "forest.png", {odd: {odd: 0.5}}, odd, odd)
    places = np.random.default_rng(0).normal(size=(4, 3))
    draw_embeddings(tmp_path / "map.svg", places, [odd] * 4, odd)
    assert odd in (tmp_path / "map.svg").read_text()
    figure = new_figure(3, 3)
    panels(figure, 1, 1)[0, 0].semilogy([1, 2, 3], [1, 100, 1000])
    save(figure, tmp_path / "log.svg")
    assert ">$" not in (tmp_path / "log.svg").read_text()


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


def test_equal_curves_show_between_each_others_dashes() -> None:
    labels = np.arange(40) < 20
    flat, better = np.zeros(40), labels + np.arange(40) % 3
    curves = dict.fromkeys(("degree", "common neighbours", "Adamic-Adar"), (labels, flat))
    curves |= {"lcplm-2m": (labels, better), "lcplm-2m, link model": (labels, better[::-1])}
    curves |= {f"more {i}": (labels, -better) for i in range(2)}
    axis = panels(new_figure(4, 4), 1, 1)[0, 0]
    plots.draw_roc(axis, curves)
    styles = [(line.get_color(), line.get_linestyle(), line.get_zorder()) for line in axis.lines]
    assert len(set(styles)) == len(styles)
    drawn = {line.get_label().split("  ")[0]: line for line in axis.lines}
    assert drawn["degree"].get_linestyle() == "-"
    assert (
        drawn["common neighbours"].get_linestyle() == drawn["Adamic-Adar"].get_linestyle() == "--"
    )
    assert drawn["Adamic-Adar"].get_zorder() > drawn["common neighbours"].get_zorder()
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert len(names) == 6 and names[-1] == "(2 weaker not drawn)"


def test_names_of_curves_stand_below_the_panel() -> None:
    labels = np.arange(40) < 20
    figure = new_figure(4, 5)
    axis = panels(figure, 1, 1)[0, 0]
    plots.draw_precision_recall(axis, {"degree": (labels, labels * 1.0)}, 10)
    figure.draw_without_rendering()
    box = axis.get_legend().get_window_extent()
    assert box.y0 >= 0 and box.y1 < axis.get_window_extent().y0

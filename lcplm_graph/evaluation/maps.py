"""Maps of embeddings: a picture, and a page to look into with a mouse."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from lcplm_graph.errors import InputError
from lcplm_graph.figures import COLOURS, new_figure, panels, save, shades
from lcplm_graph.io import atomic_path

_TEMPLATE = Path(__file__).with_name("map.html.j2")
_SHOWN = 44

Labels = Sequence[str | Collection[str] | None]


@dataclass(frozen=True)
class EmbeddingMap:
    """Proteins in a plane, the most frequent of their labels coloured.

    Attributes
    ----------
    ids : list of str
    place : ndarray, dtype=float64, shape=(n, 2)
        First two principal components of the standardised features.
    share : (float, float)
        Of the variance that each of the two holds.
    names : list of str
        Labels that have a colour, the most frequent first.
    group : ndarray, dtype=int64, shape=(n,)
        Place of each protein's label in `names`, -1 for none of these.
    texts : list of str
        What the page shows of each protein.
    title : str
    colours : sequence of str
        Of the `names`.
    """

    ids: list[str]
    place: npt.NDArray[np.float64]
    share: tuple[float, float]
    names: list[str]
    group: npt.NDArray[np.int64]
    texts: list[str]
    title: str
    colours: Sequence[str] = COLOURS

    @classmethod
    def of(
        cls,
        features: Any,
        labels: Labels,
        title: str,
        ids: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
        order: Sequence[str] | None = None,
    ) -> EmbeddingMap:
        """Make a map of features.

        Parameters
        ----------
        features : array_like, shape=(n, d)
        labels : sequence
            Label of each protein, several, or None.  Of several the one counts that most proteins
            have which are not coloured yet.
        title : str
        ids : sequence of str, optional
            Default: numbers from 1.
        texts : sequence of str, optional
            For the page; default: the labels.
        order : sequence of str, optional
            Labels that are steps of one scale, from low to high: they are named in this order, in
            shades of one series of colours.  Default: the most frequent labels.

        Raises
        ------
        InputError
            If there are fewer than three proteins, or they have fewer than two features.
        """
        x = np.asarray(features, np.float64)
        if len(x) < 3:
            raise InputError(f"a map needs three proteins or more, not {len(x)}")
        if x.ndim != 2 or x.shape[1] < 2:
            raise InputError(f"a map needs two features or more a protein, not shape {x.shape}")
        x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
        pca = PCA(2, random_state=0)
        # Where all proteins have the same features there is no variance to have a share of.
        with np.errstate(invalid="ignore"):
            place = pca.fit_transform(x)
        own = [_as_set(label) for label in labels]
        names, group = _coloured(own) if order is None else _steps(own, order)
        first, second = np.nan_to_num(pca.explained_variance_ratio_).tolist()
        return cls(
            [str(i) for i in range(1, len(x) + 1)] if ids is None else list(ids),
            place,
            (first, second),
            names,
            group,
            ["; ".join(sorted(one)) for one in own] if texts is None else list(texts),
            title,
            COLOURS if order is None else shades(len(names)),
        )

    @property
    def axes(self) -> tuple[str, str]:
        """What the axes are called."""
        first, second = self.share
        return f"PCA 1 ({first:.0%} of the variance)", f"PCA 2 ({second:.0%} of the variance)"

    def legend(self) -> list[tuple[int, str, str, int]]:
        """Return number, name, colour and count of each group; the rest comes last, as -1."""
        counts = Counter(self.group.tolist())
        rows = [(i, name, self.colours[i], counts[i]) for i, name in enumerate(self.names)]
        if not rows:  # nothing is labelled, so there is no rest that would stand back
            return [(-1, "all proteins", COLOURS[0], counts[-1])]
        return [*rows, (-1, "other or none", "#bbbbbb", counts[-1])] if counts[-1] else rows

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the map as PNG or SVG."""
        figure = new_figure(7.6, 5.4)
        axis = panels(figure, 1, 1)[0, 0]
        size = float(np.clip(12000 / len(self.ids), 4, 36))
        for number, name, colour, count in self.legend():
            chosen, rest = self.place[self.group == number], number < 0 < len(self.names)
            text = name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"
            axis.scatter(
                chosen[:, 0], chosen[:, 1], s=size / 2 if rest else size, color=colour, alpha=0.8,
                linewidths=0, label=f"{text} ({count:,})", zorder=1 if rest else 2,
            )  # fmt: skip
        axis.set(title=self.title, xlabel=self.axes[0], ylabel=self.axes[1])
        # A few outliers would push everything else into a corner.
        for setter, values in zip((axis.set_xlim, axis.set_ylim), self.place.T, strict=True):
            low, high = np.quantile(values, [0.005, 0.995])
            margin = 0.1 * (high - low) or 1.0  # equal embeddings lie on one place
            setter(low - margin, high + margin)
        if self.names:
            legend = axis.legend(
                loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8
            )
            for mark in legend.legend_handles:  # those of large maps are too small to tell colours
                mark.set_sizes([36.0])
        save(figure, path)

    def write_page(self, path: str | os.PathLike[str]) -> Path:
        """Write one HTML file that shows each protein's name; it needs no network."""
        from jinja2 import Environment, select_autoescape

        data = {
            "ids": self.ids,
            "x": [float(f"{value:.4g}") for value in self.place[:, 0]],
            "y": [float(f"{value:.4g}") for value in self.place[:, 1]],
            "group": self.group.tolist(),
            "texts": self.texts,
            "legend": self.legend(),
            "axes": self.axes,
        }
        # "</script>" in a protein's name would end the data.
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        environment = Environment(autoescape=select_autoescape(default=True), trim_blocks=True)
        template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
        with atomic_path(path) as temporary:
            page = template.render(title=self.title, data=text, count=f"{len(self.ids):,}")
            temporary.write_text(page, encoding="utf-8")
        return Path(path)


def draw_embeddings(
    path: str | os.PathLike[str],
    features: Any,
    groups: Labels,
    title: str,
    ids: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
) -> None:
    """Draw a map of embeddings; with ids, an HTML page of the same name stands beside it.

    Parameters
    ----------
    path : path-like
        PNG or SVG.
    features : array_like, shape=(n, d)
    groups, title, ids, order
        As in `EmbeddingMap.of`.
    """
    made = EmbeddingMap.of(features, groups, title, ids, order=order)
    made.draw(path)
    if ids is not None:
        made.write_page(Path(path).with_suffix(".html"))


def _as_set(label: str | Collection[str] | None) -> frozenset[str]:
    if label is None:
        return frozenset()
    return frozenset([label]) if isinstance(label, str) else frozenset(label)


def _coloured(labels: Sequence[frozenset[str]]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Choose the labels that get a colour, and one of them for each protein."""
    group = np.full(len(labels), -1, np.int64)
    names: list[str] = []
    left = {i for i, own in enumerate(labels) if own}
    while left and len(names) < len(COLOURS):
        counts = Counter(name for i in left for name in labels[i])
        best = min(counts, key=lambda name: (-counts[name], name))
        chosen = [i for i in left if best in labels[i]]
        group[chosen] = len(names)
        names.append(best)
        left.difference_update(chosen)
    return names, group


def _steps(
    labels: Sequence[frozenset[str]], order: Sequence[str]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the steps of a scale that occur, and the highest one of each protein."""
    names = [step for step in order if any(step in own for own in labels)]
    group = [max((i for i, step in enumerate(names) if step in own), default=-1) for own in labels]
    return names, np.array(group, np.int64)

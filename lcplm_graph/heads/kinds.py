"""Heads by name: ours, and those of other packages."""

from __future__ import annotations

from typing import Any

from lcplm_graph.heads.base import Head
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.registry import Registry

HEADS: Registry[type[Head]] = Registry(
    "head",
    "lcplm_graph.heads",
    link="lcplm_graph.heads.link:LinkPredictor",
    cross="lcplm_graph.heads.cross:CrossAttentionPredictor",
    function="lcplm_graph.heads.function:FunctionPredictor",
    homology="lcplm_graph.heads.homology:HomologyClassifier",
)
"""Classes of heads; installed packages add theirs in the group ``lcplm_graph.heads``."""


def link_head(name: str = "link", **arguments: Any) -> LinkPredictor:
    """Make a head that scores pairs.

    Parameters
    ----------
    name : str
        ``link``, or the entry point of an installed package; its class is a `LinkPredictor`.
    **arguments
        Of `LinkPredictor`.

    Raises
    ------
    UnknownNameError
        If the name is not known.
    PluginError
        If another package's head fails, or is not a `LinkPredictor`.

    Examples
    --------
    >>> link_head(in_channels=20, channels=8, conv="none").decoder.__class__.__name__
    'HadamardMlpDecoder'
    """
    return HEADS.make(name, base=LinkPredictor, **arguments)

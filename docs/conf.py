"""Sphinx: the site is built by ``sphinx-build -W docs SITE`` without a network."""

from __future__ import annotations

import inspect
import os

import lcplm_graph

project = "lcplm-graph"
copyright = "the lcplm-graph developers"
author = "The lcplm-graph developers"
release = version = lcplm_graph.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "jupyter_execute"]
# Tutorials are kept without outputs and run as the site is built; "off" leaves that out.
nb_execution_mode = os.environ.get("LCPLM_DOCS_EXECUTE", "auto")
nb_execution_timeout = 900
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
nb_merge_streams = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
default_role = "code"
# An attribute `report` of several classes: numpydoc links it by its bare name.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"lcplm-graph {release}"


LIBRARIES = ("torch", "transformers", "torch_geometric")


def _own_docstring(app, what, name, obj, options, lines):
    """Leave inherited documentation of libraries out: it is theirs, and not in our markup."""
    module = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", "") or ""
    if what in ("method", "attribute", "property") and module.split(".")[0] in LIBRARIES:
        lines[:] = [f"See `{module}`."]


def setup(app):
    """Register what autodoc calls."""
    app.connect("autodoc-process-docstring", _own_docstring)

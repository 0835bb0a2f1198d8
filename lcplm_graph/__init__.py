"""lcplm-graph: long-context protein language models for protein-protein interaction graphs.

Everything below is imported on first use, so ``import lcplm_graph`` stays fast and pulls in
neither transformers nor PyTorch Geometric nor Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lcplm_graph.kernel_cache import find_kernel_cache
from lcplm_graph.moved import keep_old_names

__version__ = "0.2.0"

_WHERE = {
    "load_encoder": "lcplm_graph.models.encoders",
    "LcPlmConfig": "lcplm_graph.models.config",
    "LcPlmModel": "lcplm_graph.models.modeling",
    "LcPlmForMaskedLM": "lcplm_graph.models.modeling",
    "LcPlmForSequenceClassification": "lcplm_graph.models.modeling",
    "LcPlmForTokenClassification": "lcplm_graph.models.modeling",
    "LcPlmTokenizer": "lcplm_graph.models.tokenizer",
    "show_backends": "lcplm_graph.backends",
    "PPIScorer": "lcplm_graph.heads.ppi_scorer",
    "PropertyModel": "lcplm_graph.finetuning.model",
    "score_pairs": "lcplm_graph.models.zero_shot",
    "StringPPI": "lcplm_graph.datasets.string",
    "PairPPI": "lcplm_graph.datasets.pairs",
    "GOFunction": "lcplm_graph.datasets.go",
    "RemoteHomology": "lcplm_graph.datasets.homology",
    "SequenceStore": "lcplm_graph.proteins.store",
    "Split": "lcplm_graph.splits.split",
    "WalkSampler": "lcplm_graph.walks.sampler",
    "WalkStream": "lcplm_graph.walks.stream",
    "AddProteinFeatures": "lcplm_graph.features.transform",
    "LinkPredictor": "lcplm_graph.heads.link",
    "FunctionPredictor": "lcplm_graph.heads.function",
    "HomologyClassifier": "lcplm_graph.heads.homology",
}

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from lcplm_graph.backends import show_backends as show_backends


find_kernel_cache()
keep_old_names()


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'lcplm_graph' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

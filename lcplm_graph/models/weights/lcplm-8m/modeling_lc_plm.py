"""Reads this model through the package lcplm-graph, which must be installed."""

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import (
    LcPlmForMaskedLM,
    LcPlmForSequenceClassification,
    LcPlmForTokenClassification,
    LcPlmModel,
)
from lcplm_graph.models.tokenizer import LcPlmTokenizer

__all__ = [
    "LcPlmConfig",
    "LcPlmForMaskedLM",
    "LcPlmForSequenceClassification",
    "LcPlmForTokenClassification",
    "LcPlmModel",
    "LcPlmTokenizer",
]

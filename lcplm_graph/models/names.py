"""Names that commands and models share: files of a model, ways of pooling, precisions, problems.

It imports nothing of weight, so that ``--help`` is quick; `ModelFolder` gives the files' paths.
"""

from typing import Literal, TypeAlias

Pool: TypeAlias = Literal[
    "mean", "mean_std", "mean_std_max_min", "mean_std_max_min_parts", "cls", "max"
]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

Problem: TypeAlias = Literal[
    "regression", "single_label_classification", "multi_label_classification"
]
REGRESSION: Problem = "regression"
ONE_LABEL: Problem = "single_label_classification"
MANY_LABELS: Problem = "multi_label_classification"
PROBLEMS = (REGRESSION, ONE_LABEL, MANY_LABELS)
"""Values of ``problem_type`` in ``config.json``, spelt as Hugging Face does."""

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
RECORD, SEEN_EDGES = "training.json", "seen_edges.npy"
PROMISE = "seen_edges"
"""Key of the count and sha256 of the seen edges, in ``training.json`` and ``config.json``."""
PROPERTY, HEAD = "property.json", "head.safetensors"
PRECISION, QUALITY, CARD = "precision.json", "quality", "README.md"

"""Names that commands and models share: files in a model's folder, ways of pooling, precisions.

It imports nothing of weight, so that ``--help`` is quick; `ModelFolder` gives the files' paths.
"""

from typing import Literal, TypeAlias

Pool: TypeAlias = Literal[
    "mean", "mean_std", "mean_std_max_min", "mean_std_max_min_parts", "cls", "max"
]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
RECORD, SEEN_EDGES = "training.json", "seen_edges.npy"
PROMISE = "seen_edges"
"""Key of the count and sha256 of the seen edges, in ``training.json`` and ``config.json``."""
PROPERTY, HEAD = "property.json", "head.safetensors"
PRECISION, QUALITY, CARD = "precision.json", "quality", "README.md"

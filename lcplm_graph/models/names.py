"""What the files in a model's folder are called; `ModelFolder` gives their paths."""

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
RECORD, SEEN_EDGES = "training.json", "seen_edges.npy"
PROMISE = "seen_edges"
"""Key of the count and sha256 of the seen edges, in ``training.json`` and ``config.json``."""
PROPERTY, HEAD = "property.json", "head.safetensors"
PRECISION, QUALITY, CARD = "precision.json", "quality", "README.md"

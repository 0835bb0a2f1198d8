"""PyG datasets of protein graphs, functions and folds, with honest splits."""

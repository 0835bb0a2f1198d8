"""The BiMamba-S encoder, its baselines, and checkpoints."""

"""Stage-1 and stage-2 training with Lightning."""

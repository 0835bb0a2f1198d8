"""What may be learned from and what is held out: splits, negatives, clusters, leakage."""

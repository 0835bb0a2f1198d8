"""What may be learned from and what is held out: splits, negatives, clusters, leakage."""

DEFAULT_KIND = "C3"
"""Kind of split where none is named: held-out pairs join two proteins that training never saw."""

"""Properties of proteins, residues and pairs, learned from a table: fine-tuning and prediction."""

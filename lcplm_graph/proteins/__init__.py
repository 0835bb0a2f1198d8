"""Protein sequences: FASTA files, the store they are kept in, search and alignment."""

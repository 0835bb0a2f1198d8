"""Sequences: reading FASTA, keeping them on disk, matching their names, finding relatives.

`store.SequenceStore` is what the rest of the package takes for "the sequences". It is a
memory-mapped Arrow file with the columns `id`, `sequence` and `description`, so a proteome costs
no memory until a sequence is looked at. Every dataset has one in the order of its nodes.

>>> from lcplm_graph.proteins.store import SequenceStore
>>> store = SequenceStore.from_records(["P1", "P2"], ["MKT", "GAVL"])
>>> store[1], store.lengths.tolist(), store.select([1]).ids
('GAVL', [3, 4], ['P2'])

One protein has many spellings (``sp|P12345|NAME``, ``P12345.2``). `SequenceStore.match` joins ids
by accession and says how many it matched; where two proteins fit, it matches none.

What one calls: `SequenceStore.from_fasta` for a file, `fasta.read_fasta` for a stream of batches,
`store.digests()` for hashes that do not depend on ids, and `search.homologous_pairs` for pairs of
similar sequences (MMseqs2 if it is on the path, else a k-mer search of our own).

Next: `lcplm_graph.splits.clusters`, which keeps relatives on one side of a split.
"""

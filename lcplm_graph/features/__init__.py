"""Features: the vectors of many proteins, computed once, cached, and written to files.

`transform.AddProteinFeatures` is a PyG transform that sets ``data.x``: with a plain encoder, or
with ``context="walks"``, where a protein is embedded inside walks over training edges and averaged
(LC-PLM-G). What was computed is kept on disk under the encoder's fingerprint and the sequence's
hash, and never computed twice.

>>> import pandas as pd
>>> from lcplm_graph import AddProteinFeatures, load_encoder
>>> from lcplm_graph.datasets.memory import from_dataframe
>>> edges = pd.DataFrame({"protein1": ["a"], "protein2": ["b"]})
>>> dataset = from_dataframe(edges, {"a": "MKT", "b": "MV"})
>>> AddProteinFeatures(load_encoder("composition"))(dataset).x.shape
torch.Size([2, 20])

For a whole FASTA file there is `embed.EmbedJob`, the same as ``lcplm embed``: sorted by length,
resumed after a kill without losing or repeating a protein, written as HDF5, NPZ or Parquet
(`formats`), on this machine or on a Ray cluster (`engines`).

What one calls: `AddProteinFeatures`, `store.cached_embeddings`, `embed.embed_fasta`;
`precomputed` reads vectors that others made. `relatives.relatives` says which proteins a search
finds related, and how closely; that is kept, too.

Next: `lcplm_graph.heads` learns from features.
"""

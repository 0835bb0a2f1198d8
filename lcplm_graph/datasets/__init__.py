"""Datasets: graphs of proteins with their sequences, as PyTorch Geometric knows them.

Every dataset is one graph. ``dataset[0]`` is a PyG `Data` whose nodes are proteins,
``dataset.sequences`` holds their sequences in the same order, and ``dataset.report`` counts what
was read, kept and dropped. A `base.PPIDataset` is a network and has `split()`; a
`base.ProteinDataset` has labels instead.

>>> import pandas as pd
>>> from lcplm_graph.datasets.memory import from_dataframe
>>> edges = pd.DataFrame({"protein1": ["a", "b"], "protein2": ["b", "c"]})
>>> dataset = from_dataframe(edges, {"a": "MKT", "b": "MV", "c": "MA"})
>>> dataset[0].edge_index.tolist(), dataset.sequences[2]
([[0, 1, 1, 2], [1, 0, 2, 1]], 'MA')

What one calls: `lcplm_graph.StringPPI` (``"string_human_core"`` ships and needs no network),
`lcplm_graph.PairPPI` for a table of pairs and a FASTA file, `memory.from_dataframe` and
`memory.from_networkx` for what is in memory, `lcplm_graph.GOFunction`,
`lcplm_graph.RemoteHomology`. `load.load_graph` takes the names of the command line, also those of
other installed packages.

Next: `lcplm_graph.splits` to divide a network, `lcplm_graph.features` to give its nodes features,
docs/datasets.md for formats and sources.
"""

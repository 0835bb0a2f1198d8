"""Walks: from a graph to streams of tokens that hold several proteins.

Stage 2 teaches an encoder which proteins interact by reading walks over the training edges.
`sampler.WalkSampler` draws the walks, `stream.WalkStream` writes each as
``<cls> [BON] residues [EON] [EDGE] [BON] residues [EON] <eos>``. Now and then a hop goes to a
protein that is not a neighbour, and says ``[NO_EDGE]``.

>>> from lcplm_graph.splits.split import Split
>>> from lcplm_graph.walks.sampler import WalkSampler
>>> path = [[0, 1], [1, 2], [2, 3]]
>>> split = Split("random", 4, path, path, [[0, 3]], [1])
>>> sampler = WalkSampler(split, 5, seed=0)
>>> walks = sampler.walks(0, 3)
>>> (sampler.walks(2, 3) == walks[2:]).all().item()
True

Walk i is a function of the seed and i alone. Any number of workers, in any order, after any
restart, reads the same walks. A sampler takes a `Split`, never a graph, so a held-out edge is not
there to be walked on.

What one calls: `WalkSampler(split, length)` and `WalkStream(sampler, store)`;
`shards.open_shards` for several species that are too large for memory.

Next: `lcplm_graph.training` reads the streams; docs/walks.md.
"""

"""What may be learned from and what is held out: splits, negatives, clusters, leakage.

In a network of proteins, "held out" has three meanings. After Park and Marcotte (2012) a test pair
is of class C1 if both its proteins occur in training pairs, C2 if one does, C3 if none does. A
model that only knows which proteins have many partners looks good on C1 and fails on C3, so the
three are never mixed here, and `DEFAULT_KIND` is C3.

>>> import torch
>>> from torch_geometric.data import Data
>>> from lcplm_graph.splits.make import make_split
>>> at = torch.arange(60).repeat(4)
>>> near = (at + torch.arange(1, 5).repeat_interleave(60)) % 60
>>> split = make_split(Data(edge_index=torch.stack([at, near]), num_nodes=60), "C1", seed=0)
>>> int((split.held_out_class == 1).sum()) == len(split.held_out)
True
>>> len(split.negatives("test")) == len(split.positives("test"))
True

A `Split` has the edges that walks and message passing may use (`message`), the positives of the
loss (`supervision`) and the rest (`held_out`). Negatives are drawn by `negatives()`; by default
each protein is as frequent in them as in the positives, so that its degree tells nothing.

What one calls: ``dataset.split(kind)`` or `make.make_split`, then `Split.negatives`,
`Split.check`, `Split.save`. `leakage.leakage_report` says what a split still shares: sequences,
relatives, degrees.

Next: `lcplm_graph.walks`, which takes a `Split` and so cannot see held-out edges;
docs/splits.md on what each kind proves.
"""

DEFAULT_KIND = "C3"
"""Kind of split where none is named: held-out pairs join two proteins that training never saw."""

"""Heads: predictors of links, functions and folds on top of features.

A head takes node features (or an encoder, which is then trained along) and any convolution of PyG
by name. `link.LinkPredictor` scores pairs, `function.FunctionPredictor` terms,
`homology.HomologyClassifier` folds.

>>> import torch
>>> from lcplm_graph import LinkPredictor
>>> head = LinkPredictor(20, channels=8, conv="GraphSAGE").eval()
>>> x, edges = torch.rand(3, 20), torch.tensor([[0, 1], [1, 0]])
>>> pairs = torch.tensor([[0, 2], [2, 0]])
>>> scores = head(x, edges, pairs)
>>> bool(scores[0] == scores[1])
True

For an answer rather than a network there is `link_model.LinkModel`: several heads of several
seeds, trained on a `Split`, whose mean is a calibrated probability with its spread; given the
proteins' relatives it also counts known interactions between these (`interologs`). `ppi_scorer`
ships one that is trained, behind ``lcplm score``. `function_model.FunctionModel` is a function
head with its terms, behind ``lcplm predict function``.

What one calls: a head and `fit.fit_function` or `fit_link.fit_link`; `LinkModel.fit` and
`LinkModel.on`; `loaders` for graphs too large for one step. Other packages add heads by entry
points, see `kinds`.

Next: `lcplm_graph.evaluation` for what the numbers are worth.
"""

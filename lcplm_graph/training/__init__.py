"""Training: stage 1 on sequences, stage 2 on walks, resumed bit for bit.

Stage 1 is masked language modelling of proteins. Stage 2 goes on with walks over a graph, where
the markers ``[EDGE]`` and ``[NO_EDGE]`` are masked too, so that the model learns to say whether two
proteins interact. Both run on Lightning, under ``torchrun`` if asked, and write a folder that
`load_encoder` reads.

>>> from lcplm_graph.training.options import Stage2Options
>>> options = Stage2Options(graph="string_human_core", steps=100, out="run")
>>> options.split, options.seed
('C3', 0)

A batch is a function of the seed and of the step, not of the worker that makes it, so a run that
was killed and resumed has the weights of one that was not. ``run.json`` records data, split and
starting weights; ``--resume`` refuses to go on with others.

What one calls: ``lcplm stage1`` and ``lcplm stage2``, or `run.run_training` from Python with the
tasks of `module` and `relation_task`. `heldout` measures the held-out loss by length, `floors` what
composition alone would reach.

Next: ``lcplm release`` makes a small folder with a model card of a run; docs/pretraining.md.
"""

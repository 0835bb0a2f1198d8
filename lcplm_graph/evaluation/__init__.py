"""Evaluation: tables with baselines, intervals, and a guard against leakage.

A number says little beside nothing. Each evaluation puts the encoder next to what needs no
encoder (degree, common neighbours, composition, an untrained twin), gives intervals over proteins
and not over pairs, and keeps C1, C2 and C3 apart. An encoder that saw test pairs in stage 2 is
refused, or marked LEAKED in every row.

>>> import numpy as np
>>> from lcplm_graph.evaluation.metrics import auroc
>>> auroc(np.array([True, False, True]), np.array([0.9, 0.2, 0.4]))
1.0

`link`, `function`, `homology`, `contacts`, `variants` and `ogb` each measure one task and return a
`report.Report`, which prints as a table and saves ``results.json``. The modules ``*_task`` say
what is measured on; `bootstrap`, `metrics` and `go_metrics` how.

What one calls: ``lcplm evaluate link | function | homology | variants | contacts | ogb``, or
`link_task.LinkTask`, `function_task.FunctionTask` and `homology_task.HomologyTask` from Python.

Next: docs/evaluation.md for what the columns mean and what we measured.
"""

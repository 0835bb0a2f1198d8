"""Gene Ontology: the graph of terms, annotations of proteins, and labels made of both.

A protein that has a term has all terms above it: the *true-path rule*. `ontology.Ontology` reads
OBO and knows who stands above whom; `annotations` reads GAF files and tables, with their evidence
codes; `labels` joins the two into a matrix of proteins and terms.

>>> from lcplm_graph.files.catalog import load_card
>>> from lcplm_graph.go.ontology import Ontology
>>> ontology = Ontology.from_obo(load_card("string_human_core").file("ontology").path)
>>> kinase = ontology.terms.index("GO:0004672")
>>> "catalytic activity" in [ontology.names[i] for i in ontology.ancestors[[kinase]].indices]
True

What one calls: most users take `lcplm_graph.GOFunction`, which does all of this. Ids that were
merged or replaced are followed; obsolete ones are dropped and counted.

Next: `lcplm_graph.datasets.go` for the dataset, `lcplm_graph.evaluation.go_metrics` for Fmax and
Smin.
"""

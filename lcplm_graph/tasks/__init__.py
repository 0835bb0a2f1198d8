"""What a masked language model does without any training: variants, contacts, search.

A model that fills in masked residues has an opinion on every position of a protein. From that
follow three tasks that need no head: what a substitution does (`variants`: masked marginals, wild
type marginals, pseudo-perplexity), which residues touch (`contacts`: the categorical Jacobian),
and which proteins are alike (`search`).

>>> from lcplm_graph.models.masked_lm import load_masked_lm
>>> from lcplm_graph.tasks.variants import parse_variant, score_variants
>>> protein = "MKTAYIAKQR"
>>> variants = [parse_variant(text, protein) for text in ("K2R", "T3A:A4G")]
>>> score_variants(load_masked_lm("random:1m"), protein, variants).shape
(2,)

No protein is too long: what does not fit into a batch is read in passes. Jobs over many proteins
resume (`variant_job`).

What one calls: `score_variants`, `contact_map`, `interface_map`; on the command line
``lcplm variants | contacts | search``.

Next: `lcplm_graph.evaluation` measures the same on ProteinGym and on structures.
"""

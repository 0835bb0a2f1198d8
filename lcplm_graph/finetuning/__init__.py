"""Fine-tuning: properties of proteins, residues and pairs, learned from a table.

A table of sequences and labels becomes a model. `run.finetune` is what ``lcplm finetune`` calls: it
finds the task from the labels, holds out clusters of similar proteins, trains a head (with LoRA
adapters beside the encoder's weights, with all weights, or alone), and puts a guess and a head on
amino-acid composition into the same table.

The result is a `model.PropertyModel`: an encoder, a head, and a `target.Target`, which says what
the outputs mean.

>>> from lcplm_graph.finetuning.target import Target
>>> Target("multiclass", ("membrane", "nucleus", "secreted")).outputs
3

What one calls: `run.finetune` with `options.FinetuneOptions`;
``PropertyModel.from_pretrained(DIR).predict(sequences)``, which gives a pandas table; and
`load_encoder(DIR)` for the tuned encoder alone.

Next: docs/finetune.md; `table`, `from_tape` and `examples` read tables, `partition` holds proteins
out, `adapt` attaches adapters.
"""

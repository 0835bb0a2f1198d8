"""Proteins and walks as numbers: the vocabulary, packed streams, masking.

A model reads integers. `vocabulary` maps residues to the ids of ESM-2 (0 to 32) and adds four
markers for graphs, so that published weights of both families fit. A protein is
``<cls> residues <eos>``; two proteins that interact are one stream with ``[EDGE]`` between them.

Below the tokenizer there is no padding. Streams lie one after the other on a single axis of
tokens, and `cu_seqlens` says where each begins, as in FlashAttention. A result then cannot depend
on what a protein shares its batch with:

>>> from lcplm_graph.tokens.packing import tokenize
>>> packed = tokenize(["MKT", "GA"])
>>> packed.input_ids.tolist(), packed.cu_seqlens.tolist()
([0, 20, 15, 11, 2, 0, 6, 5, 2], [0, 5, 9])

What one calls: `packing.tokenize` for proteins, `vocabulary.pair_walk` for two of them, and
`masking.mask_tokens` for training. `packing.pad` and `packing.unpack` lead to and from the padded
``(batch, length)`` form that other libraries use.

Next: `lcplm_graph.models`, which reads packed streams, and `lcplm_graph.walks`, which makes long
ones.
"""

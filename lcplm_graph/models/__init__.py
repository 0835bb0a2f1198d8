"""Encoders: from a sequence to a vector, exact for any batch and any length.

LC-PLM is a bidirectional Mamba: time and memory grow with the length of a protein, not with its
square, so none is cut. `encoders.load_encoder` gives it and its rivals behind one interface,
`encoder.Encoder`: the shipped ``lcplm-2m``, a folder of a training run, ESM-2, ESM C, and amino
acid composition, the baseline that every learned encoder must beat.

>>> from lcplm_graph import load_encoder
>>> encoder = load_encoder("composition")
>>> encoder.embed(["MKTAYIAK", "GGGG"]).shape
torch.Size([2, 20])

A protein's vector is the same alone, in a batch and beside a longer one. `Encoder.fingerprint`
names configuration and weights and is the key of every cache; `Encoder.seen_edges` gives the
protein pairs that stage 2 trained on, so that an evaluation can refuse a model that knows its
test set.

What one calls: `load_encoder` and `Encoder.embed`; `zero_shot.score_pairs` for pairs without any
head; `modeling.LcPlmForMaskedLM` and its like for use with Hugging Face's `Trainer`, with
`lora.lora_config` for adapters.

Next: `lcplm_graph.features` to embed many proteins, `lcplm_graph.training` to train,
docs/encoder.md on how it computes.
"""

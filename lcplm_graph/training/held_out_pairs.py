"""`HeldOutPairs`: what the relation decoder knows of pairs that it has not seen."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lcplm_graph.models.encoders import length_sorted_batches
from lcplm_graph.models.pooling import pool_residues, pooled_dim
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.splits.classes import large_classes
from lcplm_graph.splits.split import Split
from lcplm_graph.tokens.packing import pack
from lcplm_graph.tokens.vocabulary import CLS, EOS
from lcplm_graph.training.esm2_graph import GraphModel
from lcplm_graph.training.walks import Pairs
from lcplm_graph.walks.residues import ResidueTable

PAIR_AUROC = "valid_pair_auroc"


class PairAurocs:
    """AUROC over held-out pairs, and over those of a class (C1, C2, C3) where there are enough.

    Parameters
    ----------
    split : Split
    pairs : Pairs
        Half of them edges.
    """

    def __init__(self, split: Split, pairs: Pairs) -> None:
        self.pairs = pairs
        classes = split.classify(pairs.nodes)
        large = large_classes(pairs.is_edge, classes)
        self.chosen = {PAIR_AUROC: np.ones(len(classes), bool)}
        self.chosen |= {f"{PAIR_AUROC}_C{number}": own for number, own in large.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures."""
        return tuple(self.chosen)

    def __call__(self, decoder: RelationDecoder, states: Tensor, ends: Tensor) -> dict[str, float]:
        """Return the figures of a decoder.

        Parameters
        ----------
        decoder : RelationDecoder
        states : Tensor, shape=(n, width)
            Pooled states of proteins.
        ends : Tensor, dtype=int64, shape=(p, 2)
            Rows of the states, for every pair.
        """
        h = decoder.embed(states)
        score = decoder(h[:, ends[:, 0]], h[:, ends[:, 1]]).cpu().numpy()
        return {
            name: float(roc_auc_score(self.pairs.is_edge[own], score[own]))
            for name, own in self.chosen.items()
        }


class HeldOutPairs:
    """Evaluate the decoder on held-out pairs of whole proteins, each encoded once and by itself.

    Parameters
    ----------
    split : Split
    residues : ResidueTable
    pairs : Pairs
        Half of them edges.
    max_tokens : int
        Tokens of a batch; a longer protein is a batch of its own.
    """

    def __init__(self, split: Split, residues: ResidueTable, pairs: Pairs, max_tokens: int) -> None:
        self.aurocs = PairAurocs(split, pairs)
        self.nodes, ends = np.unique(pairs.nodes, return_inverse=True)
        self.ends = torch.from_numpy(ends.reshape(-1, 2))
        lengths = residues.lengths[self.nodes]
        self.batches = length_sorted_batches(lengths, max_tokens)
        self._tokens = [
            np.concatenate([[CLS], residues.tokens[first:last].astype(np.int64), [EOS]])
            for first, last in zip(
                residues.offsets[self.nodes], residues.offsets[self.nodes + 1], strict=True
            )
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures, those by class (C1, C2, C3) where there are any."""
        return self.aurocs.columns

    def __call__(self, model: GraphModel, device: torch.device) -> dict[str, float]:
        """Return the AUROC of the decoder, over all pairs and by class."""
        assert model.relation is not None  # stage 2 adds it
        pool = model.config.pool
        pooled = torch.zeros(
            len(self.nodes), pooled_dim(model.config.hidden_size, pool), device=device
        )
        for batch in self.batches:
            packed = pack([self._tokens[i] for i in batch]).to(device)
            output = model(
                packed.input_ids, cu_seqlens=packed.cu_seqlens, output_hidden_states=True
            )
            assert output.hidden_states is not None  # asked for
            pooled[torch.from_numpy(batch).to(device)] = pool_residues(
                output.hidden_states[-1].float(), packed, pool
            )
        return self.aurocs(model.relation, pooled, self.ends.to(device))

"""`AddProteinFeatures`: encoder features as `data.x`, alone or in the context of walks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from tqdm import tqdm

from lcplm_graph.errors import ConfigError
from lcplm_graph.features.store import FeatureStore, cached_embeddings, check_features
from lcplm_graph.models.encoders import MAX_TOKENS, Encoder, as_encoder
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.pooling import pool_spans, pooled_dim
from lcplm_graph.models.precision import load_in_precision
from lcplm_graph.numeric import whole_number
from lcplm_graph.process import reused_memory
from lcplm_graph.proteins.digests import wide_digests
from lcplm_graph.proteins.graphs import graph_and_sequences
from lcplm_graph.proteins.mappings import as_store
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.split import Split
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

CONTEXTS = (None, "walks")


class AddProteinFeatures(BaseTransform):
    """Add `data.x`, one row per protein, from its sequence.

    Parameters
    ----------
    encoder : Encoder or str
        An encoder or the name of one.
    pool : {"mean", "mean_std", "mean_std_max_min", "mean_std_max_min_parts", "cls", "max"}
        How residues become one vector; by default as the encoder recommends.
    context : {None, "walks"}
        None embeds each protein by itself.  ``walks`` embeds it inside random walks over the
        message edges of `split`, and averages over its visits: the feature of LC-PLM-G.  Held-out
        edges are never seen.
    split : Split, optional
        Needed by ``context="walks"``, and by nothing else.
    sequences : SequenceStore, or mapping of str to str, optional
        By id. Default: those of the dataset, when it is given instead of its graph.
    walk_length, walks_per_protein, walk_tokens : int
        Proteins per walk, walks that start at each protein, and tokens per walk; proteins that do
        not fit are cropped to random windows, with one warning.
    seed : int
        Of the walks.
    max_tokens : int
        Tokens per batch.
    progress : bool
        Show a progress bar while something is computed.
    precision : {"auto", "float32", "bfloat16"}, optional
        What an encoder given by name computes with, see `lcplm_graph.models.precision`; default
        float32.  An encoder that is loaded has its own.

    Raises
    ------
    InputError
        If graph and sequences do not match (with counts and examples), or features are NaN,
        infinite or all zero.
    ConfigError
        If `context` is unknown or lacks its `split`, or takes no pooling by ``cls``.

    Notes
    -----
    Features are kept on disk by encoder, pooling and sequence (with walks also by split and walk
    options), so they are computed once; see `lcplm_graph.features.store`.

    Examples
    --------
    >>> from lcplm_graph.proteins.store import SequenceStore
    >>> store = SequenceStore.from_records(["a", "b"], ["MKTAYIAK", "GGGG"])
    >>> graph = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), protein_id=["b", "a"], num_nodes=2)
    >>> AddProteinFeatures("composition", sequences=store)(graph).x.shape
    torch.Size([2, 20])
    """

    def __init__(
        self,
        encoder: Encoder | str | Path,
        pool: str | None = None,
        context: str | None = None,
        *,
        split: Split | None = None,
        sequences: SequenceStore | Mapping[str, str] | None = None,
        walk_length: int = 4,
        walks_per_protein: int = 2,
        walk_tokens: int = MAX_TOKENS,
        seed: int = 0,
        max_tokens: int = MAX_TOKENS,
        progress: bool = True,
        precision: str | None = None,
    ) -> None:
        if context not in CONTEXTS:
            raise ConfigError(f"context is None or 'walks', not {context!r}")
        if context == "walks" and split is None:
            raise ConfigError("context='walks' needs a split: walks may use its message edges only")
        if precision is None:
            self.encoder = as_encoder(encoder)
        elif isinstance(encoder, str | Path):
            self.encoder = load_in_precision(encoder, precision)
        else:
            raise ConfigError(
                f"the encoder is loaded, in {as_encoder(encoder).precision}; give its name, or no "
                "precision"
            )
        pool = self.encoder.chosen_pool(pool)
        if context == "walks" and pool == "cls":
            raise ConfigError("inside a walk a protein has no <cls> of its own; pool otherwise")
        self.pool, self.context, self.split = pool, context, split
        self.sequences = None if sequences is None else as_store(sequences)
        self.walk_length = whole_number(walk_length, "walk_length")
        self.walks_per_protein = whole_number(walks_per_protein, "walks_per_protein")
        self.walk_tokens = whole_number(walk_tokens, "walk_tokens")
        self.max_tokens = whole_number(max_tokens, "max_tokens")
        self.seed = checked_seed(seed)
        self.progress = progress

    def forward(self, data: Any) -> Data:
        """Return the graph (of a dataset: its graph) with `x`, float32 of shape (n, width)."""
        data, store = graph_and_sequences(data, self.sequences)
        if self.context == "walks":
            data.x = self._in_walks(store)
        else:
            data.x = cached_embeddings(
                self.encoder, store, self.pool, max_tokens=self.max_tokens, progress=self.progress
            )
        return data

    def _in_walks(self, store: SequenceStore) -> Tensor:
        assert self.split is not None  # checked on construction
        sampler = WalkSampler(self.split, self.walk_length, seed=self.seed)
        stream = WalkStream(sampler, store, max_tokens=self.walk_tokens, negative_rate=0.0)
        width = pooled_dim(self.encoder.dim, self.pool)
        options = (self.walk_length, self.walks_per_protein, self.walk_tokens, self.seed)
        digests = wide_digests(store)
        everything = f"{wide_digests([digests.tobytes().hex()]).tobytes().hex()}"
        key = (
            f"{self.encoder.fingerprint()} {self.pool} walks {options} "
            f"{self.split.fingerprint} {everything}"
        )
        # By node, not by sequence: two proteins of equal sequence have neighbours of their own.
        cache = FeatureStore(key, width)
        nodes = wide_digests(str(i) for i in range(len(store)))
        found, values = cache.get(nodes)
        if not found.all():
            values = _walk_features(
                self.encoder, stream, self.pool, self.walks_per_protein, self.max_tokens,
                progress=self.progress,
            ).numpy()  # fmt: skip
            cache.add(nodes, values)
        return torch.from_numpy(values)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.encoder.name}, pool={self.pool}, context={self.context})"
        )


def _walk_features(
    encoder: Encoder,
    stream: WalkStream,
    pool: str,
    epochs: int,
    max_tokens: int,
    *,
    progress: bool,
) -> Tensor:
    """Average what each protein's residues look like over all its visits, shape (n, width)."""
    count, width = stream.sampler.num_nodes, pooled_dim(encoder.dim, pool)
    total = torch.zeros(count, width, dtype=torch.float64, device="cpu")
    visits = total.new_zeros(count)
    size = stream.walks_per_batch(max(max_tokens, stream.max_tokens))
    walks = epochs * count
    bar = tqdm(total=walks, unit="walk", disable=not progress, desc=f"walks through {encoder.name}")
    with torch.inference_mode(), evaluating(encoder), reused_memory(), bar:
        for start in range(0, walks, size):
            tokens = stream.walks(start, min(start + size, walks))
            states = encoder.encode(tokens.packed.to(encoder.device)).float().cpu()
            nodes = torch.from_numpy(tokens.nodes)
            total.index_add_(
                0, nodes, pool_spans(states, torch.from_numpy(tokens.spans), pool).double()
            )
            visits.index_add_(0, nodes, visits.new_ones(len(nodes)))
            bar.update(min(size, walks - start))
    values = (total / visits[:, None]).float()
    check_features(values)
    return values

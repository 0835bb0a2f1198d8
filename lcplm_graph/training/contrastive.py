"""The homology-contrastive term: two members of a family are told from all others in a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcplm_graph.models.pooling import pool_residues, pooled_dim
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.training.options import TEMPERATURE

POOL = "mean_std"


class HomologyContrast(nn.Module):
    """NT-Xent (Chen et al. 2020) between pooled states of two members of a family.

    Residue states are pooled to mean and standard deviation, standardised over the batch and
    projected.  Which proteins are relatives comes from clusters of sequences alone, never from
    GO terms or interactions, so those remain fair tests.

    Parameters
    ----------
    dim : int
        Width of the residue states.
    projected : int
        Width that is compared.
    temperature : float
    """

    def __init__(self, dim: int, projected: int = 128, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        self.projection = nn.Linear(pooled_dim(dim, POOL), projected, bias=False)
        self.temperature = temperature

    def forward(self, states: Tensor, packed: PackedTokens, pairs: Tensor) -> Tensor:
        """Compare every view with its partner and with all views of other families.

        Parameters
        ----------
        states : Tensor, shape=(T, dim)
        packed : PackedTokens
            Masked or not; decides which states are residues'.
        pairs : Tensor, dtype=int64, shape=(P, 2)
            Streams that belong together.

        Returns
        -------
        Tensor, dtype=float32, shape=(3,)
            Summed loss in nats, number of views whose partner is nearest, and number of views, 2 P;
            zeros if there are fewer than two pairs.
        """
        if len(pairs) < 2:
            # Connected to the parameters, so that every rank of DDP has gradients to reduce.
            return self.projection.weight.sum().float() * states.new_zeros(3)
        with torch.autocast(states.device.type, enabled=False):
            views = pool_residues(states.float(), packed, POOL)[pairs.T.flatten()]
            views = F.batch_norm(views, None, None, training=True)
            views = F.normalize(self.projection(views), dim=1)
            similarity = views @ views.T / self.temperature
            similarity.fill_diagonal_(-torch.inf)
            partner = torch.arange(len(views), device=views.device).roll(len(pairs))
            loss = F.cross_entropy(similarity, partner, reduction="sum")
            hits = (similarity.detach().argmax(1) == partner).sum()
        return torch.stack([loss, hits.float(), loss.new_tensor(float(len(views)))])

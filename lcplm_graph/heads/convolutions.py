"""Graph convolutions by name, and a plain stack of them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError, UnknownNameError
from lcplm_graph.heads.dropout import Dropout
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.process import default_dtype

_FAR = 6.0
_OTHER_NAMES = {"graphsage": "SAGEConv", "sage": "SAGEConv", "gatv2": "GATv2Conv"}


def resolve_convolution(name: str) -> type[nn.Module]:
    """Find a convolution of PyG by name.

    Parameters
    ----------
    name : str
        ``GCN``, ``GraphSAGE``, ``GAT``, ``GIN``, ..., or a class name such as ``SAGEConv``; case
        does not matter.

    Raises
    ------
    UnknownNameError
        If PyG has no such convolution; the message lists those it has.

    Examples
    --------
    >>> resolve_convolution("GraphSAGE").__name__, resolve_convolution("gcn").__name__
    ('SAGEConv', 'GCNConv')
    """
    # Takes seconds to import, which a head without convolutions can do without.
    from torch_geometric import nn as pyg

    if not isinstance(name, str):
        raise UnknownNameError(f"a convolution is named by a text, such as 'GCN', not {name!r:.60}")
    classes = {key.lower(): key for key in pyg.conv.__all__}
    wanted = _OTHER_NAMES.get(name.lower(), name).lower()
    for key in (wanted, f"{wanted}conv"):
        if key in classes:
            return getattr(pyg, classes[key])
    known = sorted(key.removesuffix("Conv") for key in classes.values() if key.endswith("Conv"))
    raise UnknownNameError(f"PyG has no convolution {name!r}; it has {', '.join(known)}")


def make_convolution(name: str, channels: int) -> nn.Module:
    """Build one convolution of equal width in and out.

    Raises
    ------
    ConfigError
        If it needs more than two widths (edge types, kernel sizes).
    """
    cls = resolve_convolution(name)
    parameters = inspect.signature(cls.__init__).parameters
    if "nn" in parameters:
        return cls(_two_layers(channels))
    try:
        return cls(channels, channels)
    except TypeError as error:
        raise ConfigError(
            f"{name} cannot be built from its widths alone ({error}); use it in a model of your own"
        ) from error


class Scale(nn.BatchNorm1d):
    """Bring each feature to mean 0 and spread 1: by `fit`, or else by the training batches so far.

    The spread is the root of the variance plus 1e-5, so features that vary as little as frequencies
    of dipeptides get less, about 0.6.

    Running averages would start from a variance of 1 and forget it over more than a hundred
    steps, where dipeptides have 1e-5: the mean over all batches so far (momentum None) is right
    from the first step.

    Parameters
    ----------
    width : int
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, momentum=None, affine=False)
        self.fitted = False

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the head that it belongs to."""
        mean: Any = self.running_mean
        return mean.dtype

    @property
    def device(self) -> torch.device:
        """Where the head is that it belongs to."""
        mean: Any = self.running_mean
        return mean.device

    def fit(self, x: Tensor) -> None:
        """Take mean and spread from `x`, shape (n, width), and keep them from now on."""
        self.fitted = False
        self.reset_running_stats()
        if len(x) > 1:
            self.train()
            with torch.no_grad():
                self(x)
        self.fitted = True
        self.eval()

    def train(self, mode: bool = True) -> Scale:
        """Take statistics of batches in training mode, unless they are fitted."""
        super().train(mode and not self.fitted)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Scale, in the precision of the head; what is far outside of training is cut off."""
        return super().forward(x.to(self.dtype)).clamp(-_FAR, _FAR)

    def distance(self, x: Tensor) -> Tensor:
        """Return the mean squared scaled feature of each row; where fitted, at most 1 in the mean.

        Returns
        -------
        Tensor, dtype=float64, shape=(n,)
        """
        with torch.no_grad(), evaluating(self):
            scaled: Tensor = self(x)
        return scaled.double().square().mean(dim=1)


class GraphEncoder(nn.Module):
    """Project node features, then mix them over edges.

    ``h = W x``; per layer ``h = h + dropout(relu(conv(norm(h))))``, so that a protein keeps what
    its own sequence says, also without any edge.

    Parameters
    ----------
    in_channels, channels : int
    layers : int
        Convolutions; 0 uses no edge.
    conv : str
        See `resolve_convolution`; ``none`` for none.
    dropout : float
    gated : int
        This many of the last features count for proteins with edges only: what helps to tell known
        proteins apart, such as dipeptides, misleads about new ones.
    """

    @default_dtype(torch.float32)
    def __init__(
        self,
        in_channels: int,
        channels: int,
        layers: int,
        conv: str,
        dropout: float,
        gated: int = 0,
    ) -> None:
        super().__init__()
        count = 0 if isinstance(conv, str) and conv.lower() == "none" else layers
        # Features of encoders have very different scales.
        self.scale = Scale(in_channels)
        self.gated, free = gated, in_channels - gated
        self.project = nn.Sequential(nn.Linear(free, channels), nn.ReLU(), Dropout(dropout))
        self.project_known = (
            nn.Sequential(nn.Linear(gated, channels), nn.ReLU(), Dropout(dropout))
            if gated
            else None
        )
        self.convs = nn.ModuleList(make_convolution(conv, channels) for _ in range(count))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(count))
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Return node states, shape (n, channels)."""
        x = self.scale(x)
        h = self.project(x[:, : x.shape[1] - self.gated])
        if self.project_known is not None:
            if known is None:
                known = x.new_zeros(len(x), dtype=torch.bool).index_fill(
                    0, edge_index.ravel(), True
                )
            h = h + known[:, None] * self.project_known(x[:, x.shape[1] - self.gated :])
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = h + self.dropout(torch.relu(_apply(conv, norm(h), edge_index, edge_weight)))
        return h


def no_edges(device: torch.device | str = "cpu") -> Tensor:
    """Return the edges of proteins without a graph, int64 of shape (2, 0)."""
    return torch.empty((2, 0), dtype=torch.int64, device=device)


def _apply(conv: nn.Module, h: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> Tensor:
    takes_weight = (
        edge_weight is not None and "edge_weight" in inspect.signature(conv.forward).parameters
    )
    return conv(h, edge_index, edge_weight) if takes_weight else conv(h, edge_index)


def _two_layers(channels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))

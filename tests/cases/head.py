"""What every head keeps to, and those that score pairs."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lcplm_graph.errors import InputError
from lcplm_graph.heads.base import Head
from lcplm_graph.heads.kinds import HEADS
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.recipe import Recipe

WIDTH, NODES = 6, 12


class HeadCase(ABC):
    """Logits of nodes, or of pairs, that learn and do without edges."""

    options: ClassVar[dict[str, Any]] = {}
    width = WIDTH

    @property
    @abstractmethod
    def name(self) -> str:
        """What `HEADS` knows it by."""

    @abstractmethod
    def logits(self, head, graph):
        """Logits of some nodes or pairs."""

    @pytest.fixture
    def head(self):
        torch.manual_seed(0)
        return HEADS.make(self.name, base=Head, in_channels=self.width, **self.options).eval()

    @pytest.fixture
    def graph(self):
        x = torch.randn(NODES, self.width, generator=torch.Generator().manual_seed(1))
        ring = torch.arange(NODES - 2)  # two proteins have no edge
        edges = torch.stack([ring, (ring + 1) % (NODES - 2)])
        return x, torch.cat([edges, edges.flip(0)], 1)

    def test_it_learns(self, head, graph):
        with torch.no_grad():
            shape = self.logits(head, graph).shape
        labels = (torch.arange(shape.numel()).reshape(shape) % 3 == 0).float()
        optimiser = torch.optim.Adam(head.train().parameters(), 0.01)
        losses = []
        for _ in range(30):
            loss = binary_cross_entropy_with_logits(self.logits(head, graph), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_other_features_are_refused(self, head, graph):
        with pytest.raises(InputError, match=f"features of width {self.width}"):
            self.logits(head, (graph[0][:, 1:], graph[1]))

    def test_the_same_graph_has_the_same_logits(self, head, graph):
        with torch.no_grad():
            first, second = self.logits(head, graph), self.logits(head, graph)
        assert torch.equal(first, second)
        assert bool(first.isfinite().all())


class LinkHeadCase(HeadCase):
    """Symmetric scores, the same by rows and by pairs, also after being saved."""

    def logits(self, head, graph):
        return head(*graph, torch.tensor([[0, 1], [2, 3], [4, 9], [5, 11]]))

    def test_a_pair_has_one_score(self, head, graph):
        pairs = torch.tensor([[0, 1], [3, 7], [10, 11]])
        with torch.no_grad():
            forward, backward = head(*graph, pairs), head(*graph, pairs.flip(1))
        assert forward.shape == (3,)
        assert bool(forward.isfinite().all())
        torch.testing.assert_close(forward, backward)

    def test_a_row_says_what_pairs_say(self, head, graph):
        with torch.no_grad():
            h = head.embed(*graph)
            pairs = torch.stack([torch.full((NODES - 1,), 4), torch.arange(1, NODES)], 1)
            torch.testing.assert_close(
                head.row(h, 4, torch.arange(1, NODES)), head.decode(h, pairs)
            )

    def test_it_is_saved_and_read(self, head, graph, tmp_path):
        recipe = Recipe(head=self.name, **{"conv": "GraphSAGE", **self.options})
        LinkModel([head], [recipe]).save(tmp_path)
        (again,) = LinkModel.load(tmp_path).members
        assert type(again) is type(head)
        pairs = torch.tensor([[0, 1], [3, 10]])
        with torch.no_grad():
            torch.testing.assert_close(
                head(*graph, pairs), again(*graph, pairs), rtol=1e-2, atol=1e-2
            )

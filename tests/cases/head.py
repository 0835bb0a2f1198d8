"""What every head that scores pairs keeps to."""

from abc import ABC, abstractmethod
from typing import ClassVar

import pytest
import torch

from lcplm_graph.errors import InputError
from lcplm_graph.heads.kinds import link_head
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.recipe import Recipe

WIDTH, NODES = 6, 12


class LinkHeadCase(ABC):
    """Symmetric scores that learn, work without edges, and survive being saved."""

    options: ClassVar[dict[str, str]] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """What `link_head` knows it by."""

    @pytest.fixture
    def head(self):
        torch.manual_seed(0)
        return link_head(self.name, in_channels=WIDTH, **self.options).eval()

    @pytest.fixture
    def graph(self):
        x = torch.randn(NODES, WIDTH, generator=torch.Generator().manual_seed(1))
        ring = torch.arange(NODES - 2)  # two proteins have no edge
        edges = torch.stack([ring, (ring + 1) % (NODES - 2)])
        return x, torch.cat([edges, edges.flip(0)], 1)

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
            torch.testing.assert_close(head.row(h[4], h[1:]), head.decode(h, pairs))

    def test_it_learns(self, head, graph):
        pairs = torch.tensor([[0, 1], [2, 3], [4, 9], [5, 11]])
        labels = torch.tensor([1.0, 1.0, 0.0, 0.0])
        optimiser = torch.optim.Adam(head.train().parameters(), 0.01)
        losses = []
        for _ in range(30):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(head(*graph, pairs), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_other_features_are_refused(self, head, graph):
        with pytest.raises(InputError, match=f"features of width {WIDTH}"):
            head(graph[0][:, 1:], graph[1], torch.tensor([[0, 1]]))

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

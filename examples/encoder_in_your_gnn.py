"""Protein features in your own PyG model: the lines that matter are in `main`.

python examples/encoder_in_your_gnn.py
"""

import argparse
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score
from torch_geometric.nn import GCNConv
from tqdm import tqdm

from lcplm_graph import AddProteinFeatures, StringPPI
from lcplm_graph.evaluation.maps import draw_embeddings
from lcplm_graph.evaluation.report import Report
from lcplm_graph.heads.fit_link import message_graph


class YourGNN(torch.nn.Module):
    """Two graph convolutions; edges are scored by dot products."""

    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(width)
        self.first, self.second = GCNConv(width, 64), GCNConv(64, 64)

    def forward(self, x, edge_index):
        """Return node states."""
        return self.second(self.first(self.norm(x), edge_index).relu(), edge_index)


def scores(h, pairs):
    """Dot product of the two proteins of each pair."""
    return (h[pairs[:, 0]] * h[pairs[:, 1]]).sum(1)


def main():
    """Features, a split, your model, your loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="composition", help="composition, random:1m, ...")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("outputs/encoder_in_your_gnn"))
    options = parser.parse_args()

    dataset = StringPPI("string_human_core")
    data = AddProteinFeatures(options.encoder)(dataset)  # data.x, computed once and cached
    split = dataset.split(kind="C1", disjoint=0.5)  # message edges apart from training pairs
    edge_index, _ = message_graph(split)
    positive = torch.from_numpy(split.positives("train"))
    model = YourGNN(data.num_features)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in tqdm(range(options.epochs), desc="training"):
        negative = torch.from_numpy(split.negatives("train", seed=epoch))
        h = model(data.x, edge_index)
        logits = torch.cat([scores(h, positive), scores(h, negative)])
        target = (torch.arange(len(logits)) < len(positive)).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.eval()
    with torch.no_grad():
        h = model(data.x, edge_index)
    report = Report("Your GNN", {"part": "part", "auroc": "AUROC"})
    report.facts = {"encoder": options.encoder, "negatives": "stub_matched, 1 per positive"}
    for part in ("valid", "test"):
        positive, negative = (torch.from_numpy(f(part)) for f in (split.positives, split.negatives))
        logits = scores(h, torch.cat([positive, negative]))
        target = torch.arange(len(logits)) < len(positive)
        report.rows.append({"part": part, "auroc": roc_auc_score(target, logits)})
    print(report)
    draw_embeddings(
        options.out / "states.png", h, [None] * len(h), "states of your GNN, string_human_core"
    )
    print(f"written: {options.out}/states.png")


if __name__ == "__main__":
    main()

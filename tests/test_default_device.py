"""Results are the same, and on the CPU, whatever torch's default device is."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._device import _device_constructors

import lcplm_graph
from lcplm_graph.datasets.memory import MemoryPPI, from_dataframe
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.target import Target
from lcplm_graph.heads.fit import FitOptions, fit_function, fit_homology
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homology import HomologyClassifier
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.loaders import link_loader, node_loader
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.zero_shot import score_pairs
from lcplm_graph.tokens.masking import mask_tokens
from lcplm_graph.tokens.packing import pad, pad_mask_to_cu_seqlens, tokenize
from lcplm_graph.training.fit_decoder import fit_decoder, new_decoder
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

PROTEINS = ["MKTAYIAKQR", "GAVLIMFW", "M"]
EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
NONE = torch.empty((2, 0), dtype=torch.int64)
FIT = FitOptions(steps=2, every=1, batch_size=64)


@pytest.fixture(scope="module")
def ring() -> MemoryPPI:
    import pandas as pd

    count = 40
    pairs = [(f"P{i}", f"P{(i + k) % count}") for i in range(count) for k in (1, 2, 3)]
    sequences = {
        f"P{i}": "MKTAYIAKQR" * 2 + "ACDEFGHIKLMNPQRSTVWY"[i % 20] * i for i in range(count)
    }
    edges = pd.DataFrame(pairs, columns=["protein1", "protein2"]).assign(weight=0.5)
    return from_dataframe(edges, sequences, weight="weight")


def encoders(_: MemoryPPI) -> Iterator[Any]:
    for name in ("composition", "dipeptide", "lcplm-1m", "random:1m"):
        encoder = load_encoder(name)
        yield from (encoder.embed(PROTEINS, pool) for pool in encoder.pools)
        yield from encoder.embed_residues(PROTEINS)
    encoder.embed_batch(PROTEINS, "mean_std").sum().backward()
    yield [p.grad for p in encoder.parameters() if p.grad is not None]
    yield score_pairs("lcplm-g-2m", [tuple(PROTEINS[:2])])
    yield score_pairs("lcplm-g-2m", [tuple(PROTEINS[:2])], by="stream")
    yield score_pairs("lcplm-g-2m", [])


def tokens(_: MemoryPPI) -> Iterator[Any]:
    packed = tokenize(PROTEINS * 9)
    generator = torch.Generator("cpu").manual_seed(0)
    yield packed
    yield mask_tokens(packed.input_ids, generator=generator)
    yield pad(packed)
    yield pad_mask_to_cu_seqlens(pad(packed)[1])


def datasets(ring: MemoryPPI) -> Iterator[Any]:
    again = MemoryPPI(ring[0], ring.sequences)
    yield again[0].edge_index, again[0].edge_weight, again[0].protein_id.rows()
    folder = Path(os.environ["LCPLM_DATA"])
    folder.mkdir()
    (folder / "pairs.tsv").write_text("a\tb\t1\nb\tc\t1\na\tc\t0\n")
    (folder / "pairs.fasta").write_text(">a\nMKTAYIAK\n>b\nMVLSPADK\n>c\nMGAGLLSR\n")
    graph = PairPPI(folder / "pairs.tsv", transform=AddProteinFeatures("dipeptide"))[0]
    yield graph.edge_index, graph.neg_edge_index, graph.edge_weight, graph.x
    yield graph.protein_id.rows(), graph.subgraph(EDGES[0]).edge_index
    for context in (None, "walks"):
        split = ring.split("random", seed=0) if context else None
        add = AddProteinFeatures("composition", context=context, split=split, progress=False)
        yield add(ring).x


def walks(ring: MemoryPPI) -> Iterator[Any]:
    sampler = WalkSampler(ring.split("random", seed=0), length=4)
    yield torch.from_numpy(sampler.walks(0, 8))
    stream = WalkStream(sampler, ring.sequences, max_tokens=128)
    yield stream[1].packed
    yield stream.batch(1, 512).packed


def loaders(ring: MemoryPPI) -> Iterator[Any]:
    data = AddProteinFeatures("composition", progress=False)(ring)
    split = ring.split("random", seed=0)
    for batch in node_loader(data, None, [2, 2], batch_size=9, shuffle=True):
        yield batch.x, batch.edge_index, batch.n_id, batch.protein_id.rows()
    mask = torch.from_numpy(split.classify(EDGES.T.numpy()) > 0)
    yield mask
    for batch in link_loader(data, split, "train", [2], batch_size=64, shuffle=True):
        yield batch.x, batch.edge_label_index, batch.edge_label, batch.edge_weight
    loader = link_loader(data, split, "test", [2], batch_size=4)
    yield loader([0, 1]).edge_label, len(loader)


def heads(ring: MemoryPPI) -> Iterator[Any]:
    split, x = ring.split("random", seed=0), load_encoder("composition").embed(ring.sequences)
    model = LinkModel.fit(x, split, members=2, options=FIT)
    yield torch.from_numpy(model.on(x, split).log_odds(split.held_out))
    yield torch.from_numpy(model.on(x, split).rows([0, 1]))
    mask = x[:, 0] >= 0
    function = made(FunctionPredictor, num_terms=2)
    yield fit_function(function, x, ring[0].edge_index, x[:, :2] > 0, mask, mask, FIT)(
        x, ring[0].edge_index
    )
    classifier = made(HomologyClassifier, num_classes=2)
    yield fit_homology(classifier, x, mask.long(), mask, mask, FIT)(x)
    for conv in ("GCN", "GraphSAGE", "GAT", "GIN"):
        yield made(LinkPredictor, conv=conv).train()(x, ring[0].edge_index, EDGES.T)
    decoder = fit_decoder(new_decoder(20, seed=0), x, split, steps=2, seed=0)
    yield [p.detach() for p in decoder.parameters()]
    yield made_property_model().logits(PROTEINS)


def made(kind: Callable[..., Any], **options: Any) -> Any:
    """Make a head on the CPU: modules of one's own follow torch's default device, as all do."""
    with torch.device("cpu"):
        torch.manual_seed(0)
        return kind(20, channels=8, dropout=0.0, **options)


def made_property_model() -> PropertyModel:
    torch.manual_seed(0)
    return PropertyModel(load_encoder("composition"), Target("regression", ("size",)), paired=False)


def tensors(value: Any) -> Iterator[Tensor]:
    """List all tensors in what a door gave."""
    if isinstance(value, Tensor):
        yield value.detach()
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


@pytest.mark.parametrize("door", [encoders, tokens, datasets, walks, loaders, heads])
def test_nothing_depends_on_the_default_device(
    door: Callable[[MemoryPPI], Iterator[Any]],
    ring: MemoryPPI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "plain"))
    expected = list(tensors(list(door(ring))))
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "meta"))
    with torch.device("meta"):
        found = list(tensors(list(door(ring))))
    assert len(found) == len(expected) > 0
    for number, (own, plain) in enumerate(zip(found, expected, strict=True)):
        assert own.device.type == "cpu", number
        assert torch.equal(own, plain), number


def test_every_tensor_names_its_device() -> None:
    """Parameters of modules alone follow torch's default device, as those of torch's modules do."""
    makers = {maker.__name__ for maker in _device_constructors()} | {"Generator"}
    nameless = []
    for path in sorted(Path(lcplm_graph.__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        if b"import torch\n" not in source:
            continue
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        followers = {
            id(part)
            for call in calls
            if function_of(call) in ("nn.Parameter", "self.register_buffer")
            for part in ast.walk(call)
        }
        nameless += [
            f"{path.name}:{call.lineno} {ast.unparse(call)}"
            for call in calls
            if function_of(call).removeprefix("torch.") in makers
            and id(call) not in followers
            and not (function_of(call) == "torch.Generator" and call.args)
            and not any(keyword.arg in ("device", None) for keyword in call.keywords)
        ]
    assert not nameless


def function_of(call: ast.Call) -> str:
    """Name what is called, with the module before it."""
    part = call.func
    if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
        return f"{part.value.id}.{part.attr}"
    return ""

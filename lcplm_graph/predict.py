"""`python -m lcplm_graph.predict partners | edges`: what is likely to interact, as a table.

A head is trained on the whole graph (a tenth of the edges decides when to stop), then scores
proteins that are not in the graph, or all pairs that it lacks.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcplm_graph.errors import LcPlmError
from lcplm_graph.models.shipped import DEFAULT_ENCODER

if TYPE_CHECKING:
    from torch import Tensor

    from lcplm_graph.heads.link import LinkPredictor
    from lcplm_graph.models.encoders import Encoder
    from lcplm_graph.splits.split import Split


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = make_parser().parse_args(argv)
    try:
        path = options.run(options)
    except LcPlmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"written: {path}")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="lcplm predict", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="partners | edges")
    partners = commands.add_parser("partners", help="of proteins that need not be in the graph")
    partners.add_argument("fasta", metavar="NEW.fasta")
    # A protein without edges is best served by its sequence alone.
    partners.set_defaults(run=_partners, top=20, conv="none")
    edges = commands.add_parser("edges", help="that the graph lacks")
    edges.set_defaults(run=_edges, top=1000, conv="GraphSAGE")
    for command in (partners, edges):
        default = "(default: %(default)s)"
        add = command.add_argument
        add("--out", required=True, help="FILE.tsv")
        add(
            "--graph",
            default="string_human_core",
            help=f"a STRING network, or pairs:FILE {default}",
        )
        add(
            "--encoder",
            default=DEFAULT_ENCODER,
            help=f"a name or path, see load_encoder {default}",
        )
        add(
            "--pool",
            choices=("mean", "mean_std", "cls", "max"),
            help="default: the one the encoder recommends",
        )
        add("--top", type=int, help=f"rows per protein, or in all {default}")
        add("--conv", help=f"convolution of the head, or none {default}")
        add("--decoder", default="hadamard-mlp", choices=("dot", "hadamard-mlp", "bilinear"))
        add("--steps", type=int, default=300, help=f"training steps at most {default}")
        add("--seed", type=int, default=0)
    return parser


def _partners(options: argparse.Namespace) -> Path:
    from lcplm_graph.features.store import cached_embeddings
    from lcplm_graph.heads.inference import partners_of
    from lcplm_graph.pairs import adjacency
    from lcplm_graph.proteins.store import SequenceStore

    store = SequenceStore.from_fasta(_existing(options.fasta))
    dataset, split, encoder, x, model = _trained(options)
    features = cached_embeddings(encoder, store, options.pool, progress=True)
    indptr, indices = adjacency(split.known, split.num_nodes)
    node_of = {int(d): i for i, d in enumerate(dataset.sequences.digests().tolist())}
    names, symbols = _names(dataset)
    rows = []
    found = partners_of(model, x, split, features, options.top)
    for name, digest, best in zip(store.ids, store.digests().tolist(), found, strict=True):
        own = node_of.get(int(digest))
        known = set() if own is None else set(indices[indptr[own] : indptr[own + 1]].tolist())
        for rank, (node, score) in enumerate(zip(best.nodes.tolist(), best.scores, strict=True), 1):
            told = "self" if node == own else "yes" if node in known else "no"
            rows.append((name, rank, names[node], symbols[node], f"{score:.4f}", told))
    header = ("query", "rank", "partner", "symbol", "log_odds", "known")
    return _write(options.out, header, rows)


def _edges(options: argparse.Namespace) -> Path:
    from lcplm_graph.heads.inference import new_edges

    dataset, split, _, x, model = _trained(options)
    pairs, scores = new_edges(model, x, split, options.top, progress=True)
    names, symbols = _names(dataset)
    rows = [
        (rank, names[i], names[j], symbols[i], symbols[j], f"{score:.4f}")
        for rank, ((i, j), score) in enumerate(zip(pairs.tolist(), scores, strict=True), 1)
    ]
    header = ("rank", "protein1", "protein2", "symbol1", "symbol2", "log_odds")
    return _write(options.out, header, rows)


def _trained(
    options: argparse.Namespace,
) -> tuple[Any, Split, Encoder, Tensor, LinkPredictor]:
    import torch

    from lcplm_graph.datasets.load import load_graph
    from lcplm_graph.evaluation.models import shown_name
    from lcplm_graph.features.store import cached_embeddings
    from lcplm_graph.heads.fit import FitOptions
    from lcplm_graph.heads.members import fit_link_members
    from lcplm_graph.models.encoders import load_encoder
    from lcplm_graph.splits.make import make_split

    dataset = load_graph(options.graph)
    encoder = load_encoder(options.encoder)
    options.pool = options.pool or encoder.pool
    encoder.to("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{options.graph}, encoder {shown_name(encoder)}", flush=True)
    split = make_split(dataset, "C1", seed=options.seed, valid=0.1, test=0.0)
    x = cached_embeddings(encoder, dataset.sequences, options.pool, progress=True)
    (model,) = fit_link_members(
        x, split, [options.seed], FitOptions(steps=options.steps, progress=True),
        conv=options.conv, decoder=options.decoder,
    )  # fmt: skip
    return dataset, split, encoder, x, model


def _names(dataset: Any) -> tuple[list[str], list[str]]:
    data = dataset[0]
    return data.protein_id, getattr(data, "symbol", None) or data.protein_id


def _write(path: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    from lcplm_graph.io import atomic_path

    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return Path(path)


def _existing(path: str) -> Path:
    from lcplm_graph.errors import DataError

    if not Path(path).is_file():
        raise DataError("no such file", path=path)
    return Path(path)


if __name__ == "__main__":
    sys.exit(main())

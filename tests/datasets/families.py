"""One small dataset of every family that ships, of files made here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import torch

from lcplm_graph.datasets.base import ProteinDataset
from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.memory import from_dataframe, from_networkx
from lcplm_graph.datasets.ogb import OGBLPPA, OGBNProteins
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.string import StringPPI

IDS = ["9.a", "9.b", "9.c", "9.d", "9.e", "9.f", "9.g", "9.h"]
SEQUENCES = {name: "MK" + "ACDEFGHI"[i] * (i + 2) for i, name in enumerate(IDS)}
# Two components, and h without an edge.
PAIRS = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (4, 5), (5, 6)]


def _frame() -> pd.DataFrame:
    rows = [(IDS[a], IDS[b], 0.5) for a, b in PAIRS]
    return pd.DataFrame(rows, columns=["protein1", "protein2", "weight"])


def _fasta(path: Path) -> Path:
    path.write_text("".join(f">{name}\n{text}\n" for name, text in SEQUENCES.items()))
    return path


def _pairs(folder: Path) -> PairPPI:
    rows = [f"{IDS[a]}\t{IDS[b]}\t1\n" for a, b in PAIRS] + [f"{IDS[0]}\t{IDS[7]}\t0\n"]
    (folder / "p.tsv").write_text("".join(rows))
    return PairPPI(folder / "p.tsv", _fasta(folder / "p.fasta"), root=folder)


def _networkx(folder: Path) -> Any:
    graph: nx.Graph = nx.Graph([(IDS[a], IDS[b]) for a, b in PAIRS])
    graph.add_node(IDS[7])
    return from_networkx(graph, SEQUENCES)


def _go(folder: Path, graph: Any = None) -> GOFunction:
    terms = "".join(
        f"\n[Term]\nid: GO:000000{i}\nname: t{i}\nnamespace: molecular_function\n"
        + (f"is_a: GO:000000{i - 1}\n" if i > 1 else "")
        for i in (1, 2, 3, 4)
    )
    (folder / "go.obo").write_text("format-version: 1.2\n" + terms)
    rows = [f"{name}\tGO:000000{2 + i % 3}\tIDA" for i, name in enumerate(IDS)]
    (folder / "go.tsv").write_text("\n".join(["protein\tgo_id\tevidence", *rows]) + "\n")
    own = {"sequences": _fasta(folder / "go.fasta")} if graph is None else {"graph": graph}
    return GOFunction(
        annotations=folder / "go.tsv",
        ontology=folder / "go.obo",
        root=folder,
        min_proteins=1,
        **own,
    )


def _homology(folder: Path) -> RemoteHomology:
    home = folder / "remote_homology"
    home.mkdir()
    for number, part in enumerate(("train", "valid", "test_fold_holdout")):
        records = [
            {"primary": text, "id": name, "fold_label": i % 2}
            | {"superfamily_label": i, "family_label": i}
            for i, (name, text) in enumerate(SEQUENCES.items())
            if i % 3 == number
        ]
        (home / f"remote_homology_{part}.json").write_text(json.dumps(records))
    return RemoteHomology(home, root=folder)


def _ogb(folder: Path, kind: type[Any]) -> Any:
    def write(path: Path, rows: list[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("".join(f"{row}\n" for row in rows).encode()))

    home = folder / "graph"
    named = [f"{i},{name}" for i, name in enumerate(IDS)]
    write(home / "mapping" / "nodeidx2proteinid.csv.gz", ["node idx,protein id", *named])
    write(home / "raw" / "edge.csv.gz", [f"{a},{b}" for a, b in PAIRS])
    if kind is OGBNProteins:
        write(home / "raw" / "edge-feat.csv.gz", ["0.1,0.2"] * len(PAIRS))
        write(home / "raw" / "node-label.csv.gz", ["1,0", "0,1"] * 4)
        write(home / "raw" / "node_species.csv.gz", ["9"] * 8)
        for part, nodes in (("train", range(4)), ("valid", (4, 5)), ("test", (6, 7))):
            write(home / "split" / "species" / f"{part}.csv.gz", list(nodes))
    else:
        write(home / "raw" / "node-feat.csv.gz", ["1,0"] * 8)
        split = home / "split" / "throughput"
        split.mkdir(parents=True)
        negative = {"edge_neg": np.array([[0, 7]])}
        torch.save({"edge": np.array(PAIRS)}, split / "train.pt")
        torch.save({"edge": np.array([[1, 3]]), **negative}, split / "valid.pt")
        torch.save({"edge": np.array([[3, 6]]), **negative}, split / "test.pt")
    return kind(home, _fasta(folder / "ogb.fasta"), root=folder)


def _string(folder: Path) -> StringPPI:
    info = "".join(f"{name}\t{name.upper()}\t9\tx\n" for name in IDS)
    links = "".join(f"{IDS[i]} {IDS[j]} 500\n" for a, b in PAIRS for i, j in ((a, b), (b, a)))
    fasta = "".join(f">{name}\n{text}\n" for name, text in SEQUENCES.items())
    files = {
        "links.v12.0.txt": f"protein1 protein2 combined_score\n{links}",
        "info.v12.0.txt": f"#string_protein_id\tpreferred_name\tprotein_size\tannotation\n{info}",
        "sequences.v12.0.fa": fasta,
    }
    (folder / "raw").mkdir()
    for name, text in files.items():
        (folder / "raw" / f"9.protein.{name}.gz").write_bytes(gzip.compress(text.encode()))
    return StringPPI(9, root=folder, offline=True)


FAMILIES: dict[str, Callable[[Path], ProteinDataset]] = {
    "PairPPI": _pairs,
    "StringPPI": _string,
    "from_dataframe": lambda folder: from_dataframe(_frame(), SEQUENCES, weight="weight"),
    "from_networkx": _networkx,
    "GOFunction": _go,
    "GOFunction of a graph": lambda folder: _go(folder, _networkx(folder)),
    "RemoteHomology": _homology,
    "OGBNProteins": lambda folder: _ogb(folder, OGBNProteins),
    "OGBLPPA": lambda folder: _ogb(folder, OGBLPPA),
}

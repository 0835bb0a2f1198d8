"""Open Graph Benchmark's protein graphs, read from its raw files, with the proteins' sequences.

OGB ships gzipped CSV below ``raw/``, ``split/`` and ``mapping/`` of one zip archive. They are read
here directly: the `ogb` package asks questions on the terminal and unpickles its caches, and is
needed for its evaluators only (extra ``[ogb]``).
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import torch
from torch import Tensor
from torch_geometric.data import Data

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.cache import Built, Hooks, PathLike, as_paths, cache_of_files
from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.catalog import load_card
from lcplm_graph.files.download import fetch_card_file
from lcplm_graph.files.tables import BadTable, read_csv
from lcplm_graph.io import raise_if_full, warn_once
from lcplm_graph.proteins.fasta import read_fasta
from lcplm_graph.proteins.store import SequenceStore

#: Stands in the `SequenceStore` for a sequence that was not found; see `has_sequence`.
NO_SEQUENCE = "X"


class OGBDataset(PPIDataset):
    """What the graphs of OGB share: files, nodes with sequences, the evaluator.

    Parameters
    ----------
    archive : path-like, optional
        OGB's zip archive, or the folder it unpacks to; fetched by default.
    sequences : path-like or list, optional
        FASTA files of STRING v11.0, whole or by species; by default the whole file is fetched.
    root, transform, pre_transform, pre_filter, force_reload
        As in `ProteinDataset`.

    Attributes
    ----------
    report : dict of str to int
        ``proteins`` and ``proteins_without_sequence``.

    Raises
    ------
    DataError
        If a file is missing, damaged, or does not fit the others.
    WriteError
        If the disk is full while the archive is unpacked.
    ConfigError
        If `sequences` is an empty list.

    References
    ----------
    .. [1] Hu et al., NeurIPS 2020, arXiv:2005.00687.
    """

    card = ""
    ogb_name = ""

    def __init__(
        self,
        archive: PathLike | None = None,
        sequences: Any = None,
        *,
        root: PathLike | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        card = load_card(self.card)
        archive = Path(fetch_card_file(card, "archive") if archive is None else archive)
        fasta = as_paths(sequences) or [fetch_card_file(card, "sequences")]
        self.inputs = {"archive": [archive], "sequences": fasta}
        cache = cache_of_files(type(self).__name__, self.inputs, {}, root, hooks)
        super().__init__(cache, **hooks)

    def build(self) -> Built:
        """Read the graph and the split, and join the sequences by STRING id."""
        source = self.inputs["archive"][0]
        with TemporaryDirectory() as folder:
            home = source if source.is_dir() else _unzipped(source, Path(folder))
            ids = _mapping(home / "mapping" / "nodeidx2proteinid.csv.gz")
            data = self._graph(home, len(ids))
        store, found = _join_sequences(ids, self.inputs["sequences"])
        data.protein_id, data.num_nodes = ids, len(ids)
        data.has_sequence = torch.from_numpy(found)
        missing = int((~found).sum())
        if missing:
            warn_once(
                f"{self.ogb_name}: {missing} of {len(ids)} proteins have no sequence in the files "
                f"given; they hold {NO_SEQUENCE!r}, see `data.has_sequence`"
            )
        return Built(data, store, {"proteins": len(ids), "proteins_without_sequence": missing})

    def _graph(self, home: Path, num_nodes: int) -> Data:
        raise NotImplementedError

    def _evaluator(self, module: str) -> Any:
        try:
            evaluators = importlib.import_module(f"ogb.{module}")
        except ImportError as error:
            raise ConfigError(
                f"OGB's evaluators need the package ogb: pip install 'lcplm-graph[ogb]' ({error})"
            ) from error
        return evaluators.Evaluator(name=self.ogb_name)


class OGBNProteins(OGBDataset):
    """ogbn-proteins: 112 functions of proteins of 8 species, split by species.

    Parameters and errors are those of `OGBDataset`.

    Notes
    -----
    ``dataset[0]`` has `edge_index` (both directions, sorted), `edge_attr` (float32, (m, 8), the
    channels of STRING), `edge_weight` (the largest channel), `y` (bool, (n, 112)), `species`
    (int64, NCBI taxon), `train_mask`, `val_mask`, `test_mask`, `protein_id`, `has_sequence`.
    """

    card = "ogbn_proteins"
    ogb_name = "ogbn-proteins"

    def evaluator(self) -> Any:
        """Return OGB's own evaluator (ROC-AUC averaged over functions); needs ``[ogb]``."""
        return self._evaluator("nodeproppred")

    def _graph(self, home: Path, num_nodes: int) -> Data:
        pairs = _edges(home / "raw" / "edge.csv.gz", num_nodes)
        channels = _matrix(home / "raw" / "edge-feat.csv.gz", np.float32, len(pairs))
        edge_index, (attr,) = _both_directions(pairs, num_nodes, channels)
        labels_path = home / "raw" / "node-label.csv.gz"
        labels = _matrix(labels_path, np.uint8, num_nodes)
        if (labels > 1).any():
            line = int(np.argmax((labels > 1).any(axis=1))) + 1
            raise DataError("a label is neither 0 nor 1", path=labels_path, line=line)
        species = _matrix(home / "raw" / "node_species.csv.gz", np.int64, num_nodes)
        data = Data(
            edge_index=edge_index,
            edge_attr=attr,
            edge_weight=attr.amax(dim=1),
            y=torch.from_numpy(labels).bool(),
            species=torch.from_numpy(species[:, 0].copy()),
        )
        for part, mask in (("train", "train_mask"), ("valid", "val_mask"), ("test", "test_mask")):
            path = home / "split" / "species" / f"{part}.csv.gz"
            rows = _matrix(path, np.int64)[:, 0]
            if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < num_nodes:
                raise DataError(f"a node lies outside 0..{num_nodes - 1}", path=path)
            data[mask] = torch.zeros(num_nodes, dtype=torch.bool, device="cpu")
            data[mask][torch.from_numpy(rows)] = True
        return data


class OGBLPPA(OGBDataset):
    """ogbl-ppa: links between proteins of 58 species, held out by throughput of the evidence.

    Parameters and errors are those of `OGBDataset`.

    Notes
    -----
    ``dataset[0]`` has the training links as `edge_index` (both directions, sorted), `x`
    (float32, (n, 58), the species), `protein_id`, `has_sequence`, and the published pairs
    `train_edge`, `valid_edge`, `valid_edge_neg`, `test_edge`, `test_edge_neg` (int64, (k, 2)).
    """

    card = "ogbl_ppa"
    ogb_name = "ogbl-ppa"

    def evaluator(self) -> Any:
        """Return OGB's own evaluator (Hits@100); needs ``[ogb]``."""
        return self._evaluator("linkproppred")

    def _graph(self, home: Path, num_nodes: int) -> Data:
        pairs = _edges(home / "raw" / "edge.csv.gz", num_nodes)
        edge_index, _ = _both_directions(pairs, num_nodes)
        features = _matrix(home / "raw" / "node-feat.csv.gz", np.float32, num_nodes)
        data = Data(edge_index=edge_index, x=torch.from_numpy(features))
        data.edge_weight = edge_index.new_ones(edge_index.shape[1], dtype=torch.float32)
        for part in ("train", "valid", "test"):
            path = home / "split" / "throughput" / f"{part}.pt"
            content = _load_split(path)
            for key in ("edge", "edge_neg") if part != "train" else ("edge",):
                data[f"{part}_{key}"] = _split_pairs(content, key, num_nodes, path)
        return data


def _unzipped(archive: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(folder)
    except Exception as error:  # a damaged archive raises nearly anything
        raise_if_full(error, folder)
        # The message may hold all bytes of a directory that does not fit.
        message = f"not a whole zip archive; fetch it again ({error!s:.200})"
        raise DataError(message, path=archive) from error
    homes = [path.parent for path in folder.rglob("mapping") if path.is_dir()]
    if len(homes) != 1:
        raise DataError("not an archive of OGB: it has no folder `mapping`", path=archive)
    return homes[0]


def _read_csv(path: Path, header: bool = False) -> pa.Table:
    try:
        return read_csv(path, pacsv.ReadOptions(autogenerate_column_names=not header))
    except BadTable as error:
        raise DataError(f"cannot be read as comma-separated text ({error})", path=path) from error


def _mapping(path: Path) -> list[str]:
    table = _read_csv(path, header=True)
    if table.num_columns != 2 or not pa.types.is_string(table.column(1).type):
        raise DataError("a line is a node's number and its protein's id", path=path)
    if table.column(1).null_count:
        raise DataError("a node has no protein id", path=path)
    numbers, ids = table.column(0).to_numpy(), table.column(1).to_numpy()
    order = np.argsort(numbers, kind="stable")
    if numbers.dtype.kind != "i" or (numbers[order] != np.arange(len(ids))).any():
        raise DataError("the nodes are not numbered 0, 1, 2, ..., each once", path=path)
    return ids[order].tolist()


def _matrix(path: Path, dtype: type, num_rows: int | None = None) -> Any:
    table = _read_csv(path)
    if num_rows is not None and len(table) != num_rows:
        raise DataError(f"{len(table)} rows where the other files have {num_rows}", path=path)
    is_whole = np.issubdtype(dtype, np.integer)
    result = np.empty((len(table), table.num_columns), dtype=dtype)
    for i, column in enumerate(table.columns):
        is_kind = pa.types.is_integer(column.type)
        if not is_whole:
            is_kind = is_kind or pa.types.is_floating(column.type)
        if not is_kind or column.null_count:
            what = "whole number" if is_whole else "number"
            raise DataError(f"column {i + 1} holds a cell that is no {what}", path=path)
        values = column.to_numpy()
        result[:, i] = values
        fits = result[:, i] == values if is_whole else np.isfinite(result[:, i])
        if not fits.all():
            raise DataError(f"column {i + 1} holds numbers that are too large", path=path)
    return result


def _edges(path: Path, num_nodes: int) -> Any:
    pairs = _matrix(path, np.int64)
    outside = (pairs < 0) | (pairs >= num_nodes)
    if pairs.shape[1] != 2 or outside.any():
        line = int(np.argmax(outside.any(axis=1))) + 1
        message = f"an edge is two nodes in 0..{num_nodes - 1}"
        raise DataError(message, path=path, line=line)
    return pairs


def _both_directions(pairs: Any, num_nodes: int, *attributes: Any) -> tuple[Any, list[Any]]:
    """OGB stores each edge once; repeat it backwards, sorted, with what belongs to it."""
    keys = np.concatenate([pairs @ [num_nodes, 1], pairs @ [1, num_nodes]])
    order = np.argsort(keys, kind="stable")
    edge_index = torch.from_numpy(np.stack(np.divmod(keys[order], num_nodes)))
    rows = order % max(len(pairs), 1)
    return edge_index, [torch.from_numpy(values[rows]) for values in attributes]


def _load_split(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError("no such file; is the archive complete?", path=path)
    array: Any = np.zeros(1, dtype=np.int64).__reduce__()[0]
    allowed: list[Any] = [array, np.ndarray, np.dtype]
    allowed += [type(np.dtype(kind)) for kind in (np.int64, np.int32)]
    # OGB was written with NumPy 1, where the same function had another address.
    allowed.append((array, "numpy.core.multiarray._reconstruct"))
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, weights_only=True)
    except Exception as error:  # whatever damaged or forbidden bytes make the reader raise
        raise DataError(f"cannot be read as a split of OGB ({error})", path=path) from error
    if not isinstance(content, dict):
        raise DataError("the split is not a dictionary", path=path)
    return content


def _split_pairs(content: dict[str, Any], key: str, num_nodes: int, path: Path) -> Tensor:
    if key not in content:
        raise DataError(f"the split lacks {key!r}", path=path)
    try:
        pairs = torch.as_tensor(content[key], device="cpu")
        is_pairs = pairs.dim() == 2 and pairs.shape[1] == 2 and not pairs.is_floating_point()
        is_pairs = is_pairs and bool(((pairs >= 0) & (pairs < num_nodes)).all())
    except (TypeError, ValueError, RuntimeError):
        is_pairs = False
    if not is_pairs:
        message = f"{key!r} of the split is not pairs of nodes in 0..{num_nodes - 1}"
        raise DataError(message, path=path)
    return pairs.long()


def _join_sequences(ids: Sequence[str], fasta: Sequence[Path]) -> tuple[SequenceStore, Any]:
    wanted = pa.array(ids, pa.large_string())
    found: dict[str, str] = {}
    for path in fasta:
        for batch in read_fasta(path):
            part = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            found.update(
                zip(part.column("id").to_pylist(), part.column("sequence").to_pylist(), strict=True)
            )
    if not found:
        # None is named as in the mapping: perhaps all are spelt otherwise.
        for path in fasta:
            store = SequenceStore.from_fasta(path)
            rows = store.match(ids, str(path))
            found.update((ids[i], store[rows[i]]) for i in np.flatnonzero(rows >= 0).tolist())
    has = np.array([name in found for name in ids], dtype=bool)
    repeated = pd.Index(ids).duplicated()
    if repeated.any():
        raise DataError("the mapping names a protein twice", record=ids[int(np.argmax(repeated))])
    return SequenceStore.from_records(ids, (found.get(name, NO_SEQUENCE) for name in ids)), has

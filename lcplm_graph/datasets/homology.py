"""`RemoteHomology`: protein domains with fold, superfamily and family, from TAPE or SCOPe."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.base import ProteinDataset
from lcplm_graph.datasets.cache import Built, Hooks, PathLike, as_paths, cache_of_files
from lcplm_graph.datasets.node_strings import GraphStrings
from lcplm_graph.datasets.tape import TAPE_PARTS, read_tape
from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.catalog import load_card
from lcplm_graph.files.download import fetch_card_file
from lcplm_graph.files.tables import LINE, read_table, rows
from lcplm_graph.io import raise_if_full, warn_once
from lcplm_graph.proteins.store import SequenceStore

_LEVELS = ("class", "fold", "superfamily", "family")
_SCCS = r"^[a-z]\.\d+\.\d+\.\d+$"
_SPLITS = ("train", "valid", "test_fold", "test_superfamily", "test_family", "test")
_ROLES = {"tape": "tape_lmdb", "tape_json": "tape_json", "scope40": "scope40"}


class RemoteHomology(ProteinDataset):
    """Domains to be classified by fold, superfamily and family.

    Parameters
    ----------
    source : {"tape", "tape_json", "scope40"} or path-like
        A file of the card ``remote_homology``, fetched when needed; or your own: TAPE's archive
        (.tar.gz) or folder of ``remote_homology_<part>.lmdb`` or ``.json``, or a SCOPe/ASTRAL
        FASTA file (``>d1dlwa_ a.1.1.1 (A:) ...``).
    labels : path-like, optional
        With a FASTA file: a table with the columns `domain` and `split`, and, if you like, `family`
        (``a.1.1.1``), which is then preferred to the headers. Domains that are not in it are
        left out and counted.
    root, transform, pre_transform, pre_filter, force_reload
        As in `ProteinDataset`.

    Attributes
    ----------
    report : dict of str to int
        Domains read, kept, left out by reason, and sequences of a test part that also occur in
        the training part.

    Raises
    ------
    DataError
        With file and line or record: a header without class.fold.superfamily.family, a label
        that is not a number, a split that is not known, damaged files.
    WriteError
        If the disk is full while TAPE's archive is unpacked.

    Notes
    -----
    ``dataset[0]`` holds `fold`, `superfamily`, `family` (int64, (n,), -1 = unknown; `y` is
    `fold`), `fold_names` and so on for SCOPe, `protein_id`, and the masks `train_mask`,
    `val_mask` and, as far as the source has them, `test_fold_mask`, `test_superfamily_mask`,
    `test_family_mask`. SCOPe's family numbers 0 stand for "automated matches", not for a
    family: such domains have family -1 and are counted.

    References
    ----------
    .. [1] Rao et al., NeurIPS 2019 (TAPE); Hou et al., Bioinformatics 34, 1295 (2018) (split).
    .. [2] Chandonia et al., Nucleic Acids Research 50, D553 (2022) (SCOPe).
    """

    def __init__(
        self,
        source: PathLike = "tape",
        labels: PathLike | None = None,
        *,
        root: PathLike | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        if source in _ROLES:
            source = fetch_card_file(load_card("remote_homology"), _ROLES[str(source)])
        self._is_tape = Path(source).is_dir() or _is_tar(Path(source))
        if self._is_tape and labels is not None:
            raise ConfigError("TAPE's records have their labels; `labels` is for FASTA files")
        self.inputs = {"source": [Path(source)], "labels": as_paths(labels)}
        super().__init__(cache_of_files("RemoteHomology", self.inputs, {}, root, hooks), **hooks)

    def build(self) -> Built:
        """Make labels and masks, the sequences, and counts."""
        source = self.inputs["source"][0]
        data, store, report = (
            _from_tape(source) if self._is_tape else read_scope(source, self.inputs["labels"])
        )
        data.y, data.protein_id, data.num_nodes = data.fold, store.ids, len(store)
        report["domains"] = len(store)
        report |= _shared_with_training(data, store, source)
        return Built(data, store, report)


def _from_tape(source: Path) -> tuple[Data, SequenceStore, dict[str, Any]]:
    with TemporaryDirectory() as folder:
        records = list(read_tape(source if source.is_dir() else _unpacked(source, Path(folder))))
    if not records:
        raise DataError("the files hold no record", path=source)
    frame = pd.DataFrame(records, columns=["id", "sequence", "part", "labels"])
    repeats = frame.groupby("id").cumcount()
    ids = frame["id"].where(repeats == 0, frame["id"] + "#" + (repeats + 1).astype(str))
    if repeats.any():
        warn_once(f"{source}: {int((repeats > 0).sum())} ids occur again; they got #2, #3, ...")
    labels = torch.tensor(frame["labels"].tolist(), dtype=torch.int64, device="cpu")
    data = Data()
    data.fold, data.superfamily, data.family = labels.unbind(dim=1)
    for part, mask in TAPE_PARTS.items():
        if (frame["part"] == part).any():
            data[mask] = torch.from_numpy((frame["part"] == part).to_numpy().copy())
    store = SequenceStore.from_records(ids, frame["sequence"])
    return data, store, {"repeated_ids": int((repeats > 0).sum())}


def read_scope(source: Path, labels: Sequence[Path]) -> tuple[Data, SequenceStore, dict[str, Any]]:
    """Read domains of SCOPe: FASTA with the family in each header, or a table of labels beside it.

    Parameters
    ----------
    source : pathlib.Path
    labels : sequence of pathlib.Path
        None or one, see `read_scope_labels`.

    Returns
    -------
    data : Data
        Numbers of the levels, and masks of the parts where a table tells them.
    sequences : SequenceStore
    report : dict of str to int

    Raises
    ------
    DataError
        If a family is none, or as `read_scope_labels`.
    """
    store = SequenceStore.from_fasta(source)
    family = pd.Series(store.table["description"].to_pandas()).str.partition(" ")[0]
    split: pd.Series | None = None
    report: dict[str, Any] = {"without_label": 0, "labels_without_sequence": 0}
    if labels:
        table = read_scope_labels(labels[0])
        where = store.match(table["domain"], str(labels[0]))
        report["labels_without_sequence"] = int((where < 0).sum())
        table, where = table[where >= 0].reset_index(drop=True), where[where >= 0]
        report["without_label"] = len(store) - len(where)
        store, split = store.select(where), table["split"]
        family = table["family"] if "family" in table else family.iloc[where]
        family = family.reset_index(drop=True)
    _check_families(family, store, labels[0] if labels and "family" in table else source)
    data = _number_levels(family)
    report["automated_matches"] = int((data.family < 0).sum())
    if split is not None:
        for part in sorted(split.unique()):
            mask = "val_mask" if part == "valid" else f"{part}_mask"
            data[mask] = torch.from_numpy((split == part).to_numpy().copy())
    return data, store, report


def _check_families(family: pd.Series, store: SequenceStore, path: Path) -> None:
    right = family.str.match(_SCCS).to_numpy(dtype=bool)
    if not right.all():
        row = int(np.argmin(right))
        raise DataError(
            f"no class.fold.superfamily.family such as 'a.1.1.1' but {family[row]!r}",
            path=path,
            record=store.ids[row],
        )


def _number_levels(family: pd.Series) -> Data:
    data = Data()
    parts = family.str.split(".")
    for depth, level in enumerate(_LEVELS[1:], start=2):
        names = parts.str[:depth].str.join(".")
        # Number 0 collects what was matched automatically and belongs to no single family.
        names = names.where(parts.str[depth - 1] != "0", None)
        codes, unique = pd.factorize(names, sort=True)
        data[level] = torch.from_numpy(codes.astype(np.int64))
        data[f"{level}_names"] = GraphStrings(unique.tolist())
    return data


def read_scope_labels(path: Path) -> pd.DataFrame:
    """Read a table of domains, their part, and their family where it has that column.

    Raises
    ------
    DataError
        If a column is missing, a part is none, or a domain is there twice.
    """
    line, header = next(rows(path), (1, []))
    lacking = [name for name in ("domain", "split") if name not in header]
    if lacking:
        raise DataError(f"no column {' and '.join(lacking)} in the header", path=path, line=line)
    columns = {name: i for i, name in enumerate(header)}
    table = read_table(path, columns, [len(header)], skip=line).to_pandas()
    for wrong, message in (
        (~table["split"].isin(_SPLITS), f"its split is not one of {', '.join(_SPLITS)}:"),
        (table["domain"].duplicated(), "the domain was there before, with"),
    ):
        if wrong.any():
            row = table.iloc[int(np.argmax(wrong))]
            raise DataError(
                f"{message} {row['split']!r}",
                path=path,
                line=int(row[LINE]),
                record=row["domain"],
            )
    return table


def _shared_with_training(data: Data, store: SequenceStore, path: Path) -> dict[str, int]:
    digests, counts = store.digests(), {}
    if "train_mask" not in data:
        return {}
    training = digests[data.train_mask.numpy()]
    for key in sorted(key for key in data.to_dict() if key.startswith("test")):
        shared = int(np.isin(digests[data[key].numpy()], training).sum())
        counts[f"{key.removesuffix('_mask')}_sequences_in_training"] = shared
        if shared:
            warn_once(f"{path}: {shared} sequences of {key} also occur in training")
    return counts


def _is_tar(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".tar", ".tar.gz", ".tgz"))


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the files we know of TAPE's archive, refusing paths that lead elsewhere."""
    try:
        with tarfile.open(archive) as tar:
            wanted = [m for m in tar.getmembers() if "remote_homology_" in m.name]
            tar.extractall(folder, members=wanted, filter="data")
    except (tarfile.TarError, EOFError, OSError, ValueError, LookupError, zlib.error) as error:
        raise_if_full(error, folder)
        message = f"the archive is truncated, damaged or unsafe; fetch it again ({error})"
        raise DataError(message, path=archive) from error
    homes = {path.parent for path in folder.rglob("remote_homology_*.*")}
    homes = {home for home in homes if not home.name.endswith(".lmdb")}
    if len(homes) != 1:
        message = "the archive holds no single folder of remote_homology_<part> files"
        raise DataError(message, path=archive)
    return homes.pop()

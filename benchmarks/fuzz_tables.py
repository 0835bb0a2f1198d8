"""Readers of tables of labels, variants and names, of embeddings, and of structures."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import h5py
import lmdb
import numpy as np
import plain_parsers as plain
import pyarrow as pa
import pyarrow.parquet as pq
from biotite.structure.io import pdbx
from fuzz_apart import forked
from fuzz_core import Reader

from lcplm_graph.datasets import tape
from lcplm_graph.datasets.aliases import read_aliases, read_symbols
from lcplm_graph.datasets.homology import read_scope, read_scope_labels
from lcplm_graph.datasets.published import read_labelled_table
from lcplm_graph.evaluation.homology import read_known
from lcplm_graph.evaluation.map_labels import read_labels
from lcplm_graph.evaluation.variants import Assay, read_assays, site_independent_scores
from lcplm_graph.features.precomputed import read_embeddings
from lcplm_graph.finetuning.examples import Columns, read_examples
from lcplm_graph.finetuning.table import read_table_file
from lcplm_graph.heads.questions import read_pairs
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.tasks.structures import read_chains
from lcplm_graph.tasks.variant_table import read_rows, variants_of
from lcplm_graph.tasks.variants import parse_variant

LABELLED_BY_COMMAS = b"protein1,protein2,label\nP1,P2,1\nP2,P3,0\nP1,P4,\nP3,P1,1.0\n"
LABELLED = b"P1\tP2\t1\nP2\tP3\t0\nP1\tP4\t\nP3\tP1\t1.0\n"
ALIASES = b"#string_protein_id\talias\tsource\n9606.a\tTP53\tBLAST_x\n9606.b\tQ9\tUniProt_AC\n"
CSV = b'sequence,label,split\nMKTAYIAK,0.5,train\n"MV,L",1e2,test\nMGG, -3 ,train\n'
TSV = b"id\tsequence\tlabel\n" + b"".join(
    b"p%d\tMKT%s\t%d\n" % (i, b"A" * i, i % 2) for i in range(12)
)
VARIANTS = b"protein\tvariant\tscore\na\tK2R\t0.5\n# note\na\tM1A:T3V\t-1\n"
LIST = b"K2R\nT3_A4del\nK2_T3insGG\n"
ASSAY = b"mutant,DMS_score\nK2R,0.5\nM1A:T3V,-1e-3\n"
KNOWN = b"method\tfold\tfamily\nx\t0.5\t0.25\ny\t\t1\n"
ATOM = "ATOM  %5d  CA  %s A%4d    %8.3f%8.3f%8.3f  1.00  0.00           C  \n"
PDB = "".join(
    ATOM % (i, name, i, 3.8 * i, 0, 0) for i, name in enumerate(("MET", "LYS", "GLY", "THR"), 1)
).encode()
CIF_COLUMNS = (
    "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id",
    "label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y",
    "Cartn_z", "occupancy", "B_iso_or_equiv", "auth_seq_id", "auth_comp_id", "auth_asym_id",
    "auth_atom_id", "pdbx_PDB_model_num",
)  # fmt: skip
CIF = ("data_x\nloop_\n" + "".join(f"_atom_site.{name}\n" for name in CIF_COLUMNS)).encode()
CIF += b"".join(
    b"ATOM %d C CA . %s A 1 %d ? %.3f 0 0 1 0 %d %s A CA 1\n" % (i, n, i, 3.8 * i, i, n)
    for i, n in enumerate((b"MET", b"LYS", b"GLY"), 1)
) + b"#\n"  # fmt: skip
RECORDS = [
    {"id": f"d{i}", "primary": "MKT" * (i + 1), "fold_label": i}
    | {"superfamily_label": i, "family_label": 0}
    for i in range(3)
]
SYMBOLS = b"#string_protein_id\tpreferred_name\tsize\na\tTP53\t3\nb\tMDM2\t4\n"
STORE = SequenceStore.from_records(["a"], ["MKTAYIAK"])


VALUES = tuple(
    pickle.dumps({"primary": "MKT", "id": b"a", name: np.array(value)}, 4)
    for name, value in (("log_fluorescence", [0.5]), ("ss3", [0, 1, -1]))
)


SCOPE = b">d1a a.1.1.1 (A:) one\nMKT\n>d2a a.1.1.2 (A:) two\nMVL\n>d3a b.2.1.0 (B:)\nMGG\n"
DOMAINS = b"domain\tsplit\tfamily\nd1a\ttrain\ta.1.1.1\nd2a\tvalid\ta.1.1.2\n"
ALIGNED = b">x/1-8\nMKTA-YI\n>y\nM-TA.YV\n>z\nMRTAAYI\n"


def _written(suffix: str, write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        write(path)
        return path.read_bytes()


def _write_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("a", "b"):
            file[name] = np.ones(4, np.float32)


def _write_network_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["proteins"] = [b"9.a", b"9.b"]
        file["embeddings"] = np.ones((2, 4), np.float32)


def _write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"id": ["a", "b"], "embedding": [[1.0, 2.0], [0.5, 3.0]]}), path)


def _write_labels(path: Path) -> None:
    rows = {"id": list("abcdefghijkl"), "sequence": [f"MK{'T' * i}" for i in range(12)]}
    rows |= {"label": [i / 4 for i in range(12)], "split": ["train", "valid", "test"] * 4}
    pq.write_table(pa.table(rows), path)


def _write_bcif(path: Path) -> None:
    atoms = pdbx.get_structure(pdbx.CIFFile.read(io.StringIO(CIF.decode())), model=1)
    file = pdbx.BinaryCIFFile()
    pdbx.set_structure(file, atoms)
    file.write(path)


def _write_lmdb(path: Path) -> None:
    with lmdb.open(str(path), subdir=False, map_size=1 << 20) as db, db.begin(write=True) as now:
        now.put(b"num_examples", pickle.dumps(len(RECORDS)))
        for number, record in enumerate(RECORDS):
            now.put(str(number).encode(), pickle.dumps(record))


def _write_split(path: Path) -> None:
    split = Split("random", 9, [[0, 1], [1, 2]], [[0, 1], [1, 2]], [[3, 4], [5, 6]], [0, 1])
    split.save(path)


def _table(path: Path) -> Any:
    return read_table_file(path).columns


def _examples(path: Path) -> Any:
    found = read_examples(read_table_file(path), Columns(part="split"))
    return len(found), found.kind


def _labelled(path: Path) -> Any:
    found = read_labelled_table(path)
    return found.ends, found.labels


def _aliases(path: Path) -> Any:
    return [tuple(row.values()) for row in read_aliases(path).to_pylist()]


def _variants(path: Path) -> Any:
    return [(row.protein, row.text) for row in read_rows(path)]


def _assays(path: Path) -> Any:
    reference = path.with_name("reference")
    reference.write_text(f"DMS_id,DMS_filename,target_seq\nx,{path.name},MKTAYIAK\n")
    return len(read_assays(reference, path.parent))


def _tape(suffix: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        path.rename(path.with_name(f"remote_homology_train{suffix}"))
        with forked():
            return list(tape.read_tape(path.parent))

    return read


@contextmanager
def _one_value(raw: bytes) -> Iterator[Any]:
    """Stand for a database of one record."""
    yield SimpleNamespace(get={b"num_examples": pickle.dumps(1, 4), b"0": raw}.get)


def _value(path: Path) -> Any:
    """Read a record of TAPE as `read_records` and what asks it for labels do."""
    folder = path.parent / "tape"
    folder.mkdir(exist_ok=True)
    (folder / "fluorescence_train.lmdb").touch()
    with patch.object(tape, "open_values", lambda _: _one_value(path.read_bytes())):
        ((_, where, number, record),) = tape.read_records(folder, "fluorescence")
    labels: Any = [tape.sequence_of(record, where, number)]
    if "ss3" in record:
        return labels, tape.residue_labels(record, "ss3", where, number).tolist()
    return labels, tape.number_of(record, "log_fluorescence", where, number)


def _alignment(path: Path) -> Any:
    assay = Assay("x", "MKTAYIAK", [parse_variant("K2R", "MKTAYIAK")], np.ones(1), path)
    return site_independent_scores(assay, path).tolist()


def _domains(path: Path) -> Any:
    return sorted(map(str, read_scope(path, [])[0].keys()))


def _map_labels(path: Path) -> Any:
    return read_labels(path, ["P1", "P2", "P4"]).labels


def _split(path: Path) -> Any:
    path.with_suffix(".npz").write_bytes(_SPLIT_NPZ)
    return Split.load(path).counts()


def _vectors(path: Path) -> Any:
    with forked():
        found = read_embeddings(path)
    return found.ids, found.values.shape


def _chains(path: Path) -> Any:
    return [(chain.name, chain.sequence, chain.points.shape) for chain in read_chains(path)]


_SPLIT_NPZ = _written(".npz", _write_split)
_SPLIT_JSON = _written(".json", _write_split)
_H5 = (_written(".h5", _write_h5), _written(".h5", _write_network_h5))
_NPZ = _written(".npz", lambda path: np.savez(path, ids=["a", "b"], embeddings=np.ones((2, 3))))
TABLES = (
    Reader("labelled pairs", (LABELLED, LABELLED_BY_COMMAS), _labelled, plain.labelled),
    Reader("aliases", (ALIASES,), _aliases, plain.aliases),
    Reader("csv", (CSV,), _table, lambda text: plain.table(text, ","), ".csv"),
    Reader("tsv", (TSV,), _table, lambda text: plain.table(text, "\t"), ".tsv"),
    Reader("labels", (TSV,), _examples, suffix=".tsv"),
    Reader("labels, parquet", (_written("", _write_labels),), _examples, suffix=".parquet"),
    Reader("variants", (VARIANTS, LIST), _variants, plain.variants),
    Reader("variants of a protein", (VARIANTS, LIST), lambda path: variants_of(path, STORE)),
    Reader("assays", (ASSAY,), _assays),
    Reader("numbers of others", (KNOWN,), read_known),
    Reader("tape json", (json.dumps(RECORDS).encode(),), _tape(".json")),
    Reader("lmdb", (_written(".lmdb", _write_lmdb),), _tape(".lmdb")),
    Reader("lmdb values", VALUES, _value),
    Reader(
        "pairs to score",
        (LABELLED, b"P1\tP2\nP1\tP3\n", LABELLED_BY_COMMAS, b"TP53 MDM2\nP1 P2\n"),
        lambda path: read_pairs(path, ()),
        plain.names,
    ),
    Reader("labels of a map", (b"P1\ta;b\nP2\tc\nother\td\n",), _map_labels, plain.map_labels),
    Reader("symbols", (SYMBOLS,), lambda path: read_symbols(path, STORE), plain.symbols),
    Reader("split", (_SPLIT_JSON,), _split, suffix=".json"),
    Reader("embeddings, h5", _H5, _vectors, suffix=".h5"),
    Reader("embeddings, npz", (_NPZ,), _vectors, suffix=".npz"),
    Reader("embeddings, parquet", (_written("", _write_parquet),), _vectors, suffix=".parquet"),
    Reader("pdb", (PDB,), _chains, suffix=".pdb"),
    Reader("pdb.gz", (gzip.compress(PDB, mtime=0),), _chains, suffix=".pdb.gz"),
    Reader("bcif", (_written(".bcif", _write_bcif),), _chains, suffix=".bcif"),
    Reader("alignment", (ALIGNED,), _alignment),
    Reader("scope", (SCOPE,), _domains),
    Reader("labels of domains", (DOMAINS,), lambda path: len(read_scope_labels(path))),
    Reader("mmcif", (CIF,), _chains, suffix=".cif"),
)

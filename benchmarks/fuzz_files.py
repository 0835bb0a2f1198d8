"""Readers of data: good files of each kind, and what reads them."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import plain_parsers as plain
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_core import Reader, Refused

from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.interaction_files import interaction_format, read_interactions
from lcplm_graph.datasets.links import read_links
from lcplm_graph.datasets.pair_table import read_pairs
from lcplm_graph.go.annotations import read_annotations
from lcplm_graph.go.obo import read_obo
from lcplm_graph.proteins.shards import store_sequences
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.clusters import read_clusters
from lcplm_graph.splits.split import Split

FASTA = b">sp|P1|A_B one x\nMKTAYIAK\nQRQ\n>b\tsecond\nmvlspadk*\n>c\nM-GAJ.LL\n>d\n\nMW W\n"
PAIRS = b"#comment\twith tab\nprotein1\tprotein2\tlabel\nP1\tP2\t1\nP1\tP3\t0\n\nP2 \tP4\t1\n"
#: The same as R, pandas and a hand write it.
PAIRS_OF_OTHERS = (
    b'\xef\xbb\xbf"","protein1","protein2","score"\r\n"1","P1","P,2",0.5\r\n"2","P1","P3",1\r\n',
    b",from,to,weight,note\n0,P1,P2,0.25,x y\n1,P2,P3,1e-3,\n",
    b"protein1 protein2 experimental combined_score\n9.a 9.b 0 900\n9.b 9.a 5 900\n",
    b'"a" "b" 1\n"a" "c d" 0\n',
    b"# note\nP1  P2 0.5\nP2 P3   1\n",
    b"P1;P2;1\nP3;P4;0\n",
    b"P1, P2, 1\nP1 , P3, 0\n",
)
ROW = b"UniProtKB\t%s\tS\t%s\tGO:0000001\tPMID:1\t%s\t\tF\tn\ts\tprotein\ttaxon:9606\t%s\tUniProt"
GAF = b"!gaf-version: 2.2\n" + b"".join(
    ROW % row + tail
    for row, tail in (
        ((b"P1", b"enables", b"IDA", b"20200101"), b"\t\t\n"),
        ((b"P2", b"NOT|enables", b"IEA", b"20210101"), b"\n"),
        ((b"P3", b"", b"NR", b"20220101"), b"\t\n!a\tcomment\n"),
    )
)
TERMS = b"protein\tgo_id\tevidence\taspect\tdate\nP1\tGO:0000001,GO:0000002\tIDA\tMF\t20200101\n"
OBO = (
    b"format-version: 1.2\ndefault-namespace: molecular_function\n\n[Term]\nid: GO:0003674\n"
    b"name: root\n\n[Term]\nid: GO:0000001\nname: one ! c\nnamespace: molecular_function\n"
    b'alt_id: GO:0000009\nis_a: GO:0003674 {x="y"} ! root\n[Typedef]\nid: part_of\n\n[Term]\n'
    b"id: GO:0000002\nis_a: GO:0000001\nrelationship: part_of GO:0003674 ! r\n\n[Term]\n"
    b"id: GO:0000003\nis_obsolete: true\nreplaced_by: GO:0000001\n"
)
LINKS = b"protein1 protein2 combined_score\n9.a 9.b 900\n9.b 9.a 900\n9.a 9.c 150\n"
BIOGRID = (
    b"#BioGRID Interaction ID\tExperimental System\tExperimental System Type\tX\t"
    b"SWISS-PROT Accessions Interactor A\tTREMBL Accessions Interactor A\t"
    b"SWISS-PROT Accessions Interactor B\tSystematic Name Interactor B\n"
    b"1\tTwo-hybrid\tphysical\t-\tP9|P1\t-\tP2\tY\n2\tProtein-RNA\tphysical\t-\tP1\t-\tP3\tY\n"
    b"3\tTwo-hybrid\tphysical\t-\t-\tP3|P9\t-\tP1\n4\tx\tgenetic\t-\tP1\t-\tP3\tY\n"
)
MITAB = b"#ID(s) interactor A\tID(s) interactor B\n" + b"".join(
    b"\t".join(
        [a, b, alt, *[b"-"] * 6, *[b"taxid:9606(human)"] * 2, kind, *[b"-"] * 23, no, *[b"-"] * 6]
    )
    + b"\n"
    for a, b, alt, kind, no in (
        (b"uniprotkb:P1", b"uniprotkb:P2", b"-", b'psi-mi:"MI:0915"(physical)', b"false"),
        (b"uniprotkb:P1-PRO_0001", b"intact:E", b"-", b"x", b"-"),
        (b"entrez:1", b"uniprotkb:P3", b"intact:E|uniprot/swiss-prot:P2(x)", b"x", b"false"),
        (b"uniprotkb:P3", b"uniprotkb:P2", b"-", b"genetic interaction", b"false"),
        (b"uniprotkb:P1", b"uniprotkb:P3", b"-", b"x", b"true"),
    )
)
CLUSTERS = b"a\ta\na\tb\nc\tc\n"


def _fasta(path: Path) -> Any:
    store = SequenceStore.from_fasta(path)
    return list(zip(store.ids, store, strict=True))


def _gaf(path: Path) -> Any:
    table = read_annotations(path).table
    table = table.astype(object).where(table.notna(), None)
    return [tuple(row) for row in table.itertuples(index=False)]


def _obo(path: Path) -> Any:
    found = read_obo(path)
    return found.terms, found.aspects, found.edges


def _pairs(path: Path) -> Any:
    table = read_pairs(path)[0]
    return [(a, b, float(value)) for a, b, value in table.itertuples(index=False)]


def _links(path: Path) -> Any:
    links = read_links(path, ["9.a", "9.b", "9.c"])
    rows = zip(links.pairs.tolist(), links.scores.tolist(), strict=True)
    return [(*pair, score) for pair, score in rows]


def _interactions(path: Path) -> Any:
    store = SequenceStore.from_records(["P1", "P2", "P3"], ["MKT", "MVL", "MGA"])
    found = interaction_format(path)
    if found is None:
        raise Refused("another format")
    table = read_interactions(path, found, store)[0]
    known = table["a"].isin(store.ids) & table["b"].isin(store.ids)
    return [(a, b) for a, b, _ in table[known].itertuples(index=False)]


def _clusters(path: Path) -> Any:
    return read_clusters(path, ["a", "b", "c"]).tolist()


def _arrow(path: Path) -> Any:
    store = SequenceStore.open(path)
    return list(store), store.ids, store.digests(), store.lengths


def _shard(path: Path) -> Any:
    return list(store_sequences(path, path.with_name("all.arrow.out")))


def _tape(path: Path) -> Any:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        return len(RemoteHomology(path, root=folder))


def _npz(path: Path) -> Any:
    path.with_suffix(".json").write_text(_SPLIT_JSON)
    return Split.load(path).counts()


def _arrow_seed(compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"id": ["abc", "xyz", "q"], "sequence": ["MKT", "MVL" * 9, "MG"]})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parquet_seed() -> bytes:
    sink = io.BytesIO()
    table = pa.table({"id": ["abc", "xyz", "q"], "sequence": ["MKT", "MVL" * 9, "MG"]})
    pq.write_table(table, sink)
    return sink.getvalue()


def _tape_seed() -> bytes:
    records = [
        {"id": f"d{i}", "primary": "MKT" * (i + 1), "fold_label": i}
        | {"superfamily_label": i, "family_label": 0}
        for i in range(3)
    ]
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for part in ("train", "valid"):
            text = json.dumps(records).encode()
            member = tarfile.TarInfo(f"remote_homology/remote_homology_{part}.json")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return sink.getvalue()


def _split_seed() -> tuple[bytes, str]:
    split = Split("random", 9, [[0, 1], [1, 2]], [[0, 1], [1, 2]], [[3, 4], [5, 6]], [0, 1])
    with tempfile.TemporaryDirectory() as folder:
        path = split.save(Path(folder) / "s")
        return path.with_suffix(".npz").read_bytes(), path.read_text()


_SPLIT_NPZ, _SPLIT_JSON = _split_seed()
_PACKED = tuple(gzip.compress(text, mtime=0) for text in (FASTA, GAF))
FILES = (
    Reader("fasta", (FASTA, FASTA.replace(b"\n", b"\r\n")), _fasta, plain.fasta),
    Reader("fasta.gz", _PACKED[:1], _fasta, plain.fasta),
    Reader("pairs", (PAIRS, b"P1\tP2\nP1\tP3\n"), _pairs, plain.pairs),
    Reader("pairs of others", PAIRS_OF_OTHERS, _pairs, plain.pairs),
    Reader("fasta.xz", (lzma.compress(FASTA),), _fasta, plain.fasta),
    Reader("gaf", (GAF, GAF.replace(b"\n", b"\r")), _gaf, plain.annotations),
    Reader("annotations", (TERMS, b"P1\tGO:0000001\n", _PACKED[1]), _gaf, plain.annotations),
    Reader("obo", (OBO,), _obo, plain.obo),
    Reader("links", (LINKS,), _links, plain.links),
    Reader("interactions", (BIOGRID, MITAB), _interactions, plain.interactions),
    Reader("clusters", (CLUSTERS,), _clusters, plain.clusters),
    Reader("arrow", (_arrow_seed(), _arrow_seed("zstd"), _arrow_seed("lz4")), _arrow),
    Reader("arrow shard", (_arrow_seed(), _arrow_seed("lz4")), _shard, suffix=".arrow"),
    Reader("parquet", (_parquet_seed(),), _shard, suffix=".parquet"),
    Reader("tar", (_tape_seed(),), _tape, suffix=".tar"),
    Reader("npz", (_SPLIT_NPZ,), _npz, suffix=".npz"),
)

"""Mutated files for every reader: only own errors come out, within bounded time.

    python benchmarks/fuzz.py [--files 10000] [--reader NAME ...] [--seed 0]

Each reader gets files made of good ones by flipping, cutting, doubling and inserting bytes; seed
and number of a file decide it.  Where a format is text, a slow and plain parser reads the same
bytes, and both must agree on what is accepted and what it says.  Each reader runs in a process of
its own, so that one that ends the interpreter is seen and named.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import json
import multiprocessing
import random
import re
import sys
import tarfile
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.links import read_links
from lcplm_graph.datasets.pair_table import _is_header, read_pairs
from lcplm_graph.errors import LcPlmError
from lcplm_graph.files.open import open_stream
from lcplm_graph.go.annotations import KNOWN_CODES, read_annotations
from lcplm_graph.go.obo import ASPECTS, read_obo
from lcplm_graph.proteins.shards import store_sequences
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.clusters import read_clusters
from lcplm_graph.splits.split import Split

#: No file of a few kilobytes may take longer, in seconds.
LIMIT = 5.0
FASTA = b">sp|P1|A_B one x\nMKTAYIAK\nQRQ\n>b\tsecond\nmvlspadk*\n>c\nM-GAJ.LL\n>d\n\nMW W\n"
PAIRS = b"#comment\twith tab\nprotein1\tprotein2\tlabel\nP1\tP2\t1\nP1\tP3\t0\n\nP2 \tP4\t1\n"
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
CLUSTERS = b"a\ta\na\tb\nc\tc\n"
TOKENS = [
    *(b"\t", b"\n", b"\r", b"\r\n", b" ", b">", b"*", b"-", b"!", b"#", b"|", b":", b'"', b"\\"),
    *(b"\xef\xbb\xbf", b"\xff", b"\0", "é".encode(), b"\xc2\xa0", b"\x0b", b"\x1c", b"\x85"),
    *(b"NOT|", b"GO:0000001", b"[Term]\n", b"id: GO:0000001\n", b"is_a: ", b"nan", b"1e999"),
    *(b"-1", b"0", b"99999999999999999999", b"A" * 5000, b"\n\n", b"<html>", b"\x1f\x8b", b"J"),
]


class Refused(Exception):
    """A plain parser does not take a file."""


@dataclass(frozen=True)
class Reader:
    """A reader, good files for it, and the plain parser of the same format if there is one."""

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], Any]
    plain: Callable[[bytes], Any] | None = None
    suffix: str = ""


def mutated(reader: Reader, seed: int, number: int) -> bytes:
    """Return file `number` of a reader."""
    rng = random.Random(f"{reader.name} {seed} {number}")
    data = bytearray(rng.choice(reader.seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        place, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 16, 64))
        match rng.randrange(6):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[place : place + size]
            case 2:
                data[place:place] = rng.choice(TOKENS)
            case 3:
                start = rng.randrange(len(data) + 1)
                data[place:place] = data[start : start + size]
            case 4:
                if rng.random() < 0.3:
                    del data[place:]
                elif place < len(data):
                    data[place] ^= 1 << rng.randrange(8)
            case 5:
                data[place : place + size] = rng.choice(TOKENS)
    return bytes(data)


def run(reader: Reader, files: int, seed: int, folder: Path) -> Counter[str]:
    """Read `files` mutated files; raise `AssertionError` at the first fault, with its number."""
    counts: Counter[str] = Counter()
    for number in range(files):
        content = mutated(reader, seed, number)
        path = folder / f"x{reader.suffix}"
        path.write_bytes(content)
        where = f"{reader.name}, seed {seed}, file {number}"
        begun = time.perf_counter()
        # Code in C cannot be interrupted: what hangs ends with a traceback.
        faulthandler.dump_traceback_later(20 * LIMIT, exit=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = reader.read(path)
        except LcPlmError as error:
            found = Refused(str(error))
            assert len(found.args[0]) < 2000, f"{where}: no one sentence: {found}"
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
        faulthandler.cancel_dump_traceback_later()
        took = time.perf_counter() - begun
        assert took < LIMIT, f"{where}: took {took:.1f} s"
        accepted = not isinstance(found, Refused)
        counts["accepted" if accepted else "refused"] += 1
        if reader.plain is not None:
            _compare(reader, path, found, where)
    return counts


def _compare(reader: Reader, path: Path, found: Any, where: str) -> None:
    assert reader.plain is not None
    try:
        with open_stream(path) as stream:
            expected: Any = reader.plain(stream.read())
    except (LcPlmError, Refused, UnicodeDecodeError) as error:
        expected = Refused(str(error))
    same = type(found) is type(expected) if isinstance(expected, Refused) else found == expected
    assert same, f"{where}: read {found!r:.300}, the plain parser {expected!r:.300}"


def plain_fasta(content: bytes) -> list[tuple[str, str]]:
    """Read FASTA line by line."""
    found: list[tuple[str, str]] = []
    header: bytes | None = None
    body = b""

    def end() -> None:
        if header is None:
            return
        name = header.decode("utf-8").encode().split()
        text = body.translate(None, b" \t\r\n\f\v").upper()
        text = text.removesuffix(b"*").replace(b"J", b"X")
        if not name or not re.fullmatch(rb"[A-Z.\-]*[A-Z][A-Z.\-]*", text):
            raise Refused(header)
        found.append((name[0].decode(), text.decode()))

    for line in content.split(b"\n"):
        if line.startswith(b">") or (header is None and line.lstrip().startswith(b">")):
            end()
            header, body = line.lstrip()[1:], b""
        elif header is None and line.strip():
            raise Refused("no header")
        else:
            body += line + b"\n"
    end()
    names = [name for name, _ in found]
    if not names or len(set(names)) < len(names):
        raise Refused("repeated or none")
    return found


def plain_rows(content: bytes, comment: tuple[str, ...]) -> list[list[str]]:
    """Cells of each line that counts, without blanks around."""
    lines = content.decode("utf-8").split("\n")
    kept = [line for line in lines if re.search(r"[^\t\n\f\r ]", line)]
    return [
        [cell.strip() for cell in line.split("\t")] for line in kept if not line.startswith(comment)
    ]


def plain_gaf(content: bytes) -> list[tuple[str, str, str, str, int]]:
    """Read GAF row by row."""
    found = []
    rows = plain_rows(content, ("!", "#"))
    if not rows:
        raise Refused("no row")
    for cells in rows:
        if not 15 <= len(cells) <= 17:
            raise Refused(cells)
        protein, qualifier, terms, code = cells[1], cells[3], cells[4], cells[6]
        aspect, date = cells[8].upper(), cells[13]
        right = (
            protein,
            re.fullmatch(r"GO:[0-9]{7}(,[\t\n\f\r ]*GO:[0-9]{7})*", terms),
            code in KNOWN_CODES,
            aspect in {"P", "F", "C", "BP", "MF", "CC", "BPO", "MFO", "CCO"},
            re.fullmatch(r"[12][0-9]{3}[01][0-9][0-3][0-9]", date),
        )
        if not all(right):
            raise Refused(cells)
        if "not" in re.split(r"[|,;\t\n\f\r ]", qualifier.lower()):
            continue
        short = {"P": "BP", "F": "MF", "C": "CC"}.get(aspect, aspect[:2])
        found += [(protein, term.strip(), code, short, int(date)) for term in terms.split(",")]
    return found


def plain_pairs(content: bytes) -> list[tuple[str, str, float]]:
    """Read a table of pairs row by row."""
    found = plain_rows(content, ("#",))
    if not found or len(found[0]) not in (2, 3):
        raise Refused("no row, or of another width")
    width = len(found[0])
    if _is_header(found[0]):
        del found[0]
    table = []
    for cells in found:
        if len(cells) != width or not cells[0] or not cells[1]:
            raise Refused(cells)
        number = cells[2] if width == 3 else "1"
        if not re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", number):
            raise Refused(cells)
        value = float(np.float32(float(number)))
        if not 0 <= value <= 1:
            raise Refused(cells)
        table.append((cells[0], cells[1], value))
    return table


def plain_links(content: bytes) -> list[tuple[int, int, int]]:
    """Read links of the proteins 9.a, 9.b and 9.c line by line."""
    header, *lines = content.decode("utf-8").split("\n")
    names = header.split(" ")
    if not {"protein1", "protein2", "combined_score"} <= set(names):
        raise Refused(header)
    known = ["9.a", "9.b", "9.c"]
    best: dict[tuple[int, int], int] = {}
    is_known = False
    for line in lines:
        if not line:
            continue
        cells = line.split(" ")
        if len(cells) != len(names):
            raise Refused(line)
        row = dict(zip(names, cells, strict=True))
        score = row["combined_score"]
        if not re.fullmatch("[0-9]{1,9}", score) or int(score) > 1000:
            raise Refused(line)
        ends = (row["protein1"], row["protein2"])
        if not {*ends} <= {*known}:
            continue
        is_known = True
        low, high = sorted(map(known.index, ends))
        if low != high and int(score):
            best[low, high] = max(best.get((low, high), 0), int(score))
    if not is_known:
        raise Refused("no known protein")
    return [(*pair, score) for pair, score in sorted(best.items())]


def plain_clusters(content: bytes) -> list[int]:
    """Read clusters of the proteins a, b and c."""
    of: dict[str, str] = {}
    for cells in plain_rows(content, ("#",)):
        if len(cells) != 2 or of.setdefault(cells[1], cells[0]) != cells[0]:
            raise Refused(cells)
    if not {"a", "b", "c"} <= of.keys():
        raise Refused("missing")
    order = sorted({of[name] for name in "abc"})
    return [order.index(of[name]) for name in "abc"]


def plain_obo(content: bytes) -> tuple[list[str], list[str], list[tuple[int, int]]]:
    """Read terms, namespaces and edges of OBO with one pass and no care for speed."""
    text = content.decode("utf-8")
    kind, stanzas, tags = "header", [], {}
    stanzas.append((kind, tags))
    pending = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if not line or (not pending and line.startswith("!")):
            continue
        line = pending + line
        backslashes = len(line) - len(line.rstrip("\\"))
        pending = line[:-1] if backslashes % 2 else ""
        if not pending and not backslashes % 2:
            kind, tags = _plain_line(line, kind, tags, stanzas)
    if pending:
        _plain_line(pending, kind, tags, stanzas)
    header = stanzas[0][1]
    default = header.get("default-namespace", [""])[0]
    terms: dict[str, dict[str, list[str]]] = {}
    for kind, tags in stanzas[1:]:
        if kind != "Term":
            continue
        if "id" not in tags:
            raise Refused("no id")
        own = terms.setdefault(tags["id"][0], {})
        for tag, values in tags.items():
            own.setdefault(tag, []).extend(values)
            if tag in ("name", "namespace", "is_obsolete") and len(set(own[tag])) > 1:
                raise Refused(tag)
    return _plain_graph(terms, default)


def _plain_line(
    line: str, kind: str, tags: dict[str, list[str]], stanzas: list[Any]
) -> tuple[str, dict[str, list[str]]]:
    if head := re.fullmatch(r"\[([^\[\]]+)\]\s*(!.*)?", line):
        stanzas.append((head[1].strip(), {}))
        return stanzas[-1]
    name, colon, value = line.partition(":")
    name, value = name.rstrip(), value.lstrip()
    if not colon or not name or re.search(r"\s", name):
        raise Refused(line)
    if kind in ("header", "Term"):
        words = re.split(r"[\s!{]+", value)
        ids = ("id", "is_a", "alt_id", "replaced_by", "namespace", "default-namespace")
        if name in (*ids, "is_obsolete"):
            if not words[0]:
                raise Refused(line)
            value = words[0]
        if name == "relationship":
            words = [word for word in words if word]
            if len(words) < 2:
                raise Refused(line)
            value = " ".join(words[:2])
        if name == "name":
            value = re.sub(r"\\(.)", r"\1", re.sub(r"(\s*\{[^{}]*\})?(\s+!\s.*)?$", "", value))
        tags.setdefault(name, []).append(value)
    return kind, tags


def _plain_graph(
    terms: dict[str, dict[str, list[str]]], default: str
) -> tuple[list[str], list[str], list[tuple[int, int]]]:
    def is_old(name: str) -> bool:
        return terms[name].get("is_obsolete", [""])[0].lower() == "true"

    def namespace(name: str) -> str:
        return terms[name].get("namespace", [default])[0]

    live = [name for name in terms if not is_old(name)]
    own = [n for n in live if n.startswith("GO:") or namespace(n) in ASPECTS.values()]
    foreign = set(live) - set(own)
    own.sort()
    if not own or any(namespace(name) not in ASPECTS.values() for name in own):
        raise Refused("no term or a strange namespace")
    alternatives: dict[str, str] = {}
    for name in own:
        for other in terms[name].get("alt_id", []):
            if alternatives.get(other, name) != name:
                raise Refused(other)
            if other not in own:
                alternatives[other] = name
    edges = []
    for name in own:
        parents = list(terms[name].get("is_a", []))
        for value in terms[name].get("relationship", []):
            relation, parent = value.split(" ")
            if relation in ("is_a", "OBO_REL:is_a", "part_of", "OBO_REL:part_of", "BFO:0000050"):
                parents.append(parent)
        for parent in parents:
            if parent in own:
                edges.append((own.index(name), own.index(parent)))
            elif parent.startswith("GO:") and parent not in foreign:
                raise Refused(parent)
    return own, [namespace(name) for name in own], edges


def _fasta(path: Path) -> Any:
    store = SequenceStore.from_fasta(path)
    return list(zip(store.ids, store, strict=True))


def _gaf(path: Path) -> Any:
    table = read_annotations(path).table
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
READERS = {
    reader.name: reader
    for reader in (
        Reader("fasta", (FASTA, FASTA.replace(b"\n", b"\r\n")), _fasta, plain_fasta),
        Reader("fasta.gz", _PACKED[:1], _fasta, plain_fasta),
        Reader("pairs", (PAIRS, b"P1\tP2\nP1\tP3\n"), _pairs, plain_pairs),
        Reader("gaf", (GAF, GAF.replace(b"\n", b"\r")), _gaf, plain_gaf),
        Reader("annotations", (TERMS, b"P1\tGO:0000001\n", _PACKED[1]), _gaf),
        Reader("obo", (OBO,), _obo, plain_obo),
        Reader("links", (LINKS,), _links, plain_links),
        Reader("clusters", (CLUSTERS,), _clusters, plain_clusters),
        Reader("arrow", (_arrow_seed(), _arrow_seed("zstd"), _arrow_seed("lz4")), _arrow),
        Reader("arrow shard", (_arrow_seed(), _arrow_seed("lz4")), _shard, suffix=".arrow"),
        Reader("parquet", (_parquet_seed(),), _shard, suffix=".parquet"),
        Reader("tar", (_tape_seed(),), _tape, suffix=".tar"),
        Reader("npz", (_SPLIT_NPZ,), _npz, suffix=".npz"),
    )
}


def _job(name: str, files: int, seed: int) -> None:
    np.seterr(all="ignore")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        counts = run(READERS[name], files, seed, Path(folder))
    took = time.perf_counter() - begun
    told = ", ".join(f"{counts[kind]} {kind}" for kind in ("accepted", "refused"))
    print(f"{name}: {files} files, {told}, {took:.0f} s", flush=True)


def main() -> int:
    """Run the readers one after the other; the exit code counts those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*", choices=READERS, default=list(READERS))
    options = parser.parse_args()
    failed = 0
    for name in options.reader:
        process = multiprocessing.get_context("fork").Process(
            target=_job, args=(name, options.files, options.seed)
        )
        process.start()
        process.join()
        if process.exitcode:
            failed += 1
            print(f"{name}: FAILED with exit code {process.exitcode}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

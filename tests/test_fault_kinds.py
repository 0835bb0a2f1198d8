"""Samples of each kind of fault that people met, beside those in the modules' own tests."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import lzma
import os
import threading
from pathlib import Path

import networkx as nx
import pandas as pd
import pytest
import torch
import zstandard
from torch_geometric.data import Data

from lcplm_graph.datasets.memory import from_dataframe, from_networkx
from lcplm_graph.datasets.pair_table import read_pairs
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import LcPlmError
from lcplm_graph.features.embed import EmbedJob
from lcplm_graph.finetuning.table import read_table_file
from lcplm_graph.go.annotations import read_annotations
from lcplm_graph.go.ontology import Ontology
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.proteins.store import SequenceStore

COMPOSITION = load_encoder("composition")
REFUSED = "refused"


def fasta(path):
    store = SequenceStore.from_fasta(path)
    return list(zip(store.ids, store, strict=True))


def annotated(path):
    table = read_annotations(path).table
    return list(zip(table.protein, table.go_id, strict=True))


def pairs(path):
    return [(a, b, float(value)) for a, b, value in read_pairs(path)[0].itertuples(index=False)]


def terms(path):
    ontology = Ontology.from_obo(path)
    return list(zip(ontology.terms, ontology.names, strict=True))


def labels(path):
    return read_table_file(path).columns


# Tables of labels are known by their names, which tell commas from tabs.
SUFFIXES_OF = {
    gzip.compress: ".gz", bz2.compress: ".bz2", lzma.compress: ".xz", zstandard.compress: ".zst",
}  # fmt: skip
ONE = [("a", "MKT")]
PACKED = gzip.compress(b">a\nMKT\n")
TWO_TERMS = [("P1", "GO:0000001")]
OBO = b'format-version: 1.4\nidspace: GO http://x "d"\n\n[Term] ! c\nid: GO:0000001 ! x\n'
NAMESPACE = b"namespace: molecular_function\n"
FILES = {
    "BOM and CR": (fasta, b"\xef\xbb\xbf>a x\rMK\rT\r>b\rMV", [*ONE, ("b", "MV")]),
    "line ends mixed": (fasta, b">a\r\nMKT\r>b\nMV\r\n\r\n", [*ONE, ("b", "MV")]),
    "UTF-16": (fasta, ">a\nMKT\n".encode("utf-16"), REFUSED),
    "bz2, BOM, CRLF": (fasta, bz2.compress(b"\xef\xbb\xbf>a\r\nMKT\r\n"), ONE),
    "gzip, zeros after": (fasta, PACKED + b"\0" * 512, ONE),
    "gzip, two members": (fasta, PACKED + gzip.compress(b">b\nMV\n"), [*ONE, ("b", "MV")]),
    "gzip, junk after": (fasta, PACKED + b"junk", REFUSED),
    "gzip, cut": (fasta, gzip.compress(b">a\nMKT\n" * 999)[:-9], REFUSED),
    "gaps only": (fasta, b">a\nMKT\n>b\n-.-\n", REFUSED),
    "stop only": (fasta, b">a\n*\n", REFUSED),
    "annotations, CR, a comment with tabs": (
        annotated,
        b"\xef\xbb\xbf!c\tx\ty\rprotein\tgo_id\tqualifier\rP2\tGO:0000002\tNOT | enables\r"
        b"P1\tGO:0000001\tenables",
        TWO_TERMS,
    ),
    "NOT inside of a word and after others": (
        annotated,
        b"protein\tgo_id\tqualifier\nP1\tGO:0000001\tnotable\nP2\tGO:0000002\tinvolved_in|NOT\n",
        TWO_TERMS,
    ),
    "NOT beside other blanks, quotes, signs": (
        annotated,
        b"protein\tgo_id\tqualifier\nP1\tGO:0000001\tknot\n"
        + "".join(
            f"P2\tGO:0000002\t{text}\n"
            for text in (
                "NOT\u00a0|enables", "\u2003not\u2003", '"NOT|enables"', "NOT_enables", "(NOT)x",
                "NOT:enables", "enables|NOT-",
            )
        ).encode(),
        TWO_TERMS,
    ),
    "annotations of two widths": (
        annotated, b"protein\tgo_id\nP1\tGO:0000001\nP2\tGO:0000002\tIDA", REFUSED
    ),
    "GPAD 1.2": (
        annotated,
        b"!gpa-version: 1.2\nUniProtKB\tP1\tenables\tGO:0000001\tPMID:1\tECO:0000314\t\t\t20200101"
        b"\tX\t\tid=1\n",
        REFUSED,
    ),
    "two columns of one kind": (annotated, b"protein\tgo_id\tEntryID\nP1\tGO:0000001\tP2", REFUSED),
    "pairs, CR, a comment with tabs": (
        pairs, b"\xef\xbb\xbf# a\tb\tc\td\rP1\tP2\t1\rP3\tP4\t0\r",
        [("P1", "P2", 1.0), ("P3", "P4", 0.0)],
    ),
    "a bad label in the first row": (pairs, b"P1\tP2\tyes\nP3\tP4\t1\n", REFUSED),
    "a comma in the first label": (pairs, b"P1\tP2\t1,5\nP3\tP4\t1\n", REFUSED),
    "a label that is NaN": (pairs, b"P1\tP2\t1\nP3\tP4\tnan\n", REFUSED),
    "comments, quotes and modifiers": (
        terms,
        OBO + b"name: a\\! b ! c\n" + NAMESPACE
        + b'def: "x ! y \\" z" [a:b, c:d "e"] {k="v, w"}\nsynonym: "q" EXACT [] {a="b"}\n',
        [("GO:0000001", "a! b")],
    ),
    "a continued line": (
        terms, OBO + b"name: a \\\nlong name\n" + NAMESPACE, [("GO:0000001", "a long name")]
    ),
    "a line without a colon": (terms, OBO + b"name a\n" + NAMESPACE, REFUSED),
    "an unknown parent": (terms, OBO + b"name: a\nis_a: GO:0000099\n" + NAMESPACE, REFUSED),
    "OWL": (terms, b'<?xml version="1.0"?>\n<rdf:RDF><owl:Ontology/></rdf:RDF>', REFUSED),
}  # fmt: skip


@pytest.mark.parametrize("sample", FILES)
def test_files(tmp_path, sample):
    read, content, right = FILES[sample]
    path = tmp_path / "file"
    path.write_bytes(content)
    if right != REFUSED:
        assert list(read(path)) == right
        return
    with pytest.raises(LcPlmError, match=str(path)) as told:
        read(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize(
    ("read", "content", "right"),
    [
        (fasta, b">a\r\nmk\r\n\r\nT*\r\n", ONE),
        (pairs, b"P1,P2,1\n", [("P1", "P2", 1.0)]),
        (annotated, b"protein\tgo_id\nP1\tGO:0000001\n", TWO_TERMS),
        (terms, OBO + b"name: a\n" + NAMESPACE, [("GO:0000001", "a")]),
        (labels, b"sequence,label\nMKT,1\n", {"sequence": ["MKT"], "label": ["1"]}),
    ],
    ids=["FASTA", "pairs", "annotations", "ontology", "labels"],
)
def test_every_text_may_be_packed_in_any_way(tmp_path, read, content, right, pack):
    path = tmp_path / f"file.csv{SUFFIXES_OF[pack]}"
    path.write_bytes(pack(content))
    assert read(path) == right


def test_a_pipe_is_refused_at_once(tmp_path):
    path = tmp_path / "pipe.fasta"
    os.mkfifo(path)
    with pytest.raises(LcPlmError, match=r"pipe\.fasta: this is a pipe"):
        fasta(path)


def test_spellings_of_ids():
    ids = ["sp|P12345|A_B", "9606.ENSP00000000001", "Q99999"]
    store = SequenceStore.from_records(ids, ["MKT", "MV", "MG"])
    asked = ["P12345.2", "ENSP00000000001.7", "UniRef90_Q99999", "tr|Q99999|X_Y", "P00000"]
    assert store.match(asked).tolist() == [0, 1, 2, 2, -1]
    asked = ["gi|129369|sp|P12345|A_B", "uniref50_P12345", "P12345-2", "10090.ENSP00000000001"]
    assert store.match(asked).tolist() == [0, 0, -1, -1]
    twice = SequenceStore.from_records(["sp|P12345|A_B", "tr|P12345|C_D"], ["MKT", "MV"])
    assert twice.match(["P12345"]).tolist() == [-1]
    both = SequenceStore.from_records(["P12345", "sp|P12345|X"], ["MK", "MV"])
    assert both.match(["P12345", "sp|P12345|X"]).tolist() == [0, 1]


def test_one_normal_form_of_sequences():
    digests = SequenceStore.from_records(list("abc"), ["mkt*", "MKT", "MKTA"]).digests()
    assert digests[0] == digests[1] != digests[2]
    with pytest.raises(LcPlmError, match=r"record 'a': .*'\*' at position 4"):
        SequenceStore.from_records(["a"], ["MKT**"])
    assert torch.equal(COMPOSITION.embed(["mktayiak*"]), COMPOSITION.embed(["MKTAYIAK"]))


SEQUENCES = {"a": "MKT", "b": "MV", "c": "MA"}
FRAMES = {
    "an id that is None": ({"protein1": ["a", "b"], "protein2": ["b", None]}, "row 1"),
    "ids that are floats": ({"protein1": [1.0], "protein2": [2.0]}, "row 0"),
    "no row": ({"protein1": [], "protein2": []}, "no edge"),
    "another name": ({"protein1": ["a"], "protein_2": ["b"]}, "no column protein2"),
}


@pytest.mark.parametrize("sample", FRAMES)
def test_frames(sample):
    columns, message = FRAMES[sample]
    with pytest.raises(LcPlmError, match=message):
        from_dataframe(pd.DataFrame(columns), SEQUENCES)


def test_graphs_of_networkx():
    many = nx.MultiDiGraph([("a", "b"), ("b", "a"), ("a", "a")])
    many.add_node("c")
    made = from_networkx(many, SEQUENCES)
    assert made.sequences.ids == ["a", "b", "c"]
    assert made[0].edge_index.tolist() == [[0, 1], [1, 0]]
    for graph in (nx.Graph([(("a", 1), "b")]), nx.Graph([(1, "1")])):
        with pytest.raises(LcPlmError):
            from_networkx(graph, SEQUENCES)


@pytest.mark.parametrize("content", [b"", b"\n\n", b">a\n", b"MKT\n"])
def test_a_refused_input_leaves_nothing_behind(tmp_path, content):
    path = tmp_path / "x.fasta"
    for text, is_right in ((content, False), (b">a\nMKTAYIAK\n", True)):
        path.write_bytes(text)
        told = contextlib.nullcontext() if is_right else pytest.raises(LcPlmError, match="x.fasta")
        with told:
            EmbedJob(path, COMPOSITION, tmp_path / "o.npz").run(progress=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["o.npz", "x.fasta"]


class Tag:
    def __init__(self, value):
        self.value = value

    def __call__(self, data: Data) -> Data:
        data.tag = self.value
        return data

    def __repr__(self):
        return "Tag()"


class Locked(Tag):
    def __init__(self, value):
        super().__init__(value)
        self.lock = threading.Lock()


def _tag(value: int, data: Data) -> Data:
    return Tag(value)(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [Tag, Locked, lambda value: functools.partial(_tag, value)])
def test_a_transform_is_known_by_what_it_holds(tmp_path, make):
    (tmp_path / "p.tsv").write_text("a\tb\nb\tc\n")
    (tmp_path / "p.fasta").write_text(">a\nMKT\n>b\nMV\n>c\nMA\n")
    files = tmp_path / "p.tsv", tmp_path / "p.fasta"
    for value in (1, 2, 1):
        dataset = PairPPI(*files, root=tmp_path, pre_transform=make(value))
        assert dataset[0].tag == value


@pytest.mark.parametrize("size", [37, 41, 129, 255])
def test_any_vocabulary_is_loaded_as_it_was_saved(tmp_path: Path, size):
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    model.resize_token_embeddings(size)
    model.save_pretrained(tmp_path)
    again = LcPlmForMaskedLM.from_pretrained(tmp_path)
    assert len(again.get_input_embeddings().weight) == size


def test_a_hook_on_any_projection_changes_the_answer():
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1)).eval()
    given = {"input_ids": torch.tensor([[0, 20, 15, 5, 2]]), "attention_mask": torch.ones(1, 5)}
    with torch.no_grad():
        plain = model(**given).logits
        hooked = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        for module in hooked:
            handle = module.register_forward_hook(lambda _module, _given, out: out * 1.5 + 1)
            assert not torch.allclose(model(**given).logits, plain)
            handle.remove()
        assert torch.equal(model(**given).logits, plain)
    assert len(hooked) > 4

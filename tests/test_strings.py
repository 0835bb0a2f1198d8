"""Strings from whatever holds them, at every public door; anything else is refused."""

import enum
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from lcplm_graph import StringPPI
from lcplm_graph.datasets.memory import from_dataframe
from lcplm_graph.errors import InputError, LeakageError
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.go.ontology import Ontology
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.zero_shot import score_pairs
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.proteins.search import homologous_pairs
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.strings import string_list, string_pairs
from lcplm_graph.tokens.packing import tokenize

# Of growing length, so that rows in another order are seen.
PROTEINS = ["GGWWGG", "AAAAAAAY", "MKTAYIAKQR", "MKTAYIAKQRMKTAYIAKQR"]


class Member(str, enum.Enum):  # noqa: UP042, whose str() is another text
    P0, P1, P2, P3 = PROTEINS


def hdf5_like(values):
    """Anything with no more than `__len__` and `__getitem__`."""

    class Old:
        def __len__(self):
            return len(values)

        def __getitem__(self, index):
            return values[index]

    return Old()


KINDS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda v: (text for text in v),
    "iterator": iter,
    "map": lambda v: map(str, v),
    "dict values": lambda v: dict(enumerate(v)).values(),
    "dict keys": lambda v: dict.fromkeys(v).keys(),
    "old sequence": hdf5_like,
    "enumeration": lambda v: list(Member),
    "numpy str": np.array,
    "numpy object": lambda v: np.array(v, dtype=object),
    "numpy variable": lambda v: np.array(v, dtype=np.dtypes.StringDType()),
    "series": pd.Series,
    "series, index reversed": lambda v: pd.Series(v, index=range(len(v))[::-1]),
    "series, index of others": lambda v: pd.Series(v, index=[7, 0, 7, 1]),
    "series, index of names": lambda v: pd.Series(v, index=list("abcd")),
    "series, index of dates": lambda v: pd.Series(v, index=pd.date_range("2026", periods=4)),
    "series of strings": lambda v: pd.Series(v, index=[3, 2, 1, 0], dtype="string"),
    "series of arrow": lambda v: pd.Series(v, index=[3, 2, 1, 0], dtype="string[pyarrow]"),
    "series of categories": lambda v: pd.Series(v, index=[3, 2, 1, 0], dtype="category"),
    "sorted column": lambda v: (
        pd.DataFrame({"s": v[::-1]}).sort_values("s", key=lambda s: s.map(v.index)).s
    ),
    "filtered column": lambda v: pd.DataFrame({"s": ["W", *v]}).query("s != 'W'").s,
    "pandas index": pd.Index,
    "pandas array": pd.array,
    "arrow": pa.array,
    "arrow large": lambda v: pa.array(v, pa.large_string()),
    "arrow chunks": lambda v: pa.chunked_array([v[:1], v[1:]]),
    "arrow dictionary": lambda v: pa.array(v).dictionary_encode(),
    "store": lambda v: SequenceStore.from_records(list("abcd"), v),
}  # fmt: skip
REFUSED = {
    "one string": lambda: "MKTAYIAK",
    "bytes": lambda: b"MKTAYIAK",
    "memoryview": lambda: memoryview(b"MKTAYIAK"),
    "dict": lambda: {"a": "MKT"},
    "set": lambda: {"MKT", "GA"},
    "frozenset": lambda: frozenset({"MKT"}),
    "frame": lambda: pd.DataFrame({"MKT": ["GA"]}),
    "arrow table": lambda: pa.table({"MKT": ["GA"]}),
    "record batch": lambda: pa.record_batch({"MKT": ["GA"]}),
    "graph": lambda: nx.Graph([("MKT", "GA")]),
    "path": lambda: Path("a.fasta"),
    "file": lambda: open(__file__, encoding="utf-8"),  # noqa: SIM115
    "number": lambda: 5,
    "None": lambda: None,
    "None inside": lambda: ["MKT", None],
    "nan inside": lambda: pd.Series(["MKT", np.nan]),
    "NA inside": lambda: pd.Series(["MKT", pd.NA], dtype="string"),
    "null inside": lambda: pa.array(["MKT", None]),
    "bytes inside": lambda: [b"MKT"],
    "numpy bytes": lambda: np.array([b"MKT"]),
    "numbers": lambda: np.arange(3),
    "tensor": lambda: torch.ones(3),
    "nested": lambda: [["MKT", "GA"]],
    "matrix": lambda: np.array([["MKT", "GA"]]),
    "zero dimensions": lambda: np.array("MKT"),
    "dict items": lambda: {"a": "MKT"}.items(),
}


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1)).eval(), "tiny").eval()


@pytest.fixture(scope="module")
def head(tiny):
    torch.manual_seed(0)
    return LinkPredictor(encoder=tiny, channels=4, conv="none").eval()


def doors(tiny, head, folder):
    """Public functions that take sequences, as functions of them alone."""
    composition = load_encoder("composition")
    edges = torch.empty(2, 0, dtype=torch.int64)
    return {
        "embed": composition.embed,
        "embed of a model": tiny.embed,
        "embed_batch": composition.embed_batch,
        "embed_batch of a model": lambda s: tiny.embed_batch(s).detach(),
        "embed_residues": lambda s: torch.cat(tiny.embed_residues(s)),
        "Encoder.tokenize": lambda s: tiny.tokenize(s).input_ids,
        "tokenize": lambda s: tokenize(s).input_ids,
        "cached_embeddings": lambda s: cached_embeddings(composition, s, root=folder),
        "head": lambda s: head.embed(s, edges).detach(),
        "SequenceStore.from_records": lambda s: list(SequenceStore.from_records(list("abcd"), s)),
        "homologous_pairs": lambda s: homologous_pairs(s, method="kmer").pairs.tolist(),
        "write_fasta": lambda s: (
            write_fasta(folder / "a.fasta", list("abcd"), s),
            (folder / "a.fasta").read_text(),
        )[1],
    }


DOORS = list(doors(load_encoder("composition"), None, None))


def same(got, want):
    return torch.equal(got, want) if isinstance(want, torch.Tensor) else got == want


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_list_gives_what_a_list_gives(tiny, head, tmp_path, door, kind):
    want = doors(tiny, head, tmp_path / "want")[door](list(PROTEINS))
    call = doors(tiny, head, tmp_path / "got")[door]
    assert same(call(KINDS[kind](list(PROTEINS))), want)
    # Nothing wrong was left in a cache.
    assert same(call(list(PROTEINS)), want)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_strings_in_order_is_refused(tiny, head, tmp_path, door, kind):
    if (kind, door) == ("tensor", "head"):
        pytest.skip("a head takes features too")
    with pytest.raises(InputError, match=r"^sequences: expected (a list of )?strings"):
        doors(tiny, head, tmp_path)[door](REFUSED[kind]())
    assert not list(tmp_path.rglob("*.*"))


IDS = ["GO:0000004", "GO:0000002", "GO:0000001", "GO:0000003"]
OF_IDS = {kind: make for kind, make in KINDS.items() if kind not in ("enumeration", "store")}


@pytest.fixture(scope="module")
def of_ids(tmp_path_factory):
    """Public functions that take names, as functions of them alone."""
    path = tmp_path_factory.mktemp("go") / "go.obo"
    terms = (f"[Term]\nid: {name}\nname: x\nnamespace: molecular_function\n" for name in IDS)
    path.write_text("format-version: 1.2\n\n" + "\n".join(terms))
    ontology = Ontology.from_obo(path)
    store = SequenceStore.from_records(sorted(IDS), ["MKT", "MV", "MA", "MG"])
    pairs = [[0, 1], [1, 2]]
    leaky = Split("random", 4, pairs, pairs, [[1, 2]], [0])

    def check(names):
        with pytest.raises(LeakageError) as told:
            leaky.check(names)
        return str(told.value)

    return {
        "Ontology.resolve": lambda names: ontology.resolve(names)[0].tolist(),
        "SequenceStore.match": lambda names: store.match(names).tolist(),
        "Split.check": check,
        "ids of records": lambda names: SequenceStore.from_records(names, PROTEINS).ids,
        "StringPPI.translate": lambda names: (
            StringPPI("string_human_core").translate(names)["alias"].tolist()
        ),
    }


NAMED = ("Ontology.resolve", "SequenceStore.match", "Split.check", "ids of records")


@pytest.mark.parametrize("door", [*NAMED, "StringPPI.translate"])
def test_names_of_every_kind_of_list(of_ids, door):
    want = of_ids[door](IDS)
    kinds = OF_IDS if door in NAMED else ("generator", "series, index reversed", "arrow")
    for kind in kinds:
        assert of_ids[door](KINDS[kind](IDS)) == want, kind
    for kind, make in REFUSED.items():
        # No names at all are a choice of `Split.check`.
        if (door, kind) != ("Split.check", "None"):
            with pytest.raises(InputError, match="expected (a list of )?strings"):
                of_ids[door](make())


def test_what_is_no_protein_is_not_chosen():
    store = SequenceStore.from_records(list("abc"), ["MKT", "MV", "MA"])
    for rows in ((2, 0), iter([2, 0]), pd.Series([2, 0], index=[0, 1]), torch.tensor([2, 0])):
        assert store.select(rows).ids == ["c", "a"]
    assert store.select([]).ids == store.select([False] * 3).ids == []
    for rows in ([0.5], {0, 1}, ["a"], [[0]], [True], [-1], [3], "0"):
        with pytest.raises(InputError):
            store.select(rows)


def test_elements_are_plain_strings_and_the_bad_one_is_named():
    assert [type(text) for text in string_list(list(Member))] == [str] * 4
    assert string_list(np.array(PROTEINS)) == PROTEINS
    with pytest.raises(InputError, match=r"^ids: .*number 2 .* is 7 of type int"):
        string_list(["a", "b", 7], "ids")


PAIRS = [("MKTAYIAK", "GGWW"), ("MV", "AAAAAAY"), ("MKT", "MKTMKT")]


@pytest.mark.parametrize(
    "make",
    [
        list,
        iter,
        lambda v: (pair for pair in v),
        lambda v: [list(pair) for pair in v],
        lambda v: zip(*zip(*v, strict=True), strict=True),
        lambda v: dict(v).items(),
        np.array,
        lambda v: pd.DataFrame(v, index=[2, 0, 1]),
        lambda v: pa.table(dict(zip("ab", map(list, zip(*v, strict=True)), strict=True))),
        lambda v: [pd.Series(pair, index=[1, 0]) for pair in v],
        lambda v: pd.DataFrame(v).itertuples(index=False),
    ],
)
def test_pairs_of_every_kind_are_scored_alike(tiny, make):
    assert string_pairs(make(PAIRS)) == PAIRS
    assert torch.equal(score_pairs(tiny, make(PAIRS)), score_pairs(tiny, PAIRS))


class PolarsLike:
    """A table that is neither pandas' nor Arrow's: what Polars has of it."""

    def __init__(self, **columns):
        self.held = columns
        self.columns = list(columns)

    def get_columns(self):
        return list(self.held.values())


def test_other_tables_are_pairs_or_refused_by_their_full_name():
    first, second = map(list, zip(*PAIRS, strict=True))
    assert string_pairs(PolarsLike(a=first, b=second)) == PAIRS
    with pytest.raises(InputError, match="a table of two columns, got 3"):
        string_pairs(PolarsLike(a=first, b=second, c=first))
    with pytest.raises(InputError, match=r"a table \(PolarsLike\)"):
        string_list(PolarsLike(a=first))
    with pytest.raises(InputError, match=rf"not {__name__}\.PolarsLike; other tables have"):
        from_dataframe(PolarsLike(protein1=first, protein2=second), {})


@pytest.mark.parametrize(
    "pairs",
    ["MK", ["MK"], ("MK", "GA"), [("MK",)], {"MK": "GA"}, [("MK", None)], 5, [b"M"], [{"M", "G"}]],
)  # fmt: skip
def test_pairs_that_are_none_are_refused(tiny, pairs):
    with pytest.raises(InputError, match=r"^pairs"):
        score_pairs(tiny, pairs)


def test_sequences_by_id_from_a_mapping_or_a_series():
    edges = pd.DataFrame({"protein1": ["a", "b"], "protein2": ["b", "c"]}, index=[9, 3])
    by_id = {"c": "MA", "a": "MKT", "b": "MV"}
    want = from_dataframe(edges, by_id)
    for given in (pd.Series(by_id), SequenceStore.from_records(by_id.keys(), by_id.values())):
        got = from_dataframe(edges, given)
        assert got.sequences.ids == want.sequences.ids == ["c", "a", "b"]
        assert list(got.sequences) == list(want.sequences)
    with pytest.raises(InputError, match="not DataFrame"):
        from_dataframe(edges, pd.DataFrame(by_id, index=[0]))


def test_errors_name_the_sequence_as_it_was_given():
    encoder = load_encoder("composition")
    sequences = ["MKT", "MKTAYIAKQR", "M7", "MKTA"]
    with pytest.raises(ValueError, match=r"number 2 \(counted from 0\) has '7' at position 2"):
        encoder.embed(sequences)
    with pytest.raises(ValueError, match="protein 'c' has '7' at position 2"):
        encoder.embed(SequenceStore.from_records(list("abcd"), sequences))
    with pytest.raises(ValueError, match="protein 'c' has '7' at position 2"):
        cached_embeddings(encoder, SequenceStore.from_records(list("abcd"), sequences))
    with pytest.raises(InputError, match=r"nothing but zeros \(for example of 'c'\)"):
        cached_embeddings(encoder, SequenceStore.from_records(list("abc"), ["MKT", "GA", "XXX"]))
    with pytest.raises(InputError, match=r"nothing but zeros \(for example of 2\)"):
        cached_embeddings(encoder, ["MKT", "GA", "XXX"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_decides_nothing(tiny, head, tmp_path, dtype):
    want = {name: call(PROTEINS) for name, call in doors(tiny, head, tmp_path / "a").items()}
    scores = score_pairs(tiny, PAIRS)
    torch.set_default_dtype(dtype)
    try:
        for name, call in doors(tiny, head, tmp_path / "b").items():
            got = call(PROTEINS)
            assert same(got, want[name]), name
            if isinstance(got, torch.Tensor):
                assert got.dtype == want[name].dtype, name
        assert score_pairs(tiny, PAIRS).dtype == torch.float32
        assert torch.equal(score_pairs(tiny, PAIRS), scores)
    finally:
        torch.set_default_dtype(torch.float32)

"""The ontology: closure against a brute-force walk, old ids, cycles."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import DataError, InputError, UnknownNameError
from lcplm_graph.go.ontology import ROOTS, Ontology, aspect_code

OBO = """format-version: 1.2
data-version: releases/2030-01-01
ontology: go

[Term]
id: GO:0003674
name: molecular_function
namespace: molecular_function

[Term]
id: GO:0000001
name: binding
namespace: molecular_function
alt_id: GO:0000091
is_a: GO:0003674 ! molecular_function

[Term]
id: GO:0000002
name: ion binding
namespace: molecular_function
is_a: GO:0000001 ! binding
relationship: part_of GO:0000003 ! transport
relationship: regulates GO:0008150 ! not followed

[Term]
id: GO:0000003
name: transporter
namespace: molecular_function
is_a: GO:0003674
relationship: part_of GO:0008150 ! crosses into another aspect

[Term]
id: GO:0008150
name: biological_process
namespace: biological_process

[Term]
id: GO:0000004
name: obsolete replaced
namespace: molecular_function
is_obsolete: true
replaced_by: GO:0000005

[Term]
id: GO:0000005
name: obsolete replaced again, by an alternative id
namespace: molecular_function
is_obsolete: true
replaced_by: GO:0000091

[Term]
id: GO:0000006
name: obsolete for good
namespace: molecular_function
is_obsolete: true
consider: GO:0000001

[Typedef]
id: part_of
name: part of
namespace: external
"""


@pytest.fixture
def obo(tmp_path):
    path = tmp_path / "go.obo.gz"
    path.write_bytes(gzip.compress(OBO.encode()))
    return path


@st.composite
def random_dag(draw):
    n = draw(st.integers(1, 12))
    aspects = draw(st.lists(st.sampled_from(["BP", "MF", "CC"]), min_size=n, max_size=n))
    candidates = [(child, parent) for child in range(n) for parent in range(child)]
    chosen = st.lists(st.sampled_from(candidates), unique=True) if candidates else st.just([])
    edges = draw(chosen)
    names = draw(st.permutations(range(n)))
    rows = draw(st.lists(st.lists(st.integers(0, n - 1), max_size=4), min_size=1, max_size=5))
    return n, aspects, edges, names, rows


def walk_up(term, edges, aspects):
    reached, stack = {term}, [term]
    while stack:
        at = stack.pop()
        for child, parent in edges:
            if child == at and aspects[child] == aspects[parent] and parent not in reached:
                reached.add(parent)
                stack.append(parent)
    return reached


@settings(max_examples=150, deadline=None)
@given(random_dag())
def test_propagation_equals_a_walk_over_the_graph(dag):
    n, aspects, edges, names, rows = dag
    # The closure must not depend on the terms being in topological order.
    shuffled = [0] * n
    for old, new in enumerate(names):
        shuffled[new] = aspects[old]
    moved = [(names[child], names[parent]) for child, parent in edges]
    ontology = Ontology([f"GO:{i}" for i in range(n)], shuffled, moved)
    row_of = [i for i, row in enumerate(rows) for _ in row]
    terms = [names[term] for row in rows for term in row]
    found = ontology.propagate(ontology.annotate(row_of, terms, len(rows))).toarray()
    expected = np.zeros((len(rows), n), dtype=bool)
    for i, row in enumerate(rows):
        for term in row:
            expected[i, list(walk_up(names[term], moved, shuffled))] = True
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 9, 17, 33])
def test_a_term_at_the_end_of_a_chain_has_all_the_others(depth):
    chain = [[i, i + 1] for i in range(depth)]
    ontology = Ontology([f"GO:{i:02}" for i in range(depth + 1)], ["MF"] * (depth + 1), chain)
    assert len(ontology.ancestors_of("GO:00")) == depth
    assert ontology.propagate(ontology.annotate([0], [0], 1)).nnz == depth + 1


@settings(max_examples=60, deadline=None)
@given(random_dag(), st.integers(0, 2**31))
def test_propagated_scores_are_the_maximum_over_descendants(dag, seed):
    n, aspects, edges, _, _ = dag
    ontology = Ontology([f"GO:{i}" for i in range(n)], aspects, edges)
    scores = np.random.default_rng(seed).random((3, n))
    expected = np.zeros_like(scores)
    for term in range(n):
        for ancestor in walk_up(term, edges, aspects):
            expected[:, ancestor] = np.maximum(expected[:, ancestor], scores[:, term])
    assert np.array_equal(ontology.propagate_scores(scores), expected)


def test_scores_of_some_columns(obo):
    ontology = Ontology.from_obo(obo)
    # The direct parent GO:0000001 is not a column; its ancestors still get the score.
    raised = ontology.propagate_scores([[0.1, 0.9]], ["GO:0003674", "GO:0000002"])
    assert raised.tolist() == [[0.9, 0.9]]
    with pytest.raises(UnknownNameError, match="GO:0000006"):
        ontology.propagate_scores([[0.1]], ["GO:0000006"])
    with pytest.raises(InputError, match="2 columns for 1"):
        ontology.propagate_scores([[0.1, 0.2]], ["GO:0003674"])


def test_obo_relations_and_old_ids(obo):
    ontology = Ontology.from_obo(obo)
    assert ontology.version == "releases/2030-01-01"
    assert len(ontology) == 5
    assert ontology.counts == {
        "terms": 5,
        "edges": 4,
        "cross_aspect_edges": 1,
        "alt_id": 1,
        "replaced_by": 2,
        "obsolete": 1,
    }
    assert ontology.ancestors_of("GO:0000002") == ["GO:0000001", "GO:0000003", "GO:0003674"]
    old = ["GO:0000001", "GO:0000091", "GO:0000004", "GO:0000005", "GO:0000006", "GO:0000099"]
    positions, counts = ontology.resolve(old)
    one = ontology.index["GO:0000001"]
    assert positions.tolist() == [one, one, one, one, -1, -1]
    assert counts == {"current": 1, "alt_id": 1, "replaced_by": 2, "obsolete": 1, "unknown": 1}
    with pytest.raises(UnknownNameError, match="GO:0000099"):
        ontology.ancestors_of("GO:0000099")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("is_a: GO:0000001 ! binding", "is_a: GO:0000077", r"line 21, record 'GO:0000002'.*0077"),
        ("is_a: GO:0003674 ! mol", "is_a: GO:0000002 ! mol", "cycle: GO:.* -> GO:.* -> GO:"),
        ("is_a: GO:0000001 ! b", "is_a: GO:0000002 ! b", "GO:0000002 is its own parent"),
        ("namespace: biological_process\n", "namespace: chemistry\n", "line 35.*'chemistry'"),
        ("name: ion binding", "no tag here", "line 19: cannot be read as OBO"),
        ("is_a: GO:0000001", "alt_id: GO:0000091\nis_a: GO:0000001", "line 21, .*belongs to GO:0"),
    ],
)
def test_faulty_obo_is_refused_with_the_place(tmp_path, old, new, message):
    path = tmp_path / "go.obo"
    assert old in OBO
    path.write_text(OBO.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        Ontology.from_obo(path)
    assert str(path) in str(caught.value)


def test_a_circle_of_replacements_ends(tmp_path):
    path = tmp_path / "go.obo"
    path.write_text(OBO.replace("replaced_by: GO:0000091", "replaced_by: GO:0000004"))
    positions, counts = Ontology.from_obo(path).resolve(["GO:0000004", "GO:0000005"])
    assert positions.tolist() == [-1, -1]
    assert counts["obsolete"] == 2


def test_aspect_names():
    assert [aspect_code(name) for name in ("P", "BPO", "molecular_function", "CC")] == [
        "BP",
        "BP",
        "MF",
        "CC",
    ]
    with pytest.raises(UnknownNameError, match="'X'"):
        aspect_code("X")


def test_every_term_has_the_root_of_its_aspect_above_it(benchmarks):
    ontology = Ontology.from_obo(benchmarks.file("go_temporal/go_2022.obo"))
    found = (len(ontology), ontology.counts["alt_id"])
    assert found == ((43558, 3450) if benchmarks.whole else (13, 1))
    # Every term but the roots has its own root as an ancestor, and no other.
    roots = [ontology.index[root] for root in ROOTS.values()]
    reached = ontology.ancestors[:, roots].toarray()
    assert (reached.sum(axis=1) == 1).all()
    owner = np.array(list(ROOTS))[reached.argmax(axis=1)]
    assert (owner == ontology.aspects).all()


ROOT = "[Term]\nid: GO:0008150\nname: r\nnamespace: biological_process\n"
CHILD = "[Term]\nid: GO:0000001\nname: c\nnamespace: biological_process\nis_a: GO:0008150\n"
HEAD = "format-version: 1.2\n"
LEGAL = {
    "no blank line between stanzas": HEAD + "\n" + ROOT + CHILD,
    "comment before a stanza": HEAD + "\n! part one\n" + ROOT + "\n! [Term]\n" + CHILD,
    "stanza right after the header": HEAD + ROOT + CHILD,
    "no header": ROOT + CHILD,
    "default-namespace": HEAD
    + "default-namespace: biological_process ! for all\n"
    + (ROOT + CHILD).replace("namespace: biological_process\n", ""),
    "no blank after the colon": (ROOT + CHILD).replace(": ", ":"),
    "blanks around": (ROOT + CHILD).replace("\n", "  \n  "),
    "qualifiers and comments": ROOT
    + CHILD.replace("GO:0008150", 'GO:0008150{source="x ! y"} ! r').replace("Term]", "Term] ! c"),
    "part_of by its other name": ROOT + CHILD.replace("is_a:", "relationship: BFO:0000050"),
    "a line that goes on": ROOT + CHILD.replace("is_a: GO", "is_a: \\\nGO"),
    "tags before the id": ROOT + CHILD.replace("id: GO:0000001\n", "").strip() + "\nid: GO:0000001",
    "a term in two stanzas": ROOT + CHILD + "[Term]\nid: GO:0000001\ncomment: more\n",
    "other stanzas": ROOT + "[Typedef]\nid: part_of\n[Instance]\nid: x\n[Other]\nid: y\n" + CHILD,
    "old Mac": (HEAD + ROOT + CHILD).replace("\n", "\r"),
    "byte order mark and CRLF": "\ufeff" + (HEAD + ROOT + CHILD).replace("\n", "\r\n"),
    "strange text": ROOT + 'def: "a \\" { ! [Term] is_a: x" []\ncomment: [Term]\n' + CHILD,
    "a relation to an alternative id": ROOT.replace("name", "alt_id: GO:0000009\nname")
    + CHILD.replace("is_a: GO:0008150", "relationship: part_of GO:0000009"),
    "escaped colons": ROOT + CHILD.replace("GO:", "GO\\:"),
    "a brace in the quotes of a qualifier": ROOT
    + CHILD.replace("name: c", 'name: c {x="a } ! b"}'),
    "obsolete by a number": ROOT + CHILD + '[Term]\nid: GO:0000002\nis_obsolete: 1 {a="b"}\n',
    "terms of other ontologies": ROOT
    + "[Term]\nid: CHEBI:1\nname: x\nnamespace: chebi\nis_a: CHEBI:2\n"
    + CHILD
    + "is_a: CHEBI:1\nrelationship: part_of CHEBI:2\n",
}


@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
@pytest.mark.parametrize("text", LEGAL.values(), ids=LEGAL.keys())
def test_legal_obo_is_read(tmp_path, text):
    path = tmp_path / "x.obo"
    path.write_bytes(text.encode())
    ontology = Ontology.from_obo(path)
    assert ontology.terms == ["GO:0000001", "GO:0008150"]
    assert ontology.names == ["c", "r"]
    assert ontology.ancestors_of("GO:0000001") == ["GO:0008150"]


def test_alternative_ids_of_obsolete_terms_lead_where_the_term_does(tmp_path):
    path = tmp_path / "x.obo"
    old = "id: GO:0000005\nis_obsolete: true\nalt_id: GO:0000055\n"
    path.write_text(f"{ROOT}[Term]\n{old}replaced_by: GO:0008150\n")
    positions, counts = Ontology.from_obo(path).resolve(["GO:0000055", "GO:0000005"])
    assert positions.tolist() == [0, 0]
    assert counts["replaced_by"] == 2


def test_names_have_no_line_breaks(tmp_path):
    path = tmp_path / "x.obo"
    path.write_text(ROOT.replace("name: r", r"name: a\nb\tc\Wd\\n"))
    assert Ontology.from_obo(path).names == ["a b c d\\n"]


def test_names_keep_their_signs(tmp_path):
    path = tmp_path / "x.obo"
    name = r"name: 5'-\{a\}: b\! [c] (d)! e {x=\"1\"} ! comment"
    path.write_text(ROOT.replace("name: r", name))
    assert Ontology.from_obo(path).names == ["5'-{a}: b! [c] (d)! e"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROOT + "name without colon\n", r"line 5: .*'name without colon' in \[Term\] GO:0008150"),
        ("hello\n" + ROOT, "line 1: .*'hello' in the header"),
        (ROOT + "[Term]\nname: x\n", r"line 5: this \[Term\] has no id"),
        (ROOT + "[Term\nid: GO:0000001\n", r"line 5: .*'\[Term' in \[Term\] GO:0008150"),
        (ROOT + "is_a:\n", "line 5, record 'GO:0008150': 'is_a' has no value"),
        (ROOT + "is_a: ! r\n", "line 5, record 'GO:0008150': 'is_a' has no value"),
        (ROOT + "relationship: part_of\n", "line 5, record .*a relationship is"),
        (ROOT + "relationship: part_of ! GO:1\n", "line 5, record .*a relationship is"),
        (ROOT + "relationship: part_of GO:1 GO:2\n", "line 5, record .*a relationship is"),
        (ROOT + "is_a: GO:1 GO:2\n", "line 5, record .*'is_a' is one value, not 'GO:1 GO:2'"),
        (ROOT + "is_obsolete: maybe\n", "line 5, record .*is true or false, not 'maybe'"),
        (ROOT + "id: GO:2\n", "line 5, record .*id 'GO:2' contradicts 'GO:0008150' of line 2"),
        (ROOT + ROOT.replace("r\n", "s\n"), "line 7, record .*name 's' contradicts 'r' of line 3"),
        (ROOT.replace("biological", "psychic"), "line 4, record .*'psychic_process' is not one"),
        (ROOT.replace("namespace: biological_process\n", ""), "line 1, record .*'' is not one"),
    ],
)
def test_what_is_no_obo_is_named_with_line_and_stanza(tmp_path, text, message):
    path = tmp_path / "x.obo"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        Ontology.from_obo(path)

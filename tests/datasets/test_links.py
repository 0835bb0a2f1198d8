"""Link tables: one graph out of both directions, everything dropped counted, bad rows named."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.datasets import links as links_module
from lcplm_graph.datasets.links import both_directions, read_links
from lcplm_graph.errors import DataError

IDS = ["9.a", "9.b", "9.c", "9.d"]
HEADER = "protein1 protein2 combined_score\n"


def write(folder: Path, text: str | bytes, header: str = HEADER) -> Path:
    path = folder / "links.txt"
    path.write_bytes(text if isinstance(text, bytes) else (header + text).encode())
    return path


def test_both_directions_make_one_pair(tmp_path):
    links = read_links(
        write(tmp_path, "9.a 9.b 500\n9.c 9.a 1000\n9.b 9.a 500\n9.a 9.c 1000\n"), IDS
    )
    assert links.pairs.tolist() == [[0, 1], [0, 2]]
    assert links.scores.tolist() == [500, 1000]
    edge_index, scores, channels = both_directions(links, 4)
    assert edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    assert scores.tolist() == [500, 1000, 500, 1000]
    assert channels is None


def test_what_is_dropped_is_counted(tmp_path):
    rows = (
        "9.a 9.a 900\n"  # self loop
        "9.a 9.b 300\n9.b 9.a 400\n"  # directions disagree: the higher score stays
        "9.a 9.c 200\n9.a 9.c 200\n"  # repeated, and later below the score
        "9.b 9.c 700\n9.b 9.c 700\n"  # repeated
        "9.a 9.x 900\n9.y 9.x 900\n"  # without sequence
        "9.c 9.d 0\n"
    )
    links = read_links(write(tmp_path, rows), IDS, min_score=250)
    assert links.pairs.tolist() == [[0, 1], [1, 2]]
    assert links.scores.tolist() == [400, 700]
    assert links.report == {
        "rows": 10,
        "rows_without_sequence": 2,
        "self_pairs": 1,
        "below_score": 3,
        "duplicates": 1,
        "contradictory_pairs": 1,
    }


def test_channels_follow_their_pairs(tmp_path):
    header = "protein1 protein2 experimental database combined_score\n"
    rows = "9.b 9.d 1 2 900\n9.a 9.b 3 4 950\n9.d 9.b 1 2 900\n9.b 9.a 3 4 950\n9.c 9.d 5 6 20\n"
    path = write(tmp_path, rows, header)
    links = read_links(path, IDS, channels=("experimental", "database"))
    assert links.channels.tolist() == [[3, 4], [1, 2], [5, 6]]
    edge_index, scores, channels = both_directions(links, 4)
    table = [
        (*pair, *row) for pair, row in zip(edge_index.T.tolist(), channels.tolist(), strict=True)
    ]
    assert table == [
        (0, 1, 3, 4),
        (1, 0, 3, 4),
        (1, 3, 1, 2),
        (2, 3, 5, 6),
        (3, 1, 1, 2),
        (3, 2, 5, 6),
    ]
    assert scores.tolist() == [950, 950, 900, 20, 900, 20]
    one = read_links(path, IDS, score="experimental", min_score=3)
    assert one.pairs.tolist() == [[0, 1], [2, 3]]


def test_a_table_without_scores(tmp_path):
    path = write(tmp_path, "9.a\t9.b\n", "protein1\tprotein2\n")
    links = read_links(path, IDS, score=None, constant_score=900, delimiter="\t")
    assert (links.pairs.tolist(), links.scores.tolist()) == ([[0, 1]], [900])


def test_columns_may_stand_in_any_order_and_lines_end_in_crlf(tmp_path):
    text = "combined_score x protein2 protein1\r\n7 z 9.b 9.a\r\n"
    assert read_links(write(tmp_path, text, ""), IDS).scores.tolist() == [7]


GOOD = "9.a 9.b 500\n"
BAD = {
    "negative score": (HEADER + GOOD + "9.a 9.c -3\n", r"line 3: combined_score '-3'"),
    "score above 1000": (HEADER + GOOD + "9.a 9.c 1001\n", r"line 3: combined_score '1001'"),
    "huge score": (HEADER + GOOD + "9.a 9.c 99999\n", r"line 3: combined_score '99999'"),
    "a number of 5000 digits": (HEADER + "9.a 9.c " + "9" * 5000 + "\n", r"line 2: combined_score"),
    "NaN score": (HEADER + GOOD * 3 + "9.a 9.c NaN\n", r"line 5: combined_score 'NaN'"),
    "empty score": (HEADER + "9.a 9.c \n", r"line 2: combined_score ''"),
    "fractional score": (HEADER + "9.a 9.c 0.5\n", r"line 2: combined_score '0.5'"),
    "word for score": (HEADER + "9.a 9.c high\n", r"line 2: combined_score 'high'"),
    "too few columns": (HEADER + GOOD + "9.a 9.c\n", r"line 3: 2 columns, the header has 3"),
    "too many columns": (HEADER + GOOD + "9.a 9.c 5 6\n", r"line 3: 4 columns, the header has 3"),
    "cut off in a row": (HEADER + GOOD + "9.a 9.", r"line 3: 2 columns"),
    "tabs for blanks": (HEADER.replace(" ", "\t") + "9.a\t9.b\t5\n", r"line 1: no column protein1"),
    "no header": (GOOD * 2, r"line 1: no column protein1, protein2, combined_score"),
    "another table": ("protein1 protein2 score\n" + GOOD, r"line 1: no column combined_score"),
    "another species": (HEADER + GOOD + "10.a 9.b 500\n", r"line 3: the id '10.a' does not start"),
    "no species": (HEADER + "P12345 9.b 500\n", r"line 2: the id 'P12345' does not start"),
    "no common protein": (HEADER + "9.x 9.y 500\n", "no protein of this file has a sequence"),
    "header only": (HEADER, "header but no link"),
    "empty": ("", "empty"),
    "html": ("<!DOCTYPE html><html>\n<body>Service unavailable</body>", "web page"),
    "binary": ("protein1 \0\0\1\2", "binary"),
    "latin-1": ((HEADER + "9.a 9.caf\xe9 5\n").encode("latin-1"), "line 2: not UTF-8"),
    "utf-16": (HEADER.encode("utf-16"), "UTF-16"),
    "truncated gzip": (
        gzip.compress((HEADER + GOOD * 9000).encode())[:-30],
        "truncated or damaged",
    ),
    "rows lost in gzip": (gzip.compress((HEADER + GOOD + "9.a\n").encode()), r"line 3: 1 columns"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_file_and_line(tmp_path, content, message):
    path = write(tmp_path, content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message) as caught:
        read_links(path, IDS, prefix="9.")
    assert str(path) in str(caught.value)


ROW = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1000))


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=60), min_score=st.integers(0, 1000))
def test_equal_to_a_plain_dictionary(tmp_path_factory, rows, min_score):
    text = "".join(f"9.{'abcdxy'[a]} 9.{'abcdxy'[b]} {s}\n" for a, b, s in rows)
    path = write(tmp_path_factory.mktemp("links"), text)
    expected: dict[tuple[int, int], int] = defaultdict(int)
    for a, b, s in rows:
        if a != b and max(a, b) < 4 and s >= max(min_score, 1):
            pair = min(a, b), max(a, b)
            expected[pair] = max(expected[pair], s)
    if all(max(a, b) > 3 for a, b, _ in rows):
        with pytest.raises(DataError):
            read_links(path, IDS, min_score=min_score)
        return
    links = read_links(path, IDS, min_score=min_score)
    found = dict(zip(map(tuple, links.pairs.tolist()), links.scores.tolist(), strict=True))
    assert found == expected
    assert list(found) == sorted(found)
    edge_index, scores, _ = both_directions(links, 4)
    assert (np.lexsort(edge_index[::-1]) == np.arange(edge_index.shape[1])).all()
    assert {
        (i, j): s for (i, j), s in zip(edge_index.T.tolist(), scores.tolist(), strict=True) if i < j
    } == expected


def test_many_blocks_with_their_own_dictionaries(tmp_path, monkeypatch):
    monkeypatch.setattr(links_module, "_BLOCK", 400)
    rng = np.random.default_rng(0)
    ids = sorted(f"9.{i}" for i in range(200))
    pairs = {(a, b) for a, b in rng.integers(0, 200, (3000, 2)).tolist() if a < b}
    score = {pair: int(rng.integers(1, 1000)) for pair in sorted(pairs)}
    text = "".join(f"{ids[a]} {ids[b]} {s}\n{ids[b]} {ids[a]} {s}\n" for (a, b), s in score.items())
    links = read_links(write(tmp_path, gzip.compress((HEADER + text).encode())), ids)
    assert list(
        zip(map(tuple, links.pairs.tolist()), links.scores.tolist(), strict=True)
    ) == sorted(score.items())


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=80)
    | st.text("9.ab 150\n-", max_size=60).map(lambda t: (HEADER + t).encode())
)
def test_no_bytes_give_anything_but_links_or_a_data_error(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("fuzz"), content)
    try:
        links = read_links(path, IDS, prefix="9.")
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert ((links.scores > 0) & (links.scores <= 1000)).all()

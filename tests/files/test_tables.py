"""Tables as text, against a reader that is slow and plain."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import DataError
from lcplm_graph.files import tables
from lcplm_graph.files.tables import LINE, first_columns, numbered_lines, read_table, rows


def write(folder, content: bytes):
    path = folder / "x.tsv"
    path.write_bytes(content)
    return path


def plain(content: bytes, width: int) -> list[tuple[str, str, int]] | int:
    """Read two columns the slow way; the number of the bad line if there is one."""
    text = content.decode("utf-8").replace("\ufeff", "")
    found = []
    for line, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if not raw.strip() or raw.startswith("!"):
            continue
        cells = raw.split("\t")
        if len(cells) != width:
            return line
        found.append((unquoted(cells[0].strip()), unquoted(cells[1].strip()), line))
    return found


def unquoted(cell):
    inside = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inside.replace('""', ""):
        return cell
    return inside.replace('""', '"')


def test_quoted_cells_are_what_they_hold(tmp_path):
    path = write(tmp_path, b'"V1"\t"V2"\n"TP53"\t"a ""b"" c"\n"x\ty"\n')
    expected = [("V1", "V2", 1), ("TP53", 'a "b" c', 2), ('"x', 'y"', 3)]
    assert [(a, b, n) for n, (a, b) in rows(path)] == expected
    table = read_table(path, {"a": 0, "b": 1}, [2])
    assert list(zip(*table.to_pydict().values(), strict=True)) == expected


PIECE = st.sampled_from(
    [b"a", b"\t", b"\n", b"\r", b" ", b"!", b"bc", b"\r\n", b'"', "é".encode(), b"\xef\xbb\xbf"]
)


@given(st.lists(PIECE, min_size=1, max_size=60), st.sampled_from([1, 3, 7, 100]))
@settings(deadline=None, max_examples=400)
def test_any_text_is_read_as_the_plain_reader_does(tmp_path_factory, pieces, block):
    content = b"x\ty\n" + b"".join(pieces)
    path = write(tmp_path_factory.mktemp("t"), content)
    expected = plain(content, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK", block)
        if isinstance(expected, int):
            with pytest.raises(DataError) as caught:
                read_table(path, {"a": 0, "b": 1}, [2], ("!",))
            assert caught.value.line == expected
            return
        table = read_table(path, {"a": 0, "b": 1}, [2], ("!",))
        assert list(zip(*table.to_pydict().values(), strict=True)) == expected
        assert [(n, *c) for n, c in rows(path, ("!",))] == [(n, a, b) for a, b, n in expected]


CELLS = st.lists(
    st.sampled_from(["a", "bc", "", " ", ",", ";", "\t", '"', '""', '"x,y"', "\n", "\r\n", "é"]),
    max_size=40,
)


@given(CELLS, st.sampled_from([",", ";", " "]), st.sampled_from([1, 7, 1000]))
@settings(deadline=None, max_examples=300)
def test_many_lines_at_once_are_cut_as_each_is(tmp_path_factory, pieces, separator, block):
    path = write(tmp_path_factory.mktemp("t"), f"x{separator}y\n{''.join(pieces)}".encode())

    def told(read):
        try:
            return list(read())
        except DataError as error:
            return error.line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK", block)
        one_by_one = told(lambda: rows(path, (), separator))
        if not isinstance(one_by_one, int):
            widths = {len(cells) for _, cells in one_by_one}
            expected = [(cells[0], cells[-1], n) for n, cells in one_by_one]
        else:
            widths, expected = range(1, 50), one_by_one
        if len(widths) > 1 and not isinstance(expected, int):
            return
        columns = {"a": 0, "b": 0 if isinstance(expected, int) else min(widths) - 1}
        found = told(
            lambda: zip(
                *read_table(path, columns, widths, separator=separator).to_pydict().values(),
                strict=True,
            )
        )
    assert found == expected


def test_text_that_is_not_utf8_names_its_line(tmp_path):
    path = write(tmp_path, b"a\tb\nc\tcaf\xe9\n")
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_table(path, {"a": 0}, [2])
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        list(numbered_lines(path))


def test_a_character_that_two_blocks_share_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK", 4)
    path = write(tmp_path, "abcé\n\u00a0\nd".encode())
    assert list(numbered_lines(path)) == [(1, "abcé"), (3, "d")]


def test_one_long_line_is_read_once(tmp_path):
    path = write(tmp_path, b"a\t" + b"x" * 50_000_000)
    start = time.perf_counter()
    table = read_table(path, {"a": 0}, [2])
    assert table.to_pydict() == {"a": ["a"], LINE: [1]}
    # Joining what was read with every new piece took minutes.
    assert time.perf_counter() - start < 10


def test_columns_by_position_under_new_names(tmp_path):
    path = write(tmp_path, b"#id\tname\tmore\nP1\tone\t\n\nP2\ttwo\tx\n")
    assert first_columns(path, ["a", "b"]).to_pydict() == {"a": ["P1", "P2"], "b": ["one", "two"]}
    with pytest.raises(DataError, match="line 3: 2 columns"):
        first_columns(write(tmp_path, b"#id\tname\tmore\nP1\tone\t\nP2\ttwo\n"), ["a"])

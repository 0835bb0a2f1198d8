"""Lines and cells of tables, cut letter by letter."""

from __future__ import annotations

import re

from fuzz_core import Refused


def rows(content: bytes, comment: tuple[str, ...]) -> list[list[str]]:
    """Cells of each line that counts, without blanks around."""
    lines = content.decode("utf-8").split("\n")
    kept = [line for line in lines if re.search(r"[^\t\n\f\r ]", line)]
    return [
        [unquoted(cell.strip()) for cell in line.split("\t")]
        for line in kept
        if not line.startswith(comment)
    ]


def unquoted(cell: str) -> str:
    """Take quotes off around a cell in which every other quote is doubled."""
    inside = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if quoted else cell


def separated(content: bytes) -> list[list[str]]:
    """Cells of each line, between tabs, commas, semicolons or blanks as the first 100 lines say."""
    lines = counted(content)
    lines = [line for line in lines if line[0] != "#"]
    if not lines:
        raise Refused("no line")
    sign = sign_of(lines)
    if sign == "\t":
        return rows(content, ("#",))
    if sign is None:
        raise Refused("none or several")
    found = [cut(line, sign) for line in lines]
    if None in found:
        raise Refused("a quote or a tab")
    return found


def counted(content: bytes) -> list[str]:
    """Lines that are not blank."""
    lines = content.decode("utf-8").split("\n")
    return [line for line in lines if re.search(r"[^\t\n\f\r ]", line)]


def sign_of(lines: list[str]) -> str | None:
    """Tell what separates columns by the first 100 lines; None if nothing or several do."""
    if "\t" in lines[0]:
        return "\t"
    able = []
    for sign in ",; ":
        looked = [re.sub(" *([,;]) *", r"\1", x) if sign == " " else x for x in lines[:100]]
        widths = [len(cut(line, sign) or ()) for line in looked]
        if widths[0] > 1:
            able.append((sign, len(set(widths)) == 1))
    signs = [sign for sign, alike in able if alike or len(able) == 1]
    return signs[0] if len(signs) == 1 else None


def cut(line: str, separator: str) -> list[str] | None:
    """Cut a line letter by letter; None if a quote does not end or a tab is among blanks."""
    line = line.strip()
    if separator == " " and "\t" in line:
        return None
    if separator == " " and '"' not in line:
        return [cell.strip() for cell in re.split(" +", line)]
    cells, at = [], 0
    while True:
        while separator != " " and line[at : at + 1] == " ":
            at += 1
        cell = ""
        if line[at : at + 1] == '"':
            end = at + 1
            while line[end : end + 1] != '"' or line[end + 1 : end + 2] == '"':
                if end >= len(line):
                    return None
                cell += line[end]
                end += 2 if line[end] == '"' else 1
            at = end + 1
            if line[at : at + 1] not in ("", separator):
                return None
        else:
            while line[at : at + 1] not in ("", separator):
                cell += line[at]
                at += 1
        cells.append(cell.strip())
        if at >= len(line):
            return cells
        at += 1

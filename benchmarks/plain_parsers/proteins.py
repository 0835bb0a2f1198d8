"""FASTA, line by line."""

from __future__ import annotations

import re

from fuzz_core import Refused


def fasta(content: bytes) -> list[tuple[str, str]]:
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

"""Data at the command line: what there is, the sequences of human proteins, what is kept.

``lcplm data list | show | sequences | download | verify | kept | clear``.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lcplm_graph.command import Command, run_subcommand
from lcplm_graph.errors import ConfigError, LcPlmError
from lcplm_graph.files.catalog import Card, CardFile, list_cards, load_card
from lcplm_graph.files.download import (
    check_file,
    data_root,
    fetch_card_file,
    is_offline,
    read_record,
)
from lcplm_graph.files.kept import KINDS, clear, kept_folders, kinds_of, size_of
from lcplm_graph.option_parser import positional


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """``lcplm data list`` has no options."""


def _names() -> list[str]:
    return [card.name for card in list_cards()]


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Options of ``lcplm data show``.

    Parameters
    ----------
    name
        A name from ``lcplm data list``, as string:7227.
    """

    name: str = positional(metavar="NAME", words=_names)


@dataclass(frozen=True, kw_only=True)
class SequencesOptions:
    """Options of ``lcplm data sequences``.

    Parameters
    ----------
    proteins
        Human proteins: gene names and their aliases, UniProt accessions, STRING ids.
    out
        FILE.fasta; printed by default.
    """

    proteins: list[str] = positional(metavar="PROTEIN", nargs="+")
    out: str | None = None


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(ShowOptions):
    """Options of ``lcplm data verify``.

    Parameters
    ----------
    role
        Only this file of the dataset.
    """

    role: str | None = None


@dataclass(frozen=True, kw_only=True)
class DownloadOptions(VerifyOptions):
    """Options of ``lcplm data download``.

    Parameters
    ----------
    offline
        Do not use the network.
    """

    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class KeptOptions:
    """``lcplm data kept`` has no options."""


@dataclass(frozen=True, kw_only=True)
class ClearOptions:
    """Options of ``lcplm data clear``.

    Parameters
    ----------
    kinds
        As `lcplm data kept` lists them; `made` for all that can be made again.
    """

    kinds: list[str] = positional(metavar="KIND", nargs="+", words=lambda: ["made", *KINDS])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Default: of this process.

    Returns
    -------
    int
        0; 1 if a file is missing or broken or cannot be fetched; 2 for a wrong command line.
    """
    description = f"What data there is, and getting it.\n{_where_kept()}"
    return run_subcommand("data", _COMMANDS, argv, description)


def _where_kept() -> str:
    try:
        return f"Files are kept in {data_root()}; set LCPLM_DATA to keep them elsewhere."
    except ConfigError as error:  # what lists data needs no folder
        reason = str(error)
        return f"{reason[0].upper()}{reason[1:]}."


def _list(options: ListOptions) -> int:
    rows = [("NAME", "KIND", "VERSION", "FILES", "TITLE")]
    for card in list_cards():
        name = f"{card.name}:<{card.parameter}>" if card.parameter else card.name
        where = "embedded" if card.embedded else str(len(card.files)) if card.files else "yours"
        rows.append((name, card.kind, card.version, where, card.title))
    _print_table(rows)
    return 0


def _show(options: ShowOptions) -> int:
    card = load_card(options.name)
    taxa = ", ".join(map(str, card.organism))
    for key, value in (
        ("name", card.name),
        ("title", card.title),
        ("kind", card.kind),
        ("version", card.version),
        ("organism", f"NCBI taxon {taxa}" if taxa else "various"),
        ("licence", card.licence),
        ("homepage", card.homepage),
        ("citation", card.citation),
    ):
        indent = " " * 10
        print(textwrap.fill(f"{key:<10}{value}", 98, subsequent_indent=indent))
    if card.note:
        print(f"\n{card.note.strip()}")
    if card.files:
        print()
        _print_table([("ROLE", "STATE", "BYTES", "FILE"), *(_row(card, f) for f in card.files)])
    return 0


def _sequences(options: SequencesOptions) -> int:
    from lcplm_graph.heads.names import KnownProteins
    from lcplm_graph.proteins.fasta import fasta_records, write_fasta

    known = KnownProteins.embedded("string_human_core")
    found = known.sequences(options.proteins, short=False)
    if options.out is None:
        sys.stdout.writelines(fasta_records(found.keys(), found.values()))
    else:
        write_fasta(options.out, found.keys(), found.values())
        print(f"{len(found):,} proteins; written: {options.out}")
    return 0


def _download(options: DownloadOptions) -> int:
    card = load_card(options.name)
    if not card.files and options.role is None:
        print(f"{card.name}: the files are yours; there is nothing to fetch")
    for file in _chosen(card, options.role):
        path = fetch_card_file(card, file.role, offline=is_offline(options.offline or None))
        print(f"{file.role:<16} {path}")
    return 0


def _verify(options: VerifyOptions) -> int:
    card = load_card(options.name)
    if not card.files and options.role is None:
        print(f"{card.name}: the files are yours; there is nothing to check them against")
        return 0
    rows, broken = [("ROLE", "RESULT", "FILE")], 0
    for file in _chosen(card, options.role):
        try:
            result = _verified(card, file)
        except (LcPlmError, OSError) as error:
            result = f"BROKEN: {error}"
        broken += result != "ok"
        rows.append((file.role, result, str(_path(card, file))))
    _print_table(rows)
    return 1 if broken else 0


def _kept(options: KeptOptions) -> int:
    rows = [("KIND", "FILES", "BYTES", "WHAT")]
    for kind, (_, what) in KINDS.items():
        files, size = size_of(kept_folders(kind))
        rows.append((kind, f"{files:,}", f"{size:,}", what))
    _print_table(rows)
    print(f"\nIn {data_root()}; `lcplm data clear KIND` removes one, `made` all but fetched.")
    return 0


def _clear(options: ClearOptions) -> int:
    for kind in kinds_of(options.kinds):
        print(f"{kind:<10} {clear(kind):,} bytes freed", flush=True)
    return 0


def _verified(card: Card, file: CardFile) -> str:
    path = _path(card, file)
    if not path.is_file():
        return "MISSING"
    record = None if file.path is not None else read_record(path)
    pin = file.pinned or (str(record["sha256"]) if record else None)
    if pin is None:
        return "UNPINNED: fetched by other means; run download to pin it"
    check_file(path, pin, file.bytes)
    return "ok"


def _chosen(card: Card, role: str | None) -> list[CardFile]:
    return list(card.files) if role is None else [card.file(role)]


def _path(card: Card, file: CardFile) -> Path:
    return file.path or data_root() / card.folder / "raw" / file.name


def _row(card: Card, file: CardFile) -> tuple[str, str, str, str]:
    path = _path(card, file)
    there = path.is_file()
    state = "embedded" if file.path else "on disk" if there else "to download"
    size = path.stat().st_size if there else file.bytes
    return file.role, state, f"{size:,}" if size else "?", str(path if there else file.url)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


_COMMANDS = {
    "list": Command(ListOptions, _list, "all datasets, in a table"),
    "show": Command(ShowOptions, _show, "the card of a dataset: licence, citation, files"),
    "sequences": Command(SequencesOptions, _sequences, "human proteins by name, as FASTA"),
    "download": Command(
        DownloadOptions,
        _download,
        "fetch the files of a dataset and check them",
        kept="what was fetched is kept, and the same command goes on from there",
    ),
    "verify": Command(VerifyOptions, _verify, "check size and sha256 of what is on disk"),
    "kept": Command(KeptOptions, _kept, "what commands keep on this disk, and how much it is"),
    "clear": Command(ClearOptions, _clear, "remove what was kept, one kind or more"),
}


if __name__ == "__main__":
    sys.exit(main())

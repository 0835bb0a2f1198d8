"""Dataset cards: what exists, where it is, under which licence, with which checksum.

A card is the file ``cards/<name>/card.toml``; it sits in the source checkout and, installed,
inside the package.  Cards with a ``{...}`` placeholder in their URLs serve a family of
datasets: ``string:10090`` is the card `string` with the taxon 10090 filled in.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lcplm_graph.errors import ConfigError, DataError, UnknownNameError

PIN_ON_FIRST_DOWNLOAD = "pinned-on-first-download"
KINDS = ("ppi", "function", "homology", "sequences")
_REQUIRED = ("title", "kind", "version", "organism", "licence", "citation", "homepage")
_OPTIONAL = ("note", "embedded_alternative", "parameter")
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class CardFile:
    """One file of a dataset.

    Attributes
    ----------
    role : str
        What the loaders ask for, as ``links`` or ``sequences``.
    sha256 : str
        64 hex digits, or ``pinned-on-first-download``.
    bytes : int or None
        Size, where known beforehand.
    url : str or None
        Where to fetch it; `None` for an embedded file.
    path : pathlib.Path or None
        Where an embedded file is.
    name : str
        File name on disk; by default the last part of `url` or `path`.
    """

    role: str
    sha256: str
    bytes: int | None = None
    url: str | None = None
    path: Path | None = None
    name: str = ""

    @property
    def pinned(self) -> str | None:
        """The sha256 if it is known beforehand."""
        return None if self.sha256 == PIN_ON_FIRST_DOWNLOAD else self.sha256


@dataclass(frozen=True)
class Card:
    """What a dataset is and where its files are.

    Attributes
    ----------
    name : str
        Name to ask for; with the parameter filled in, as ``string:10090``.
    title, kind, version, licence, citation, homepage, note : str
        `kind` is one of `KINDS`.
    organism : tuple of int
        NCBI taxa; empty when the data is not of particular species.
    files : tuple of CardFile
        Empty for data that the user brings.
    embedded_alternative : str
        Name of a dataset that needs no network, for messages.
    parameter : str
        Name of what follows the colon in ``name:<parameter>``; empty for most cards.
    """

    name: str
    title: str
    kind: str
    version: str
    organism: tuple[int, ...]
    licence: str
    citation: str
    homepage: str
    files: tuple[CardFile, ...]
    note: str = ""
    embedded_alternative: str = ""
    parameter: str = ""

    @property
    def embedded(self) -> bool:
        """Whether every file comes with the package."""
        return bool(self.files) and all(file.path is not None for file in self.files)

    @property
    def folder(self) -> str:
        """Directory below the data root, as ``string-10090/12.0``."""
        return f"{self.name.replace(':', '-')}/{self.version}"

    def file(self, role: str) -> CardFile:
        """Return the file of a role.

        Raises
        ------
        UnknownNameError
            If the card has no such role; the message lists those it has.
        """
        for file in self.files:
            if file.role == role:
                return file
        roles = ", ".join(file.role for file in self.files) or "no files"
        raise UnknownNameError(f"dataset {self.name!r} has no file {role!r}; it has {roles}")

    def with_parameter(self, value: str) -> Card:
        """Fill in the parameter of a family of datasets."""
        if self.parameter == "taxon" and not value.isdigit():
            raise ConfigError(f"{self.name}:{value}: a taxon is an NCBI number, as 9606 for human")
        files = tuple(
            replace(
                file,
                url=str(file.url).format(**{self.parameter: value}),
                name=file.name.format(**{self.parameter: value}),
            )
            for file in self.files
        )
        organism = (int(value),) if self.parameter == "taxon" else self.organism
        name = f"{self.name}:{value}"
        return replace(self, name=name, files=files, organism=organism, parameter="")


def card_folder() -> Path:
    """Directory of the cards: inside the installed package, or beside it in a checkout."""
    for folder in (_PACKAGE / "_cards", _PACKAGE.parent / "cards"):
        if any(folder.glob("*/card.toml")):
            return folder
    raise ConfigError("no dataset cards are installed; install lcplm-graph again")


def list_cards() -> list[Card]:
    """Return all cards, sorted by name; families are listed once."""
    names = sorted(path.parent.name for path in card_folder().glob("*/card.toml"))
    return [_read_card(name) for name in names]


def load_card(name: str) -> Card:
    """Read and check the card of a dataset.

    Parameters
    ----------
    name : str
        As in ``lcplm data list``; ``string:<taxon>`` for any species of STRING.

    Raises
    ------
    UnknownNameError
        If there is no such dataset; the message names the nearest and lists all.
    DataError
        If the card itself is faulty.

    Examples
    --------
    >>> load_card("string:10090").file("links").name
    '10090.protein.links.v12.0.txt.gz'
    """
    base, colon, value = name.partition(":")
    if not re.fullmatch(r"\w+", base) or not (card_folder() / base / "card.toml").is_file():
        known = sorted(path.parent.name for path in card_folder().glob("*/card.toml"))
        near = difflib.get_close_matches(base, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UnknownNameError(f"no dataset {name!r}{hint}; known: {', '.join(known)}")
    card = _read_card(base)
    if bool(card.parameter) != bool(colon and value):
        wanted = f"{base}:<{card.parameter}>" if card.parameter else base
        raise UnknownNameError(f"dataset {name!r}: write it as {wanted}")
    return card.with_parameter(value) if card.parameter else card


def _read_card(name: str) -> Card:
    path = card_folder() / name / "card.toml"
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not valid TOML ({error})", path=path) from error
    missing = [key for key in _REQUIRED if key not in content]
    strange = sorted(set(content) - {*_REQUIRED, *_OPTIONAL, "files"})
    if missing or strange:
        raise DataError(f"missing keys {missing}, unknown keys {strange}", path=path)
    if content["kind"] not in KINDS:
        raise DataError(f"kind {content['kind']!r} is not one of {', '.join(KINDS)}", path=path)
    files = tuple(_read_file(entry, path) for entry in content.pop("files", []))
    content["organism"] = tuple(content["organism"])
    return Card(name=name, files=files, **content)


def _read_file(entry: dict[str, Any], card: Path) -> CardFile:
    sha256, role = str(entry.get("sha256", "")), entry.get("role")
    if not role or ("url" in entry) == ("path" in entry):
        raise DataError("a file needs a role and either url or path", path=card, record=role)
    if not re.fullmatch(rf"[0-9a-f]{{64}}|{PIN_ON_FIRST_DOWNLOAD}", sha256):
        raise DataError(
            f"sha256 is 64 hex digits or {PIN_ON_FIRST_DOWNLOAD!r}", path=card, record=role
        )
    strange = sorted(set(entry) - {"role", "sha256", "bytes", "url", "path", "name"})
    if strange:
        raise DataError(f"unknown keys {strange}", path=card, record=role)
    path = card.parent / entry["path"] if "path" in entry else None
    name = entry.get("name", str(entry.get("url") or entry["path"]).rsplit("/", 1)[-1])
    return CardFile(role, sha256, entry.get("bytes"), entry.get("url"), path, name)

"""Ids of one protein in several spellings, and which of them mean the same protein.

UniProt writes ``sp|P12345|AATM_RABIT`` where others write ``P12345``, STRING puts the taxon
before (``9606.ENSP00000269305``), Ensembl and RefSeq a version behind (``NP_000537.3``), UniRef
the name of the set (``UniRef50_P12345``).  Isoforms (``P12345-2``) are other proteins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.io import warn_once

_WRAPPED = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:gi\|\d+\|)?(?:sp|tr)\|([^|\s]+)(?:\|\S*)?",
        r"(?:gi\|\d+\|)?(?:ref|gb|emb|dbj|lcl)\|([^|\s]+)(?:\|\S*)?",
        r"(?i:UniRef)(?:50|90|100)_(\S+)",
        r"(?i:uniprotkb|uniprot|swiss-?prot|trembl|ensembl|refseq|string)[:|](\S+)",
        r"AF-([A-Z0-9]+)-F1(?:-model_v\d+)?",
    )
)
_TAXON = re.compile(r"(\d+)\.(?=[A-Za-z])(\S+)")
# Only accessions that are known to have versions: in other ids a number behind a dot is a name.
_VERSION = re.compile(
    r"([OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z0-9]{2}\d){1,2}|UPI[0-9A-F]{10}"
    r"|ENS[A-Z]*[GTP]\d{11}|[NXYW]P_\d+|[A-Z]{3}\d{5,7})\.(\d+)"
)


class Accession(NamedTuple):
    """What of an id names the protein, and what else it says."""

    core: str
    taxon: str = ""
    version: str = ""

    def contradicts(self, other: Accession) -> bool:
        """Whether both say something of species or version, and not the same."""
        return any(a and b and a != b for a, b in zip(self[1:], other[1:], strict=True))


def accession_of(name: str) -> Accession:
    """Take an id apart.

    Examples
    --------
    >>> accession_of("sp|P12345|AATM_RABIT").core, accession_of("UniRef50_P12345").core
    ('P12345', 'P12345')
    >>> accession_of("9606.ENSP00000269305.4")
    Accession(core='ENSP00000269305', taxon='9606', version='4')
    >>> accession_of("P12345-2").core, accession_of("YAL001C").core
    ('P12345-2', 'YAL001C')
    """
    core, taxon, version = name.strip(), "", ""
    while inner := next((m for pattern in _WRAPPED if (m := pattern.fullmatch(core))), None):
        core = inner[1]
    if parts := _TAXON.fullmatch(core):
        taxon, core = parts[1], parts[2]
    if parts := _VERSION.fullmatch(core):
        core, version = parts[1], parts[2]
    return Accession(core, taxon, version)


def match_by_accession(
    known: Sequence[str],
    wanted: Sequence[str],
    rows: npt.NDArray[np.int64],
    where: str = "",
) -> npt.NDArray[np.int64]:
    """Find ids that no full id matched by their accession, unless that is ambiguous.

    Parameters
    ----------
    known : sequence of str
        Ids that are there.
    wanted : sequence of str
        Ids to look for.
    rows : ndarray, dtype=int64, shape=(n,)
        Position of each wanted id in `known` where the full id is there, else -1.
    where : str
        What joins them, for the one warning that counts what was matched so.

    Returns
    -------
    ndarray, dtype=int64, shape=(n,)
        -1 for an id whose accession several known ids share, or that belongs to another species
        than the known id, or shares its accession with a wanted id of another species or version.

    Examples
    --------
    >>> rows = np.array([-1, -1])
    >>> match_by_accession(["sp|P12345|A_B", "sp|Q67890|C_D"], ["Q67890", "P1"], rows).tolist()
    [1, -1]
    """
    lost = list(dict.fromkeys(name for name, row in zip(wanted, rows, strict=True) if row < 0))
    if not lost:
        return rows
    looked_for = {name: accession_of(name) for name in lost}
    cores = {accession.core for accession in looked_for.values()}
    there: dict[str, list[tuple[int, Accession]]] = {}
    for row, name in enumerate(known):
        accession = accession_of(name)
        if accession.core in cores:
            there.setdefault(accession.core, []).append((row, accession))
    groups: dict[str, list[str]] = {}
    for name, accession in looked_for.items():
        if accession.core in there:
            groups.setdefault(accession.core, []).append(name)
    found, ambiguous = _unambiguous(groups, looked_for, there)
    _warn_of_matches(found, ambiguous, known, where)
    pairs = zip(wanted, rows.tolist(), strict=True)
    return np.array([found.get(name, row) if row < 0 else row for name, row in pairs], np.int64)


def _unambiguous(
    groups: dict[str, list[str]],
    looked_for: dict[str, Accession],
    there: dict[str, list[tuple[int, Accession]]],
) -> tuple[dict[str, int], int]:
    found: dict[str, int] = {}
    ambiguous = 0
    for core, names in groups.items():
        own = [looked_for[name] for name in names]
        if len(there[core]) > 1 or any(a.contradicts(b) for a in own for b in own[:50]):
            ambiguous += len(names)
            continue
        ((row, accession),) = there[core]
        for name in names:
            # A newer version is the same protein; one of another species is not.
            if not looked_for[name]._replace(version="").contradicts(accession):
                found[name] = row
    return found, ambiguous


def _warn_of_matches(
    found: dict[str, int], ambiguous: int, known: Sequence[str], where: str
) -> None:
    notes = []
    if found:
        name, row = next(iter(found.items()))
        notes.append(f"{len(found)} ids matched by accession, as {name!r} and {known[row]!r}")
    if ambiguous:
        notes.append(f"{ambiguous} ids left out, because several proteins share their accession")
    if notes:
        warn_once(f"{where}: {'; '.join(notes)}" if where else "; ".join(notes))

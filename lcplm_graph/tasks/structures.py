"""Which residues of a chain touch, from PDB, mmCIF and BinaryCIF files."""

from __future__ import annotations

import io
import itertools
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.compressed import suffix_of
from lcplm_graph.files.open import check_is_file, open_stream, read_binary
from lcplm_graph.io import warn_once

CONTACT_ANGSTROM = 8.0
SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif", ".bcif")
_PEPTIDE_ANGSTROM = 4.5
_PDB_CHAIN_GAP = 200


class Chain(NamedTuple):
    """A chain of a structure.

    Attributes
    ----------
    name : str
    sequence : str
        Residues without coordinates are X.
    points : ndarray, dtype=float32, shape=(L, 3)
        Of each residue's C-beta (glycine: C-alpha); NaN where it was not resolved.
    """

    name: str
    sequence: str
    points: npt.NDArray[np.float32]


def read_chains(path: str | os.PathLike[str]) -> list[Chain]:
    """Read the protein chains of the first model, in the order of the file.

    Of a residue's alternate locations the one of the highest occupancy counts.  Where a chain is
    broken the numbers of its residues say how many are missing; breaks of which they do not tell
    are counted in a warning.

    Parameters
    ----------
    path : path-like
        ``.pdb``, ``.ent``, ``.cif``, ``.mmcif`` or ``.bcif``, also compressed
        (gzip, zstd, bz2, xz).

    Raises
    ------
    DataError
        If the file is missing, of another kind, damaged, or holds no protein.
    ConfigError
        If biotite is not installed.
    """
    path = check_is_file(path)
    with warnings.catch_warnings():
        # The elements that biotite guesses, and says so, are not used here.
        warnings.simplefilter("ignore")
        atoms = _atoms(path)
    chains = [
        chain
        for name in dict.fromkeys(atoms.chain_id.tolist())
        if (chain := _chain(name, atoms[atoms.chain_id == name], path)) is not None
    ]
    if not chains:
        raise DataError("there is no protein chain with C-alpha atoms", path=path)
    return chains


def read_chain(path: str | os.PathLike[str], name: str | None = None) -> Chain:
    """Read one chain: the named one, or the first.

    Raises
    ------
    DataError
        As `read_chains`, and if there is no chain of that name.
    """
    chains = read_chains(path)
    # A blank, which is a chain's name in old PDB files, is read as an empty name.
    asked = None if name is None else name.strip()
    found = next((chain for chain in chains if asked in (None, chain.name)), None)
    if found is None:
        names = ", ".join(chain.name or "one without a name" for chain in chains)
        raise DataError(f"there is no protein chain {name!r}; there are {names}", path=path)
    return found


def contacts_between(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return 1 where two residues touch (C-betas within 8 Angstrom), 0 elsewhere, NaN if unknown.

    Examples
    --------
    >>> points = np.array([[0, 0, 0], [0, 0, 7], [0, 0, np.nan]], np.float32)
    >>> contacts_between(points[:1], points).tolist()
    [[1.0, 1.0, nan]]
    """
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return np.where(np.isnan(distance), np.nan, distance < CONTACT_ANGSTROM).astype(np.float32)


def is_structure(path: Path) -> bool:
    """Whether a file's name is that of a structure."""
    return suffix_of(path) in SUFFIXES


def _atoms(path: Path) -> Any:
    try:
        import biotite.structure as struc
        from biotite.structure.io import pdb, pdbx
    except ImportError:
        raise ConfigError(
            "structures are read by biotite; pip install 'lcplm-graph[structures]'"
        ) from None
    if not is_structure(path):
        raise DataError(f"structures are read from {', '.join(SUFFIXES)}", path=path)
    suffix = suffix_of(path)
    chosen: dict[str, Any] = {"model": 1, "altloc": "occupancy"}
    raw = read_binary(path) if suffix == ".bcif" else _text(path)
    try:
        if suffix in (".pdb", ".ent"):
            atoms = pdb.get_structure(pdb.PDBFile.read(io.StringIO(raw.decode())), **chosen)
        elif suffix == ".bcif":
            atoms = pdbx.get_structure(pdbx.BinaryCIFFile.read(io.BytesIO(raw)), **chosen)
        else:
            atoms = pdbx.get_structure(pdbx.CIFFile.read(io.StringIO(raw.decode())), **chosen)
    except Exception as error:  # biotite raises many classes for damaged files
        text = " ".join(str(error).split())
        raise DataError(f"not readable as a structure ({text})", path=path) from error
    return atoms[struc.filter_amino_acids(atoms)]


def _text(path: Path) -> bytes:
    with open_stream(path) as stream:
        return stream.read()


def _chain(name: str, atoms: Any, path: Path) -> Chain | None:
    import biotite.structure as struc
    from biotite.structure.info import one_letter_code

    residues = [_residue(residue) for residue in struc.residue_iter(atoms)]
    letters: list[str] = []
    points: list[npt.NDArray[np.float32]] = []
    last_id, last_alpha, unknown = None, None, 0
    for residue in _in_chain([residue for residue in residues if residue is not None]):
        number, alpha = residue.number, residue.alpha
        if last_id is not None and last_alpha is not None:
            missing = number - last_id - 1
            # Numbers may jump where the chain goes on, so only a break counts.
            if not _joined(last_alpha, alpha):
                tells = 0 < missing <= _PDB_CHAIN_GAP
                unknown += not tells
                letters += "X" * missing * tells
                points += [np.full(3, np.nan, np.float32)] * missing * tells
        letters.append(one_letter_code(residue.name) or "X")
        points.append(residue.point)
        last_id, last_alpha = number, alpha
    if not letters:
        return None
    if unknown:
        warn_once(
            f"{path}: chain {name} has {unknown} break(s) of which the residue numbers do not say "
            f"how many residues are missing (1 to {_PDB_CHAIN_GAP}); the residues on both sides "
            "are taken for neighbours, so separations across are too small"
        )
    return Chain(name, "".join(letters), np.array(points, np.float32))


class _Residue(NamedTuple):
    number: int
    name: str
    hetero: bool
    alpha: npt.NDArray[np.float32]
    point: npt.NDArray[np.float32]


def _residue(atoms: Any) -> _Residue | None:
    place = {atom: atoms.coord[i] for i, atom in enumerate(atoms.atom_name.tolist())}
    if "CA" not in place:
        return None
    alpha, hetero = place["CA"], bool(atoms.hetero[0])
    number, name = int(atoms.res_id[0]), str(atoms.res_name[0])
    return _Residue(number, name, hetero, alpha, place.get("CB", alpha))


def _in_chain(residues: list[_Residue]) -> list[_Residue]:
    """Leave out free amino acids, which files give the chain's name as other ligands, too.

    They are HETATM as modified residues are, but next to no residue of the chain.
    """
    alphas = [residue.alpha for residue in residues]
    to_next = [_joined(a, b) for a, b in itertools.pairwise(alphas)]
    joined = [a or b for a, b in zip([False, *to_next], [*to_next, False], strict=True)]
    pairs = zip(residues, joined, strict=False)
    return [residue for residue, is_joined in pairs if is_joined or not residue.hetero]


def _joined(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> bool:
    return bool(np.linalg.norm(b - a) <= _PEPTIDE_ANGSTROM)

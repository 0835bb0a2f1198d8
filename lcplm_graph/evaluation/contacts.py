"""Contacts of a folder of structures: P@L beside chance, nearness and an untrained model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.evaluation.bootstrap import mean_of_some
from lcplm_graph.evaluation.report import Report
from lcplm_graph.figures import draw_forest
from lcplm_graph.files.open import check_is_folder
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array
from lcplm_graph.tasks.contacts import contact_map, protein_layout
from lcplm_graph.tasks.precision import RANGES, density, nearness, precision_at
from lcplm_graph.tasks.structures import Chain, contacts_between, is_structure, read_chains

SHARES = {"pl": 1, "pl2": 2, "pl5": 5}
# From the name of a chain to scores of its pairs, shape (L, L).
Scores = Callable[[str], Float32Array]


def chains_of(
    folder: str | os.PathLike[str], least: int = 40, most: int | None = None
) -> dict[str, Chain]:
    """Read every chain of a folder's structures, each sequence once, by ``FILE_CHAIN``.

    Where files of subfolders or models have one name, the later ones are called by their path.

    Parameters
    ----------
    folder : path-like
    least, most : int
        Chains with fewer or more residues are left out.

    Raises
    ------
    ConfigError
        If no length is from `least` to `most`.
    DataError
        If there is no such folder, no structure in it, or no chain of such a length.
    """
    if least < 1 or (most is not None and most < least):
        raise ConfigError(
            f"chains of {least} to {most if most is not None else 'any number of'} residues were "
            "asked for; give a least number from 1, and no smaller one as the most"
        )
    check_is_folder(folder, "structures")
    paths = sorted(path for path in Path(folder).rglob("*") if is_structure(path))
    if not paths:
        raise DataError("there is no .pdb, .ent, .cif, .mmcif or .bcif file here", path=folder)
    found: dict[str, Chain] = {}
    seen: set[str] = set()
    for path in paths:
        for chain in read_chains(path):
            fits = least <= len(chain.sequence) <= (most or np.inf)
            if fits and chain.sequence not in seen:
                seen.add(chain.sequence)
                name = f"{path.name.split('.')[0]}_{chain.name}"
                found[f"{path.relative_to(folder)}_{chain.name}" if name in found else name] = chain
    if not found:
        raise DataError(f"no chain has {least} to {most or 'any number of'} residues", path=folder)
    return found


def evaluate_contacts(
    chains: dict[str, Chain],
    models: dict[str, MaskedLM],
    *,
    max_tokens: int = 4096,
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """Measure contact prediction on chains.

    Parameters
    ----------
    chains : dict of str to Chain
    models : dict of str to MaskedLM
        By the name of their row.
    max_tokens : int
    resamples, seed : int
        Of the bootstrap over chains.
    progress : bool

    Returns
    -------
    Report
        A row for each model, for nearness along the chain and for chance, and for each range of
        separations.
    """
    known = {name: contacts_between(c.points, c.points) for name, c in chains.items()}
    maps: dict[str, Scores] = {
        "nearness along the chain": lambda name: nearness(len(known[name])),
        **_contact_maps(chains, models, max_tokens, progress),
    }
    report = Report(
        "Contacts by the categorical Jacobian: C-betas within 8 Angstrom",
        {"range": "separation", "model": "model", "pl": "P@L", "pl2": "P@L/2", "pl5": "P@L/5"},
        facts={"chains": len(chains), "residues": sum(len(k) for k in known.values())},
        notes=[
            "Short, medium and long range: 6-11, 12-23, 24 and more residues apart.",
            "Intervals: bootstrap over chains.",
        ],
    )
    for part in RANGES:
        found = _precisions(part, known, maps)
        usable = np.isfinite(found["chance"]["pl"])
        for title, columns in found.items():
            means = {
                key: mean_of_some(column[usable], resamples=resamples, seed=seed)
                for key, column in columns.items()
            }
            each = {n: float(v) for n, v in zip(known, columns["pl"], strict=True)}
            report.rows.append({"range": part, "model": title, **means, "per_chain": each})
    return report


def _contact_maps(
    chains: dict[str, Chain], models: dict[str, MaskedLM], max_tokens: int, progress: bool
) -> dict[str, Scores]:
    """Predict the contacts of all chains by each model."""
    tokens = sum(
        protein_layout(lm, chain.sequence).tokens
        for chain in chains.values()
        for lm in models.values()
    )
    maps: dict[str, Scores] = {}
    with tqdm(total=tokens, unit="tok", unit_scale=True, disable=not progress) as bar:
        for title, lm in models.items():
            made = {
                name: contact_map(lm, chain.sequence, max_tokens=max_tokens, bar=bar)
                for name, chain in chains.items()
            }
            maps[title] = made.__getitem__
    return maps


def _precisions(
    part: str, known: dict[str, Float32Array], maps: dict[str, Scores]
) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """Measure chance and every map: by title and share of L, a value a chain; NaN without pairs."""
    chance = np.array([density(truth, part) for truth in known.values()])
    values = {"chance": dict.fromkeys(SHARES, chance)}
    for title, scores_of in maps.items():
        values[title] = {
            key: np.array(
                [
                    precision_at(scores_of(name), truth, len(truth) // share, part)
                    for name, truth in known.items()
                ]
            )
            for key, share in SHARES.items()
        }
    return values


def draw_contacts(report: Report, out: str | os.PathLike[str]) -> None:
    """Draw P@L by range and model into a folder."""
    parts: dict[str, dict[str, Any]] = {}
    for row in report.rows:
        if row["pl"] is not None:
            parts.setdefault(row["range"], {})[row["model"]] = row["pl"]
    draw_forest(Path(out) / "contacts.png", parts, "P@L", report.title)
    report.figures["Precision of the L best contacts, by range"] = Path(out) / "contacts.png"

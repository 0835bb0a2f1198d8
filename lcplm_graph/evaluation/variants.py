"""ProteinGym's deep mutational scans of substitutions: Spearman of each assay, and their mean.

Files and columns are those of ProteinGym (Notin et al. 2023): a reference file with `DMS_id`,
`DMS_filename`, `target_seq` (and `MSA_filename`), and one table an assay with `mutant`,
`mutated_sequence`, `DMS_score`, `DMS_score_bin`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr
from tqdm import tqdm

from lcplm_graph.errors import DataError
from lcplm_graph.evaluation.bootstrap import mean_of_some
from lcplm_graph.evaluation.report import Report
from lcplm_graph.files.open import check_is_folder, open_stream
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array
from lcplm_graph.proteins.fasta import read_fasta
from lcplm_graph.tasks.variants import (
    Method,
    Variant,
    parse_variant,
    score_variants,
    tokens_needed,
)
from lcplm_graph.tokens.vocabulary import STANDARD_RESIDUES

PUBLISHED = {"ESM-2 650M": 0.419, "ESM-2 8M": 0.229, "CARP 600K": 0.108}
"""Mean Spearman over all of ProteinGym's substitution assays, as published."""

_REFERENCE = ("DMS_id", "DMS_filename", "target_seq")
_ASSAY = ("mutant", "DMS_score")


class Assay(NamedTuple):
    """A deep mutational scan: the wild type, its variants and what was measured of each."""

    name: str
    sequence: str
    variants: list[Variant]
    measured: npt.NDArray[np.float64]
    alignment: Path | None


def read_assays(
    reference: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    alignments: str | os.PathLike[str] | None = None,
) -> list[Assay]:
    """Read the assays of a reference file whose tables are in a folder.

    Raises
    ------
    DataError
        If a folder or a column is missing, a variant does not fit its wild type, a score is not a
        number, or there is no table of any assay.
    """
    table = _csv(Path(reference), _REFERENCE)
    for place, what in ((folder, "tables of assays"), (alignments, "alignments")):
        if place is not None:
            check_is_folder(place, what)
    assays = []
    for row in table.to_dict("records"):
        path = Path(folder) / str(row["DMS_filename"])
        if path.is_file():
            msa = Path(alignments) / str(row.get("MSA_filename")) if alignments else None
            assays.append(_read_assay(str(row["DMS_id"]), str(row["target_seq"]), path, msa))
    if not assays:
        raise DataError(f"none of the {len(table)} assays of {reference} is here", path=folder)
    return assays


def _read_assay(name: str, sequence: str, path: Path, msa: Path | None) -> Assay:
    table = _csv(path, _ASSAY)
    measured = pd.to_numeric(table["DMS_score"], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(measured).all():
        line = int(np.argmin(np.isfinite(measured))) + 2
        raise DataError("DMS_score is not a number", path=path, line=line)
    variants = []
    for line, text in enumerate(table["mutant"].astype(str), 2):
        try:
            variant = parse_variant(text, sequence)
        except DataError as error:
            raise DataError(str(error), path=path, line=line) from None
        if not variant.substitutes:
            raise DataError(f"{text!r} is not a substitution", path=path, line=line)
        variants.append(variant)
    if msa is not None and not msa.is_file():
        raise DataError("no such alignment", path=msa)
    return Assay(name, sequence, variants, measured, msa)


def _csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        with open_stream(path) as stream:
            table = pd.read_csv(stream, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"not readable as CSV ({error})", path=path) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"the column(s) {', '.join(missing)} are missing; there are "
            f"{', '.join(map(str, table.columns[:8]))}",
            path=path,
            line=1,
        )
    return table


def spearman(scores: Float32Array, measured: npt.NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation; 0 where all scores are equal."""
    if np.ptp(scores) == 0 or np.ptp(measured) == 0:
        return 0.0
    return float(spearmanr(scores, measured).statistic)


def composition_scores(assay: Assay) -> Float32Array:
    """Score substitutions by how frequent both residues are in the wild type itself."""
    counts = np.array([assay.sequence.count(letter) for letter in STANDARD_RESIDUES]) + 1.0
    return _from_table(assay, np.tile(np.log(counts / counts.sum()), (len(assay.sequence), 1)))


def site_independent_scores(assay: Assay, path: Path) -> Float32Array:
    """Score substitutions by the frequencies in the columns of an alignment.

    Parameters
    ----------
    assay : Assay
    path : Path
        A2M or aligned FASTA whose first sequence is (a part of) the wild type; lower case and
        ``.`` are insertions.  One pseudocount for each residue; sequences count once each.
    """
    rows = [str(s) for batch in read_fasta(path) for s in batch.column("sequence").to_pylist()]
    query = rows[0].replace(".", "")
    start = assay.sequence.find(query.replace("-", ""))
    if start < 0:
        raise DataError(f"the first sequence is not part of the target of {assay.name}", path=path)
    if len({len(row) for row in rows}) > 1:
        raise DataError("the sequences have different lengths; give an alignment", path=path)
    columns = [i for i, letter in enumerate(rows[0]) if letter not in "-."]
    letters = np.array([list(row) for row in rows])[:, columns]
    counts = np.stack([(letters == letter).sum(0) for letter in STANDARD_RESIDUES], 1) + 1.0
    table = np.zeros((len(assay.sequence), len(STANDARD_RESIDUES)))
    table[start : start + len(columns)] = np.log(counts / counts.sum(1, keepdims=True))
    return _from_table(assay, table)


def _from_table(assay: Assay, table: np.ndarray) -> Float32Array:
    def effect(position: int, new: str) -> float:
        old = assay.sequence[position]
        if old not in STANDARD_RESIDUES or new not in STANDARD_RESIDUES:
            return 0.0
        row = table[position]
        return float(row[STANDARD_RESIDUES.index(new)] - row[STANDARD_RESIDUES.index(old)])

    totals = [sum(effect(e.start, e.new) for e in v.edits) for v in assay.variants]
    return np.array(totals, np.float32)


def _correlations(
    assays: Sequence[Assay],
    lm: MaskedLM,
    title: str,
    method: Method,
    max_tokens: int,
    progress: bool,
) -> dict[str, dict[str, float]]:
    """Score the assays by a model and by what takes none: Spearman by row and assay."""
    found: dict[str, dict[str, float]] = {title: {}, "composition": {}, "site-independent": {}}
    total = sum(tokens_needed(a.sequence, a.variants, method) for a in assays)
    with tqdm(total=total, unit="tok", unit_scale=True, disable=not progress) as bar:
        for assay in assays:
            scores = score_variants(
                lm, assay.sequence, assay.variants, method, max_tokens=max_tokens, bar=bar
            )
            found[title][assay.name] = spearman(scores, assay.measured)
            found["composition"][assay.name] = spearman(composition_scores(assay), assay.measured)
            if assay.alignment is not None:
                known = site_independent_scores(assay, assay.alignment)
                found["site-independent"][assay.name] = spearman(known, assay.measured)
    return found


def evaluate_variants(
    assays: Sequence[Assay],
    lm: MaskedLM,
    title: str,
    method: Method = "masked",
    *,
    max_tokens: int = 4096,
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """Measure zero-shot scores on assays.

    Returns
    -------
    Report
        A row for each model, with its mean and the values of all assays under ``per_assay``;
        published means of other models stand below, of the whole benchmark.
    """
    found = _correlations(assays, lm, title, method, max_tokens, progress)
    report = Report(
        "Substitution effects (ProteinGym): Spearman with the measured scores",
        {"model": "model", "spearman": "mean Spearman", "assays": "assays"},
        facts={
            "method": method,
            "assays": len(assays),
            "variants": sum(len(assay.variants) for assay in assays),
        },
        notes=[
            "Published means are over ProteinGym's 217 substitution assays; compare them only "
            "with a mean over the same.",
            "Intervals: bootstrap over assays.",
        ],
    )
    for name, each in found.items():
        if each:
            value = mean_of_some(list(each.values()), resamples=resamples, seed=seed)
            report.rows.append(
                {"model": name, "spearman": value, "assays": len(each), "per_assay": each}
            )
    report.rows += [
        {"model": f"{name} (published)", "spearman": value, "assays": 217, "published": True}
        for name, value in PUBLISHED.items()
    ]
    return report

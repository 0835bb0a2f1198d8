"""Which terms proteins are likely to have: train on annotated ones, list the surest, as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.evaluation.function_task import FunctionTask
from lcplm_graph.evaluation.page import MOST_SHOWN, write_page
from lcplm_graph.evaluation.report import Report
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.function_model import FunctionModel
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.proteins.search import shown_method
from lcplm_graph.proteins.store import SequenceStore

COLUMNS = ("protein", "term", "name", "aspect", "probability", "known")


def train_terms(
    task: FunctionTask,
    dataset: GOFunction,
    encoder: Encoder,
    fit: FitOptions,
    homologues: bool = True,
) -> FunctionModel:
    """Train a head on the annotated proteins of a task, but for those that it holds out.

    Parameters
    ----------
    task : FunctionTask
    dataset : GOFunction
        Of the task, with sequences.
    encoder : Encoder
    fit : FitOptions
    homologues : bool
        Let the model look at homologues among the annotated proteins, too.
    """
    data = dataset[0]
    used = data.train_mask | data.val_mask
    rows = used.nonzero()[:, 0]
    found = cached_embeddings(encoder, dataset.sequences.select(rows.numpy()), progress=True)
    features = found.new_zeros(len(used), found.shape[1])
    features[rows] = found
    facts = {
        "data": task.source,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint(),
        "precision": encoder.precision,
        "pool": encoder.pool,
        "seed": task.seed,
        "training proteins": int(data.train_mask.sum()),
        "validation proteins": int(data.val_mask.sum()),
    }
    if homologues:
        facts["search"] = shown_method()
    model = FunctionModel.fit(features, data, fit, facts, dataset.sequences, homologues)
    if homologues:
        model.facts["homologue weight"] = model.homologue_weight
    return model


def surest_terms(
    model: FunctionModel,
    proteins: SequenceStore,
    probability: npt.NDArray[np.floating],
    threshold: float,
    novel: bool = False,
) -> pd.DataFrame:
    """List the likely terms of each protein, a row for each, the surest first.

    Of terms that are equally likely, the general ones come first.

    Parameters
    ----------
    model : FunctionModel
    proteins : SequenceStore
    probability : ndarray, shape=(proteins, terms)
        From `FunctionModel.probability`.
    threshold : float
        Smaller probabilities are left out.
    novel : bool
        Leave out the terms that a protein has in the training data.

    Returns
    -------
    pandas.DataFrame
        With the columns `COLUMNS`; `known` tells whether a protein of the same sequence has the
        term in the training data, and is empty for a model that keeps none.  A protein without a
        likely term has no row.
    """
    ancestors = np.diff(model.ontology.ancestors.indptr)
    known = None if model.homologues is None else model.homologues.annotations(proteins)
    rows: list[tuple[str, str, str, str, float, str]] = []
    for number, (protein, own) in enumerate(zip(proteins.ids, probability, strict=True)):
        has = set() if known is None else set(known[[number]].indices.tolist())
        order = np.lexsort((ancestors, -own))
        left = order[~np.isin(order, list(has))] if novel else order
        for at in left.tolist():
            if own[at] < threshold:
                break
            there = "" if known is None else "yes" if at in has else "no"
            term = model.terms[at], model.names[at], model.aspect
            rows.append((protein, *term, float(own[at]), there))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_protein(tables: Sequence[pd.DataFrame], proteins: Sequence[str]) -> pd.DataFrame:
    """Join tables of `surest_terms` of several aspects, protein by protein, as they were asked."""
    place = {protein: number for number, protein in enumerate(proteins)}
    joined = pd.concat(tables, ignore_index=True)
    order = np.argsort(joined["protein"].map(place).to_numpy(np.int64), kind="stable")
    return joined.iloc[order].reset_index(drop=True)


def special_terms(models: Sequence[FunctionModel], table: pd.DataFrame) -> pd.DataFrame:
    """Leave out each term that follows from a more special one that is at least half as likely.

    Parameters
    ----------
    models : sequence of FunctionModel
        One for each aspect in the table.
    table : pandas.DataFrame
        From `surest_terms` or `by_protein`.
    """
    keep = np.zeros(len(table), bool)
    for model in models:
        own = np.flatnonzero(table["aspect"] == model.aspect)
        keep[own] = _telling(model, table.iloc[own])
    return table[keep].reset_index(drop=True)


def likeliest(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the first `most` rows of each protein and aspect."""
    return table.groupby(["protein", "aspect"], sort=False).head(most).reset_index(drop=True)


def write_terms_page(
    path: str | os.PathLike[str],
    models: Sequence[FunctionModel],
    table: pd.DataFrame,
    asked: int,
    facts: Mapping[str, Any],
) -> Path:
    """Write a table of `special_terms` for `asked` proteins as one HTML file.

    Of many rows the surest are shown, as in the table, protein by protein.
    """
    surest = table.sort_values("probability", ascending=False, kind="stable")[:MOST_SHOWN]
    shown = surest.sort_index()  # protein by protein
    notes = [
        "Terms that follow from a more special one, at least half as likely, are not shown.",
        "Probability: the sigmoid of the trained head, averaged with the share of homologues that "
        "have the term where there are any, and never below that of a more special term. "
        "It says how often such a term is annotated among the training proteins, not how often it "
        "is true: what has not been tested counts as absent.",
    ]
    if (table["known"] == "yes").any():
        notes.append(
            "Known: the training data have the term for a protein of the same sequence, and the "
            "probability counts that."
        )
    if len(shown) < len(table):
        notes.insert(0, f"The {len(shown):,} surest of {len(table):,} rows are shown.")
    rows = [{str(key): value for key, value in row.items()} for row in shown.to_dict("records")]
    heading = {name: name for name in COLUMNS}
    report = Report("Likely functions", heading, rows, {**_facts(models), **facts}, notes)
    answered, there = table["protein"].nunique(), int((table["known"] == "yes").sum())
    headline = f"{answered:,} of {asked:,} proteins have a likely term; {len(table):,} in all"
    headline += f", {there:,} of them known." if there else "."
    return write_page(path, report, headline=headline)


def _facts(models: Sequence[FunctionModel]) -> dict[str, Any]:
    """Return what is so of all models once, and the rest with its aspect."""
    first = models[0].facts
    shared = {k: v for k, v in first.items() if all(m.facts.get(k) == v for m in models)}
    own = {
        f"{key} ({model.aspect})": value
        for model in models
        for key, value in model.facts.items()
        if key not in shared
    }
    return {key: value for key, value in (shared | own).items() if "fingerprint" not in key}


def _telling(model: FunctionModel, table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Mark the rows whose term does not follow from another row of the same protein."""
    above = model.ontology.ancestors
    keep = np.ones(len(table), bool)
    terms = np.array([model.ontology.index[term] for term in table["term"]], np.int64)
    probability = table["probability"].to_numpy()
    for rows in table.reset_index(drop=True).groupby("protein").indices.values():
        place = dict(zip(terms[rows].tolist(), list(rows), strict=True))
        for row in rows:
            own = above.indices[above.indptr[terms[row]] : above.indptr[terms[row] + 1]]
            for general in (place[t] for t in own.tolist() if t in place):
                if general != row and probability[row] >= probability[general] / 2:
                    keep[general] = False
    return keep

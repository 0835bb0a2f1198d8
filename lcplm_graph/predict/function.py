"""``lcplm predict function``: likely terms of the Gene Ontology of any proteins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from lcplm_graph.command import PageOption
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.names import Precision
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import positional, several
from lcplm_graph.options import check_annotations, check_counts, check_threshold
from lcplm_graph.predict.asked import asked_proteins
from lcplm_graph.predict.saved_head import check_encoder, refuse_training_options
from lcplm_graph.predict.trained_once import trained_once

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor
    from torch_geometric.data import Data

    from lcplm_graph.heads.function_model import FunctionModel
    from lcplm_graph.heads.names import KnownProteins
    from lcplm_graph.models.encoders import Encoder
    from lcplm_graph.proteins.store import SequenceStore

_OF_TRAINING = (
    "data", "annotations", "ontology", "sequences", "evidence", "min_proteins", "steps", "seed",
    "homologues",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FunctionOptions(PageOption):
    """Options of ``lcplm predict function``.

    Parameters
    ----------
    proteins
        FASTA files, lists of names (one a line), - for standard input, names (gene names, UniProt
        accessions, STRING ids of --data, where that is human of any human protein; or ids and gene
        names of --sequences), or sequences.
    skip_unknown
        Leave out names that stand for no protein, with a warning that lists them; else they are an
        error.
    out
        FILE.tsv, FILE.csv or FILE.parquet: protein, term, name, aspect, probability, known.
    aspect
        MF (molecular function), BP (biological process), CC (cellular component), or some of them;
        default: MF, or that of the saved head.
    most
        At most so many terms of each protein, of each aspect.
    threshold
        Smaller probabilities are left out.
    special
        Leave out terms that follow from a more special one, at least half as likely.
    novel
        Leave out the terms that the training data have for a protein of the same sequence.
    data
        Dataset with annotations and ontology to train on.
    annotations
        Files instead of --data: GAF, or tables of EntryID and term.
    ontology
        OBO file, with --annotations.
    sequences
        FASTA file of the annotated proteins.
    evidence
        experimental, cafa, all, or codes.
    min_proteins
        A term needs this many training proteins.
    steps
        Training steps of the head.
    seed
        Of training.
    homologues
        Look also at the terms of annotated proteins that a sequence search finds, with a weight
        that validation proteins choose; MMseqs2 searches if it is there.
    encoder
        A name or path, see load_encoder.
    precision
        What the encoder computes with, see lcplm embed.
    head
        Folder of a saved head, instead of training.
    save_head
        Folder to keep the head in.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    proteins: list[str] = positional(metavar="PROTEIN", nargs="+", stdin=True)
    out: str
    aspect: list[Literal["MF", "BP", "CC"]] | None = several(default=None)
    skip_unknown: bool = False
    most: int = 20
    threshold: float = 0.1
    special: bool = False
    novel: bool = False
    data: str = "string_human_core"
    annotations: list[str] | None = several(default=None)
    ontology: str | None = None
    sequences: str | None = None
    evidence: list[str] = several(default=["experimental"])
    min_proteins: int = 10
    steps: int = 300
    seed: int = 0
    homologues: bool = True
    encoder: str = DEFAULT_ENCODER
    precision: Precision = "float32"
    head: str | None = None
    save_head: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "most", "min_proteins", "steps", typed=True)
        check_threshold(self.threshold)
        refuse_training_options(self, _OF_TRAINING)
        check_annotations(self)
        if self.save_head is not None and len(self.aspect or []) > 1:
            raise ConfigError("a saved head has one aspect: give --save-head with one --aspect")


def run(options: FunctionOptions) -> None:
    """Train or read a head, and write the terms of the proteins asked about."""
    from lcplm_graph.evaluation.function_terms import (
        by_protein,
        likeliest,
        special_terms,
        write_terms_page,
    )
    from lcplm_graph.evaluation.models import shown_name
    from lcplm_graph.features.store import cached_embeddings
    from lcplm_graph.finetuning.outputs import SUFFIXES, write_frame
    from lcplm_graph.io import checked_suffix
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.process import chosen_device

    suffix = checked_suffix(options.out, SUFFIXES)
    asked = asked_proteins(options.proteins, lambda: _names(options), options.skip_unknown)
    encoder = load_in_precision(options.encoder, options.precision, chosen_device(options.device))
    print(f"encoder {shown_name(encoder)}", flush=True)
    models = list(_models(options, encoder))
    if options.save_head is not None:
        print(f"head: {models[0].save(options.save_head)}")
    features = cached_embeddings(encoder, asked, progress=True)
    every = by_protein([_terms(model, features, asked, options) for model in models], asked.ids)
    table = likeliest(special_terms(models, every) if options.special else every, options.most)
    write_frame(options.out, table, suffix)
    silent = len(asked) - table["protein"].nunique()
    if silent:
        kind = "new term" if options.novel else "term"
        print(f"{silent:,} proteins have no {kind} of probability {options.threshold:g} or more")
    print(f"{len(table):,} terms of {len(asked):,} proteins; written: {options.out}")
    there = int((table["known"] == "yes").sum())
    if there:
        print(f"{there:,} of them are known from the training data; --novel leaves those out")
    if options.report is not None:
        facts = {"asked": f"{len(asked):,} proteins", "table": options.out}
        shown = table if options.special else likeliest(special_terms(models, every), options.most)
        page = write_terms_page(options.report, models, shown, len(asked), facts)
        print(f"report: {page}")


def _terms(
    model: FunctionModel, features: Tensor, asked: SequenceStore, options: FunctionOptions
) -> pd.DataFrame:
    from lcplm_graph.evaluation.function_terms import surest_terms
    from lcplm_graph.models.unlike import warn_of_unlike

    warn_of_unlike(model.distance(features), asked.ids)
    probability = model.probability(features, asked, progress=True)
    return surest_terms(model, asked, probability, options.threshold, options.novel)


def _names(options: FunctionOptions) -> KnownProteins:
    from lcplm_graph.heads.names import KnownProteins
    from lcplm_graph.proteins.store import SequenceStore

    if options.sequences is not None:
        return KnownProteins.of(SequenceStore.from_fasta(options.sequences))
    return KnownProteins.embedded(options.data)


def _models(options: FunctionOptions, encoder: Encoder) -> Iterator[FunctionModel]:
    """Yield the head of each aspect: the one that was saved, or one that is trained once."""
    from lcplm_graph.evaluation.function import FUNCTION_FIT
    from lcplm_graph.evaluation.function_task import FunctionTask
    from lcplm_graph.evaluation.function_terms import train_terms
    from lcplm_graph.heads.function_model import FunctionModel

    if options.head is not None:
        model = FunctionModel.load(options.head)
        check_encoder(model, encoder, options.head)
        if options.aspect not in (None, [model.aspect]):
            asked = " ".join(options.aspect)
            raise ConfigError(f"{options.head} is of {model.aspect}, not of {asked}")
        yield model
        return
    task = FunctionTask(
        data=options.data,
        annotations=options.annotations,
        ontology=options.ontology,
        sequences=options.sequences,
        evidence=options.evidence,
        min_proteins=options.min_proteins,
        test=0.0,
        seed=options.seed,
    )
    fit = FUNCTION_FIT.shown(options.steps, options.seed)
    for aspect in dict.fromkeys(options.aspect or ["MF"]):
        dataset = task.dataset(aspect)
        if not len(dataset.sequences):
            raise ConfigError(
                f"{task.source} brings no sequences to train on; give --sequences FASTA"
            )
        yield trained_once(
            FunctionModel, dataset.sequences, fit, _deciding(options, dataset[0], encoder),
            partial(train_terms, task, dataset, encoder, fit, options.homologues),
        )  # fmt: skip


def _deciding(options: FunctionOptions, data: Data, encoder: Encoder) -> dict[str, Any]:
    """Return what decides about a head beside its training: labels, parts, features, search."""
    from lcplm_graph.proteins.search import shown_method

    labels = hashlib.sha256(data.y.numpy().tobytes())
    for mask in (data.train_mask, data.val_mask):
        labels.update(mask.numpy().tobytes())
    return {
        "data": options.annotations or options.data,
        "labels": labels.hexdigest(),
        "terms": [list(data.go_terms), list(data.go_names), list(data.go_aspect)],
        "parents": data.go_parents.tolist(),
        "seed": options.seed,
        "encoder": [encoder.name, encoder.fingerprint(), encoder.precision, encoder.pool],
        "search": shown_method() if options.homologues else None,
    }

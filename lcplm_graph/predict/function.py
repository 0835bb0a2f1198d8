"""``lcplm predict function``: likely terms of the Gene Ontology of any proteins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lcplm_graph.command import PageOption, positional, several
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.names import Precision
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.predict.saved_head import check_encoder, refuse_training_options

if TYPE_CHECKING:
    from lcplm_graph.heads.function_model import FunctionModel
    from lcplm_graph.models.encoders import Encoder

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
        FASTA files of the proteins to ask about.
    out
        FILE.tsv, FILE.csv or FILE.parquet: protein, term, name, aspect, probability.
    aspect
        MF, BP or CC; default: MF, or that of the saved head.
    most
        Terms of each protein.
    threshold
        Smaller probabilities are left out.
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

    proteins: list[str] = positional(metavar="FASTA", nargs="+")
    out: str
    aspect: Literal["MF", "BP", "CC"] | None = None
    most: int = 20
    threshold: float = 0.1
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
        if self.most < 1:
            raise ConfigError(f"--most {self.most}: give at least 1 term a protein")
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"--threshold {self.threshold}: a probability is from 0 to 1")
        refuse_training_options(self, _OF_TRAINING)


def run(options: FunctionOptions) -> None:
    """Train or read a head, and write the terms of the proteins asked about."""
    from lcplm_graph.evaluation.function_terms import surest_terms, write_terms_page
    from lcplm_graph.evaluation.models import shown_name
    from lcplm_graph.features.store import cached_embeddings
    from lcplm_graph.finetuning.outputs import SUFFIXES, write_frame
    from lcplm_graph.io import checked_suffix
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.models.unlike import warn_of_unlike
    from lcplm_graph.process import chosen_device
    from lcplm_graph.proteins.store import read_fasta_files

    suffix = checked_suffix(options.out, SUFFIXES)
    asked = read_fasta_files(options.proteins)
    encoder = load_in_precision(options.encoder, options.precision, chosen_device(options.device))
    print(f"encoder {shown_name(encoder)}", flush=True)
    model = _function_model(options, encoder)
    if options.save_head is not None:
        print(f"head: {model.save(options.save_head)}")
    features = cached_embeddings(encoder, asked, progress=True)
    warn_of_unlike(model.distance(features), asked.ids)
    probability = model.probability(features, asked, progress=True)
    table = surest_terms(model, asked.ids, probability, options.most, options.threshold)
    write_frame(options.out, table, suffix)
    silent = len(asked) - table["protein"].nunique()
    if silent:
        print(f"{silent:,} proteins have no term of probability {options.threshold:g} or more")
    print(f"{len(table):,} terms of {len(asked):,} proteins; written: {options.out}")
    if options.report is not None:
        facts = {"asked": f"{len(asked):,} proteins", "table": options.out}
        page = write_terms_page(options.report, model, table, len(asked), facts)
        print(f"report: {page}")


def _function_model(options: FunctionOptions, encoder: Encoder) -> FunctionModel:
    from lcplm_graph.evaluation.function import FUNCTION_FIT
    from lcplm_graph.evaluation.function_task import FunctionTask
    from lcplm_graph.evaluation.function_terms import train_terms
    from lcplm_graph.heads.function_model import FunctionModel

    if options.head is None:
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
        aspect = options.aspect or "MF"
        return train_terms(task, aspect, encoder, fit, options.homologues)
    model = FunctionModel.load(options.head)
    check_encoder(model, encoder, options.head)
    if options.aspect not in (None, model.aspect):
        raise ConfigError(f"{options.head} is of {model.aspect}, not of {options.aspect}")
    return model

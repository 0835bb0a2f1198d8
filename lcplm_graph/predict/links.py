"""``lcplm predict partners | edges``: pairs of proteins by a link model of a whole graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcplm_graph.command import PageOption
from lcplm_graph.models.names import Precision
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import positional
from lcplm_graph.options import check_counts, check_threshold
from lcplm_graph.predict.asked import asked_proteins, nodes_of
from lcplm_graph.predict.saved_head import check_encoder, refuse_training_options
from lcplm_graph.predict.trained_once import trained_once

if TYPE_CHECKING:
    from scipy import sparse
    from torch import Tensor

    from lcplm_graph.datasets.base import PPIDataset
    from lcplm_graph.files.networks import Network
    from lcplm_graph.heads.link_model import LinkModel
    from lcplm_graph.models.encoders import Encoder
    from lcplm_graph.proteins.store import SequenceStore
    from lcplm_graph.splits.split import Split

# The seed also splits the graph, with a saved model, too.
_OF_TRAINING = ("conv", "steps", "members", "homologues")


@dataclass(frozen=True, kw_only=True)
class EdgesOptions(PageOption):
    """Options of ``lcplm predict edges``; ``partners`` takes them too.

    Parameters
    ----------
    out
        FILE.tsv, FILE.graphml, or FILE.cx2 for Cytoscape.
    graph
        string_human_core, string_human, string:TAXON and so on; or pairs:FILE, a table of two ids,
        or a file of STRING, BioGRID or IntAct, with the sequences in a FASTA file of that name
        beside it.
    min_score
        Edges of a smaller score are left out, in thousandths, as STRING has them: 700 for .7.
    encoder
        A name or path, see load_encoder.
    precision
        What the encoder computes with, see lcplm embed.
    top
        At most so many rows: partners of each protein, or edges in all.
    threshold
        Smaller probabilities are left out.
    conv
        Convolution of the model, or none; default: GraphSAGE, and what lies between two proteins.
    steps
        Training steps; default: 200.
    members
        Heads of different seeds whose mean is the answer; at least one of each kind.
    seed
        Of training.
    homologues
        Look also at known interactions of relatives, with weights that validation pairs choose.
    head
        Folder of a saved model, instead of training; it looks at relatives if it did in training.
    save_head
        Folder to keep the model in.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    out: str
    graph: str = "string_human_core"
    min_score: float | None = None
    encoder: str = DEFAULT_ENCODER
    precision: Precision = "float32"
    top: int = 1000
    threshold: float = 0.0
    conv: str | None = None
    steps: int | None = None
    members: int = 4
    seed: int = 0
    homologues: bool = True
    head: str | None = None
    save_head: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_training_options(self, _OF_TRAINING)
        check_counts(self, "top", "steps", "members", typed=True)
        check_threshold(self.threshold)


@dataclass(frozen=True, kw_only=True)
class PartnersOptions(EdgesOptions):
    """Options of ``lcplm predict partners``.

    Parameters
    ----------
    proteins
        FASTA files, lists of names (one a line), - for standard input, names (gene names, UniProt
        accessions, STRING ids) of proteins of the graph, or of any human protein where the graph is
        a human one of STRING, or sequences; proteins of the graph are recognised by their
        sequences.
    skip_unknown
        Leave out names that stand for no protein, with a warning that lists them; else they are an
        error.
    itself
        Rank a protein among its own partners, too; the column known then says self.
    novel
        Leave out partners that the graph already has.
    """

    proteins: list[str] = positional(metavar="PROTEIN", nargs="+", stdin=True)
    top: int = 20
    skip_unknown: bool = False
    itself: bool = False
    novel: bool = False


@dataclass(frozen=True)
class _Trained:
    dataset: PPIDataset
    split: Split
    encoder: Encoder
    features: dict[str, Tensor]
    model: LinkModel
    relatives: sparse.csr_array | None


def partners(options: PartnersOptions) -> None:
    """Rank all proteins of the graph as partners of those asked about, and write them."""
    from lcplm_graph.datasets.load import load_graph
    from lcplm_graph.files.networks import Network, check_suffix
    from lcplm_graph.heads.inference import partners_of
    from lcplm_graph.heads.names import KnownProteins
    from lcplm_graph.heads.recipe import link_features
    from lcplm_graph.pairs import adjacency

    check_suffix(options.out)
    dataset = load_graph(options.graph, options.min_score)
    store = asked_proteins(
        options.proteins,
        lambda: KnownProteins(
            dataset.sequences, dataset.names, options.graph, organism=dataset.organism
        ),
        options.skip_unknown,
    )
    given = _trained(options, dataset)
    features = link_features(given.encoder, store, progress=True)
    _warn_of_unlike(given.model, features, store.ids)
    indptr, indices = adjacency(given.split.known, given.split.num_nodes)
    nodes = nodes_of(dataset, store)
    names, symbols = _names(given.dataset)
    rows = []
    found = partners_of(
        given.model, given.features, given.split, features, nodes, options.top,
        itself=options.itself, novel=options.novel, relatives=_relatives_with(given, store),
        progress=True,
    )  # fmt: skip
    for name, own, best in zip(store.ids, nodes.tolist(), found, strict=True):
        known = set() if own < 0 else set(indices[indptr[own] : indptr[own + 1]].tolist())
        sure = zip(best.pairs[:, 1].tolist(), best.probability, best.spread, strict=True)
        for rank, (node, probability, spread) in enumerate(sure, 1):
            if probability < options.threshold:
                break  # the others are less likely
            known_edge = "self" if node == own else "yes" if node in known else "no"
            numbers = float(probability), float(spread)
            rows.append((name, rank, names[node], symbols[node], *numbers, known_edge))
    columns = ("query", "rank", "partner", "symbol", "probability", "uncertainty", "known")
    network = Network(columns, rows, ("query", "partner"), _attributes(names, symbols))
    _write(options, network, given, "Likely partners", f"{len(store):,} proteins asked about")
    there = sum(row[-1] == "yes" for row in rows)
    if there:
        print(f"{there:,} of them are edges of the graph; --novel leaves those out")


def edges(options: EdgesOptions) -> None:
    """Write the likely edges that the graph lacks."""
    from lcplm_graph.datasets.load import load_graph
    from lcplm_graph.files.networks import Network, check_suffix
    from lcplm_graph.heads.inference import new_edges

    check_suffix(options.out)
    given = _trained(options, load_graph(options.graph, options.min_score))
    _warn_of_unlike(given.model, given.features, given.dataset.sequences.ids)
    scores = given.model.on(given.features, given.split, given.relatives)
    found = new_edges(scores, options.top, progress=True)
    names, symbols = _names(given.dataset)
    each = zip(found.pairs.tolist(), found.probability, found.spread, strict=True)
    rows = [
        (rank, names[i], names[j], symbols[i], symbols[j], float(probability), float(spread))
        for rank, ((i, j), probability, spread) in enumerate(each, 1)
        if probability >= options.threshold
    ]
    columns = (
        "rank", "protein1", "protein2", "symbol1", "symbol2", "probability", "uncertainty",
    )  # fmt: skip
    network = Network(columns, rows, ("protein1", "protein2"), _attributes(names, symbols))
    _write(options, network, given, "Likely new edges", "pairs that the graph lacks")


def _write(options: EdgesOptions, network: Network, given: _Trained, title: str, what: str) -> None:
    from lcplm_graph.files.networks import write_network

    print(f"{len(network.rows):,} rows; written: {write_network(options.out, network)}")
    if options.report is not None:
        from lcplm_graph.evaluation.network_page import write_network_page
        from lcplm_graph.provenance import file_checksums

        facts = {
            "asked": what,
            "graph": _graph_of(options),
            "encoder": given.encoder.name,
            "table": options.out,
            "training pairs": len(given.split.train),
        }
        sums = file_checksums(given.dataset.raw_paths)
        facts |= {f"sha256 of {name}": digest for name, digest in sums.items()}
        print(f"report: {write_network_page(options.report, network, title, facts)}")


def _relatives_with(given: _Trained, asked: SequenceStore) -> sparse.csr_array | None:
    """Return relatives of the graph's proteins, and below them of those asked about."""
    if given.relatives is None:
        return None
    from scipy import sparse

    from lcplm_graph.features.relatives import relatives

    new = relatives(asked, given.dataset.sequences, progress=True)
    return sparse.csr_array(sparse.vstack([given.relatives, new]))


def _trained(options: EdgesOptions, dataset: PPIDataset) -> _Trained:
    from lcplm_graph.evaluation.models import shown_name
    from lcplm_graph.features.relatives import relatives
    from lcplm_graph.heads.link_model import LinkModel
    from lcplm_graph.heads.recipe import link_features
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.process import chosen_device
    from lcplm_graph.splits.make import make_split

    encoder = load_in_precision(options.encoder, options.precision, chosen_device(options.device))
    print(f"{_graph_of(options)}, encoder {shown_name(encoder)}", flush=True)
    split = make_split(dataset, "C1", seed=options.seed, valid=0.1, test=0.0)
    features = link_features(encoder, dataset.sequences, progress=True)
    saved = None
    if options.head is not None:
        saved = LinkModel.load(options.head)
        check_encoder(saved, encoder, options.head)
    looks = options.homologues if saved is None else any(saved.interolog_weight)
    near = relatives(dataset.sequences, progress=True) if looks else None
    model = saved or _fitted(options, dataset, split, encoder, features, near)
    if options.save_head is not None:
        print(f"model: {model.save(options.save_head)}")
    return _Trained(dataset, split, encoder, features, model, near)


def _fitted(
    options: EdgesOptions,
    dataset: PPIDataset,
    split: Split,
    encoder: Encoder,
    features: dict[str, Tensor],
    near: sparse.csr_array | None,
) -> LinkModel:
    """Train a model, or take the one that an earlier command trained in the same way."""
    from lcplm_graph.heads.fit_link import LINK_FIT
    from lcplm_graph.heads.link_model import LinkModel

    fit = LINK_FIT.shown(options.steps, options.seed)
    facts: dict[str, Any] = {
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint(),
        "precision": encoder.precision,
        "graph": _graph_of(options),
        "split": split.fingerprint,
        "seed": options.seed,
    }
    made: dict[str, Any] = {"members": options.members, "conv": options.conv}
    decides = {
        **facts,
        **made,
        "pool": encoder.pool,
        "homologues": options.homologues,
        "weights": split.weights_sha256,
    }
    return trained_once(
        LinkModel, dataset.sequences, fit, decides,
        lambda: LinkModel.fit(features, split, options=fit, facts=facts, relatives=near, **made),
    )  # fmt: skip


def _graph_of(options: EdgesOptions) -> str:
    least = "" if options.min_score is None else f", scores of {options.min_score:g} or more"
    return f"{options.graph}{least}"


def _warn_of_unlike(model: LinkModel, features: dict[str, Tensor], names: Sequence[str]) -> None:
    from lcplm_graph.heads.ppi_scorer import distance
    from lcplm_graph.models.unlike import warn_of_unlike

    warn_of_unlike(distance(model, features), names)


def _names(dataset: Any) -> tuple[list[str], list[str]]:
    data = dataset[0]
    return data.protein_id, getattr(data, "symbol", None) or data.protein_id


def _attributes(names: list[str], symbols: list[str]) -> dict[str, dict[str, str]]:
    return {name: {"symbol": symbol} for name, symbol in zip(names, symbols, strict=True)}

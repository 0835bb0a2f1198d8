"""`GOFunction`: proteins with their Gene Ontology terms as a multi-label dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import cached_property
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse
from torch_geometric.data import Data

from lcplm_graph.datasets.base import ProteinDataset
from lcplm_graph.datasets.cache import Built, Hooks, PathLike, as_paths, cache_of_files
from lcplm_graph.datasets.node_strings import GraphStrings
from lcplm_graph.errors import ConfigError, DataError, UnknownNameError
from lcplm_graph.files.catalog import load_card
from lcplm_graph.files.download import fetch_card_file
from lcplm_graph.go import labels as go_labels
from lcplm_graph.go.annotations import Annotations, evidence_codes
from lcplm_graph.go.ontology import Ontology, aspect_code
from lcplm_graph.options import check_count
from lcplm_graph.proteins.graphs import graph_and_sequences
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.parts import PARTS, Part, Parts, random_parts

Paths = PathLike | list[PathLike]

# Raised when the same files make another graph than before.
_FORMAT = 2


class GOFunction(ProteinDataset):
    """Gene Ontology terms of proteins, propagated by the true-path rule.

    Parameters
    ----------
    name : str, optional
        Dataset with the roles `annotations` and `ontology`, such as ``string_human_core`` or
        ``goa_human``. A PPI dataset brings its proteins, sequences and edges too. Not needed
        when `annotations` and `ontology` are given.
    aspect : str or collection of str
        ``MF``, ``BP``, ``CC``.
    annotations, ontology, sequences : path-like or list, optional
        Files instead of those of `name`: GAF or tables, OBO, FASTA.
    later_annotations : path-like or list, optional
        Annotations of a later date: proteins that had none before become the test set.
    temporal : (int, int), optional
        The same from one file with dates: known until the first (yyyymmdd), gained until the
        second.
    graph : PPI dataset, optional
        Its proteins, in its order, are the nodes. When no annotation names one of them and the
        graph is of STRING, the names are looked up among its aliases: so do UniProt accessions
        of ``goa_human`` join ``StringPPI("string_human")``.
    evidence : str or collection of str
        ``experimental`` (default: experimental and high-throughput codes without IPI),
        ``cafa`` (with TAS and IC), ``all``, or codes.
    exclude : str or collection of str
        Terms that do not count; by default "protein binding", which PPI evidence supports.
    min_proteins : int
        A term needs that many training proteins to become a label.
    valid, test : float
        Fractions of the annotated proteins; equal sequences stay in one part. With a time split
        only `valid` is used.
    split : {"random", "cluster"}
        ``cluster``: no protein has a homologue (30 % identity over half of it) in an earlier
        part; the fractions are then of all proteins, so that every aspect has the same parts.
    seed : int
        Of the random parts.
    root, transform, pre_transform, pre_filter, force_reload
        As in `ProteinDataset`.

    Attributes
    ----------
    report : dict of str to int
        Annotations and terms read, kept, and dropped by reason.

    Raises
    ------
    ConfigError
        If the options do not fit together, or a list of files is empty.
    DataError
        If a file is faulty, or no label is left.

    Notes
    -----
    ``dataset[0]`` holds `y` (bool, shape (n, terms); dense, one byte per label, so that PyG can
    slice it by node: use ``y.float()`` on a batch), `go_terms`, `go_names`, `go_aspect`,
    `go_parents` (int64, (2, m), child and parent column), `protein_id`, `train_mask`,
    `val_mask`, `test_mask`; with a graph `edge_index` and `edge_weight`. Labels leave out the
    roots. Proteins without a label are in no mask.

    A time split adds CAFA's classes `no_knowledge_mask`, `limited_knowledge_mask` (these two are
    the test set, with their later terms as `y`) and `partial_knowledge_mask` (in training with
    their earlier terms), and the gains `y_gain` (bool, (k, terms)) of the proteins `gain_index`.

    References
    ----------
    .. [1] Zhou et al., Genome Biology 20, 244 (2019), for CAFA.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        aspect: str | Collection[str] = "MF",
        annotations: Paths | None = None,
        ontology: PathLike | None = None,
        sequences: PathLike | None = None,
        later_annotations: Paths | None = None,
        temporal: tuple[int, int] | None = None,
        graph: Any = None,
        evidence: str | Collection[str] = "experimental",
        exclude: str | Collection[str] = ("GO:0005515",),
        min_proteins: int = 10,
        valid: float = 0.1,
        test: float = 0.2,
        split: str = "random",
        seed: int = 0,
        root: PathLike | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        if name is not None:
            annotations, ontology, graph = _from_card(
                name, annotations, ontology, graph, own_proteins=sequences is not None
            )
        if annotations is None or ontology is None:
            raise ConfigError("give the name of a dataset, or both `annotations` and `ontology`")
        _check_options(temporal, later_annotations, split, valid, test, min_proteins)
        names = [aspect] if isinstance(aspect, str) else list(aspect)
        self.aspects = sorted({aspect_code(part) for part in names})
        codes = evidence_codes(evidence)
        self.evidence: list[str] | None = None if codes is None else sorted(codes)
        terms = [exclude] if isinstance(exclude, str) else exclude
        self.exclude, self.min_proteins = sorted(terms), min_proteins
        self.temporal, self.valid, self.test = temporal, valid, test
        self.seed = checked_seed(seed)
        self.split_kind = split
        self._translate = getattr(graph, "translate", None)
        # Its nodes, their sequences and edges, all as its transform makes them.
        self._graph = None if graph is None else graph_and_sequences(graph, edges=True)
        self.inputs = {
            "annotations": as_paths(annotations),
            "later": as_paths(later_annotations),
            "ontology": as_paths(ontology),
            "sequences": as_paths(sequences),
        }
        cache = cache_of_files("GOFunction", self.inputs, self._options(), root, hooks)
        super().__init__(cache, **hooks)

    def _options(self) -> dict[str, Any]:
        """Return all that decides about what is built, beside the files."""
        return {
            "format": _FORMAT,
            "options": [self.aspects, self.evidence, self.exclude, self.min_proteins],
            "parts": [self.temporal, self.valid, self.test, self.seed, self.split_kind],
            "graph": None if self._graph is None else _fingerprint(self._graph[0]),
        }

    @cached_property
    def ontology(self) -> Ontology:
        """The ontology behind the labels."""
        return Ontology.from_obo(self.inputs["ontology"][0])

    @property
    def num_classes(self) -> int:
        """Number of terms."""
        return len(self[0].go_terms)

    def build(self) -> Built:
        """Make labels, masks and, with a graph, edges; the sequences; and counts."""
        candidates = self._candidates()
        first = self._read("annotations", candidates)
        earlier, later = self._two_dates(first, candidates)
        tables = [part.table for part in (earlier, later) if part is not None]
        annotated = pd.concat([table["protein"] for table in tables])
        proteins, store = self._proteins(annotated, candidates)
        before, report = go_labels.label_matrix(earlier, self.ontology, proteins, self.exclude)
        digests = store.digests() if len(store) else np.arange(len(proteins))
        in_aspect = self.ontology.in_aspect(*self.aspects)
        own = go_labels.keep_columns(before, in_aspect)
        annotated = go_labels.has_any(own)
        extra: dict[str, Any] = {}
        if later is None:
            part, counts = self._parts(annotated, digests, store)
            labels, gained, report = own, None, report | counts
        else:
            after, _ = go_labels.label_matrix(later, self.ontology, proteins, self.exclude)
            gained = go_labels.gain(before, after, in_aspect)
            new = gained.none | gained.limited
            part = random_parts(annotated, digests, self.valid, 0, self.seed)
            part[new] = Part.TEST
            labels = _with_rows(own, gained.gained, new)
            extra = {
                f"{kind}_knowledge_mask": torch.from_numpy(mask)
                for kind, mask in zip(("no", "limited", "partial"), gained[1:], strict=True)
            }
        columns = self._columns(labels, part == Part.TRAIN)
        data = self._data(labels, part, columns, proteins)
        for key, value in extra.items():
            data[key] = value
        if gained is not None:
            rows = np.flatnonzero(go_labels.has_any(gained.gained))
            data.gain_index = torch.from_numpy(rows)
            data.y_gain = torch.from_numpy(gained.gained[rows][:, columns].toarray())
        report |= {"proteins": len(proteins), "terms": len(columns)}
        return Built(data, store, report)

    def _parts(
        self, annotated: npt.NDArray[np.bool_], digests: Any, store: SequenceStore
    ) -> tuple[Parts, dict[str, int]]:
        if self.split_kind == "random":
            return random_parts(annotated, digests, self.valid, self.test, self.seed), {}
        if not len(store):
            raise ConfigError("split='cluster' compares sequences: give `sequences`")
        # Imported here, because it compiles kernels that no other split needs.
        from lcplm_graph.splits.clusters import cluster_parts

        rng = np.random.default_rng(self.seed)
        part, info = cluster_parts(store, rng, self.valid, self.test)
        removed = {"proteins_taken_out_at_border": info["proteins_taken_out_at_border"]}
        part[~annotated] = Part.NOWHERE
        return part, removed

    def _candidates(self) -> SequenceStore | None:
        """Return the proteins that are there to be annotated, if that is known beforehand."""
        if self._graph is not None:
            return self._graph[1]
        fasta = self.inputs["sequences"]
        return SequenceStore.from_fasta(fasta[0]) if fasta else None

    def _read(self, role: str, candidates: SequenceStore | None) -> Annotations:
        annotations = go_labels.read_all(self.inputs[role])
        if candidates is None:
            return annotations
        named = annotations.table["protein"].unique()
        rows = candidates.match(named, f"{self.inputs[role][0]} and sequences")
        if (rows < 0).all() and self._translate is not None:
            return go_labels.renamed(annotations, self._translate(named))
        ids = candidates.ids
        pairs = zip(named.tolist(), rows.tolist(), strict=True)
        spelt = {name: ids[row] if row >= 0 else name for name, row in pairs}
        own = [spelt[name] for name in annotations.table["protein"]]
        return Annotations(annotations.table.assign(protein=own), annotations.counts)

    def _two_dates(
        self, first: Annotations, candidates: SequenceStore | None
    ) -> tuple[Annotations, Annotations | None]:
        codes: str | list[str] = "all" if self.evidence is None else self.evidence
        if self.temporal is not None:
            known, gained = self.temporal
            return first.select(codes, until=known), first.select(codes, until=gained)
        if self.inputs["later"]:
            second = self._read("later", candidates)
            return first.select(codes), second.select(codes)
        return first.select(codes), None

    def _proteins(
        self, annotated: pd.Series, candidates: SequenceStore | None
    ) -> tuple[pd.Index, SequenceStore]:
        """Nodes: those of the graph, else those with a sequence, else those with an annotation."""
        if candidates is None:
            return pd.Index(sorted(annotated.unique())), SequenceStore.from_records([], [])
        if self._graph is None:
            rows = candidates.index_of(annotated.unique())
            candidates = candidates.select(np.sort(rows[rows >= 0]))
        return pd.Index(candidates.ids), candidates

    def _columns(
        self, labels: sparse.csr_array, train: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        support = np.bincount(labels[train].indices, minlength=labels.shape[1])
        columns = np.flatnonzero(support >= max(self.min_proteins, 1))
        if not len(columns):
            raise DataError(
                f"no term of {', '.join(self.aspects)} has {self.min_proteins} training proteins; "
                "check that proteins and annotations use the same ids, or lower min_proteins",
                path=self.inputs["annotations"][0],
            )
        return columns

    def _data(
        self,
        labels: sparse.csr_array,
        part: Parts,
        columns: npt.NDArray[np.int64],
        proteins: pd.Index,
    ) -> Data:
        ontology = self.ontology
        y = torch.from_numpy(labels[:, columns].toarray())
        data = Data(y=y, num_nodes=len(proteins), protein_id=proteins.tolist())
        data.go_terms = GraphStrings(ontology.terms[i] for i in columns)
        data.go_names = GraphStrings(ontology.names[i] for i in columns)
        data.go_aspect = GraphStrings(ontology.aspects[columns].tolist())
        data.go_parents = torch.from_numpy(go_labels.parents_among(ontology, columns).copy())
        labelled = y.any(dim=1)
        for one in PARTS:
            data[one.mask] = torch.from_numpy(part == one) & labelled
        if self._graph is not None:
            graph = self._graph[0]
            data.edge_index, data.edge_weight = graph.edge_index, graph.edge_weight
            if getattr(graph, "symbol", None) is not None:
                data.symbol = list(graph.symbol)
        return data


def _from_card(
    name: str, annotations: Any, ontology: Any, graph: Any, own_proteins: bool
) -> tuple[Any, Any, Any]:
    card = load_card(name)
    if annotations is None:
        annotations = fetch_card_file(card, "annotations")
    if ontology is None:
        ontology = fetch_card_file(card, "ontology")
    if graph is None and card.kind == "ppi" and not own_proteins:
        from lcplm_graph.datasets.string import StringPPI

        graph = StringPPI(name)
    return annotations, ontology, graph


def _check_options(
    temporal: tuple[int, int] | None,
    later: Any,
    split: str,
    valid: float,
    test: float,
    min_proteins: int,
) -> None:
    if split not in ("random", "cluster"):
        raise UnknownNameError(f"no split {split!r} of proteins; known: random, cluster")
    if split == "cluster" and (temporal is not None or later is not None):
        raise ConfigError("a time split has its own test set; leave out split='cluster'")
    if temporal is not None and later is not None:
        raise ConfigError("`temporal` and `later_annotations` both make a time split; give one")
    if temporal is not None and not 19000101 <= temporal[0] < temporal[1] <= 29991231:
        raise ConfigError(f"`temporal` is two rising dates yyyymmdd, not {temporal}")
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise ConfigError(f"valid={valid} and test={test} leave nothing to train on")
    check_count(min_proteins, "min_proteins")


def _fingerprint(data: Data) -> str:
    content = hashlib.sha256("\n".join(data.protein_id).encode())
    content.update(data.edge_index.contiguous().numpy().tobytes())
    content.update(data.edge_weight.contiguous().numpy().tobytes())
    return content.hexdigest()


def _with_rows(
    matrix: sparse.csr_array, other: sparse.csr_array, rows: npt.NDArray[np.bool_]
) -> sparse.csr_array:
    """Take the marked rows, empty in `matrix`, from `other`."""
    keep = sparse.diags_array(rows.astype(np.int8), dtype=np.int8).tocsr()
    return sparse.csr_array(matrix.astype(np.int8) + keep @ other.astype(np.int8)).astype(bool)

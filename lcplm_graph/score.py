"""Do two proteins interact?  A calibrated probability, from a model that ships with the package.

A and B are names of human proteins (gene names and their aliases, UniProt accessions, STRING ids),
FASTA files, lists of names (one a line), or sequences; human_proteome stands for all human
proteins.  Probabilities hold where one pair that does not interact comes with each that does;
nearest_training_identity is that of the most similar training pair, 0 if none has 30 %.  --details
names that pair, and tells which pairs have a protein unlike anything seen in training, from 0 to 1
how much training pairs between relatives of the two proteins, also remote ones, speak for an
interaction, and which pairs the network that ships has.
"""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcplm_graph.command import PageOption, run_command
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.names import Precision
from lcplm_graph.option_parser import input_file, positional, several
from lcplm_graph.options import check_counts, check_threshold

if TYPE_CHECKING:
    from lcplm_graph.evaluation.network_page import SeenRows
    from lcplm_graph.heads.ppi_scorer import PPIScorer
    from lcplm_graph.heads.questions import Question
    from lcplm_graph.heads.scored_pairs import ScoredPairs
    from lcplm_graph.proteins.store import SequenceStore

COLUMNS = ("protein1", "protein2", "probability", "uncertainty", "nearest_training_identity")
DETAILS = (
    "nearest_training_protein1", "nearest_training_protein2", "unlike_training",
    "interolog_evidence", "known",
)  # fmt: skip
# Every answer that is printed is read by someone.
_PRINTED = 1000
# For this many of them the nearest training pair is named.
_NAMED = 10
# So many are answered at a time.
_BLOCK = 1 << 15


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(PageOption):
    """Options of ``lcplm score``.

    Parameters
    ----------
    proteins
        Two proteins: names, sequences, or files, FASTA or lists of names: each protein of one with
        each of the other; of the same file twice each pair once, none of a protein with itself.
        human_proteome, which ships, stands for a file of all human proteins.
    pairs
        Table of pairs instead, with tabs, commas, semicolons or blanks between: the first two
        columns, or those that a header calls protein1 and protein2, query and partner, or alike; -
        for standard input.
    label
        Column of the table with 0 (does not interact) and 1 (does), by an assay for example: how
        well the probabilities agree with it is printed.
    sequences
        FASTA files with the proteins that the table or a list names, by their ids or by the gene
        names in UniProt's headers; a name that they lack is that of a human protein, which a
        warning says.
    out
        FILE.tsv, FILE.graphml or FILE.cx2; printed by default.
    top
        At most so many pairs, the most likely first; default: all, in the order of the question.
    threshold
        Smaller probabilities are left out.
    skip_unknown
        Leave out names that stand for no protein, with a warning that lists them; else they are an
        error.
    details
        Add the nearest training pair, whether a protein is unlike anything seen in training, the
        evidence of training pairs between relatives, and whether the network that ships has it.
    precision
        What the encoder computes with, see lcplm embed.
    scorer
        Folder of a scorer; default: the one that ships.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    proteins: list[str] = positional(metavar="A B", nargs="*", default=[], stdin=True)
    pairs: str | None = input_file(default=None)
    label: str | None = None
    sequences: list[str] = several(default=[], metavar="FASTA", stdin=True)
    out: str | None = None
    top: int | None = None
    threshold: float = 0.0
    skip_unknown: bool = False
    details: bool = False
    precision: Precision = "float32"
    scorer: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "top", typed=True)
        check_threshold(self.threshold)
        if self.label is not None and self.pairs is None:
            raise ConfigError("--label is a column of --pairs; give that table, too")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("score", ScoreOptions, _score, argv, str(__doc__))


def _score(options: ScoreOptions) -> None:
    from lcplm_graph.files.networks import check_suffix, write_table
    from lcplm_graph.heads.questions import of_known

    if options.out is not None:
        check_suffix(options.out)
    sequences = _given(options)
    labels = _labels(options)
    question = _question(options, sequences, labels)
    scorer = _scorer(options)
    question = of_known(question, scorer.known, sequences, options.skip_unknown)
    answers = _answers(scorer, question, sequences)
    if labels is not None:
        from lcplm_graph.evaluation.assay import agreement

        kept = list(answers)
        print(agreement(labels, kept), file=sys.stderr if options.out is None else sys.stdout)
        answers = iter(kept)
    rows = _Rows(options)
    if options.out is not None and options.out.lower().endswith(".tsv"):
        # Row by row: all pairs of a proteome do not fit into memory.
        written = write_table(options.out, _columns(options), rows.of(answers))
        print(f"{rows.count_of(question.total)}; written: {written}")
    else:
        _write(options, question, answers, rows)
    rows.write_page(question.total)


def _columns(options: ScoreOptions) -> tuple[str, ...]:
    return (*COLUMNS, *DETAILS) if options.details else COLUMNS


def _write(
    options: ScoreOptions, question: Question, answers: Iterator[ScoredPairs], rows: _Rows
) -> None:
    """Write a network, or print, all rows in memory."""
    from lcplm_graph.files.networks import Network, write_network

    kept = list(answers) if question.total <= _NAMED else []
    network = Network(
        _columns(options), list(rows.of(iter(kept) if kept else answers)), COLUMNS[:2]
    )
    count = rows.count_of(question.total)
    if options.out is not None:
        print(f"{count}; written: {write_network(options.out, network)}")
    else:
        print("\t".join(network.columns))
        for row in network.rows:
            print("\t".join(f"{x:.4f}" if isinstance(x, float) else _short(x) for x in row))
        if question.total <= _NAMED and not options.details:
            for answer in kept:
                _name_nearest(answer)
                _name_known(answer)
        elif len(network.rows) < question.total:
            print(count, file=sys.stderr)


class _Rows:
    """The rows that --threshold and --top leave, how many these are, and their page."""

    def __init__(self, options: ScoreOptions) -> None:
        self.options, self.count, self.unlike = options, 0, 0
        self.seen: SeenRows | None = None
        if options.report is not None:
            from lcplm_graph.evaluation.network_page import SeenRows

            self.seen = SeenRows(_columns(options), COLUMNS[:2])

    def of(self, answers: Iterator[ScoredPairs]) -> Iterator[tuple[Any, ...]]:
        """Yield rows of a table, with --top after the last answer."""
        top, place = self.options.top, COLUMNS.index("probability")
        rows = (
            row
            for answer in answers
            for row in self._all(answer)
            if row[place] >= self.options.threshold
        )
        # Of equal ones the first that was asked for comes first, as in a sorted list.
        best = rows if top is None else heapq.nlargest(top, rows, key=itemgetter(place))
        for row in best:
            self.count += 1
            if self.seen is not None:
                self.seen.add(row)
            yield row

    def _all(self, answer: ScoredPairs) -> list[tuple[Any, ...]]:
        self.unlike += int(answer.unlike_training.sum())
        return answer.rows(details=self.options.details)

    def count_of(self, total: int) -> str:
        """Return how many pairs are written, and of how many."""
        pairs = f"{total:,} pairs"
        return pairs if self.count == total else f"{self.count:,} of {pairs}"

    def write_page(self, total: int) -> None:
        """Write the page of --report, if there shall be one, and say where."""
        if self.seen is None or self.options.report is None:
            return
        from lcplm_graph.evaluation.network_page import write_page_of

        facts: dict[str, Any] = {"pairs": self.count_of(total), "unlike training": self.unlike}
        facts |= {"scorer": self.options.scorer or "the one that ships"}
        page = write_page_of(self.options.report, self.seen, "Scored pairs", facts)
        print(f"report: {page}")


def _scorer(options: ScoreOptions) -> PPIScorer:
    from lcplm_graph.heads.ppi_scorer import PPIScorer
    from lcplm_graph.process import chosen_device

    device = chosen_device(options.device)
    return PPIScorer.from_pretrained(options.scorer, options.precision, device)


def _answers(
    scorer: PPIScorer, question: Question, sequences: SequenceStore
) -> Iterator[ScoredPairs]:
    """Yield answers, some pairs at a time, with a bar where there are many."""
    from tqdm import tqdm

    many = len(question.proteins) > _NAMED
    asked = scorer.asked(question.proteins, sequences, short=question.typed, progress=many)
    pairs = iter(question.pairs)
    bar = tqdm(total=question.total, unit="pair", unit_scale=True, disable=not many)
    with bar:
        while block := list(itertools.islice(pairs, _BLOCK)):
            yield asked.answer(block)
            bar.update(len(block))


def _name_nearest(answer: ScoredPairs) -> None:
    """Say beside the table which training pair is nearest, where the table has its identity."""
    from lcplm_graph.heads.nearest import COVERAGE, IDENTITY

    near = zip(answer.nearest_training_pair, answer.nearest_training_identity, strict=True)
    for (a, b), (pair, identity) in zip(answer.names, near, strict=True):
        line = f"nearest training pair of {_short(a)} and {_short(b)}: "
        if identity:
            line += f"{' and '.join(pair)}, {identity:.0%} identity"
        else:
            line += f"none with {IDENTITY:.0%} identity over {COVERAGE:.0%} of both proteins"
        print(line, file=sys.stderr)


def _name_known(answer: ScoredPairs) -> None:
    """Say which pairs are known, and whether their probability counts that."""
    columns = (answer.known, answer.nearest_training_identity)
    for (a, b), known, identity in zip(answer.names, *columns, strict=True):
        if known:
            how = "was trained on it" if identity == 1 else "does not count that"
            print(
                f"{_short(a)} and {_short(b)} are known to interact (STRING); the model {how}",
                file=sys.stderr,
            )


def _labels(options: ScoreOptions) -> dict[tuple[str, str], bool] | None:
    from lcplm_graph.heads.questions import read_labels

    if options.pairs is None or options.label is None:
        return None
    return read_labels(Path(options.pairs), options.label)


def _question(
    options: ScoreOptions, sequences: SequenceStore, labels: dict[tuple[str, str], bool] | None
) -> Question:
    question = _asked_pairs(options, sequences, labels)
    shown = question.total if options.top is None else min(options.top, question.total)
    if options.out is None and shown > _PRINTED:
        raise ConfigError(f"{shown:,} pairs are too many to print; give --out FILE.tsv, or --top N")
    return question


def _given(options: ScoreOptions) -> SequenceStore:
    """Return the proteins of all FASTA files: those asked about, and those that are named."""
    from lcplm_graph.heads.questions import file_of, is_fasta
    from lcplm_graph.proteins.store import read_fasta_files

    asked = filter(is_fasta, map(file_of, options.proteins))
    return read_fasta_files(list(dict.fromkeys([*options.sequences, *asked])))


def _asked_pairs(
    options: ScoreOptions, sequences: SequenceStore, labels: dict[tuple[str, str], bool] | None
) -> Question:
    from lcplm_graph.heads.questions import all_pairs, file_of, pairs_of_table

    if options.pairs is not None:
        if options.proteins:
            raise ConfigError("give two proteins or --pairs, not both")
        return pairs_of_table(Path(options.pairs), set(sequences.ids), labels)
    if len(options.proteins) != 2:
        raise ConfigError(
            f"give two proteins (names, files or sequences) or --pairs FILE; got "
            f"{len(options.proteins)}"
        )
    return all_pairs(*map(file_of, options.proteins))


def _short(text: str) -> str:
    """Return a name as it is, and of a long sequence on a terminal its begin."""
    readable = sys.stdout.isatty() and text.isalpha() and text.isupper()
    return f"{text[:21]}..." if readable and len(text) > 24 else text


if __name__ == "__main__":
    sys.exit(main())

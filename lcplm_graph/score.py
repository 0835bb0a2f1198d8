"""Do two proteins interact?  A calibrated probability, from a model that ships with the package.

A and B are names (STRING ids, UniProt accessions, gene names of the human training data), FASTA
files, or sequences.  Probabilities hold where one pair that does not interact comes with each that
does; nearest_training_identity is that of the most similar training pair, 0 if none has 30 %.
--details names that pair, and tells which pairs have a protein unlike anything seen in training,
from 0 to 1 how much training pairs between relatives of the two proteins, also remote ones, speak
for an interaction, and which pairs the network that ships has.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lcplm_graph.command import PageOption, run_command
from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.models.names import Precision
from lcplm_graph.option_parser import input_file, positional, several

if TYPE_CHECKING:
    from lcplm_graph.heads.scored_pairs import ScoredPairs

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
        Two proteins: names, sequences, or FASTA files: each protein of one with each of the other;
        of the same file twice each pair once, none of a protein with itself.
    pairs
        Table of pairs instead, with tabs, commas, semicolons or blanks between: the first two
        columns, or those that a header calls protein1 and protein2, query and partner, or alike; -
        for standard input.
    sequences
        FASTA files with the proteins that the table names; a name that they lack is one of the
        human training data, which a warning says.
    out
        FILE.tsv, FILE.graphml or FILE.cx2; printed by default.
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
    sequences: list[str] = several(default=[], metavar="FASTA", stdin=True)
    out: str | None = None
    details: bool = False
    precision: Precision = "float32"
    scorer: str | None = None
    device: str | None = None


class _Question(NamedTuple):
    """Proteins that are asked about, pairs of them, and how many these are."""

    proteins: list[str]
    pairs: Iterable[tuple[str, str]]
    total: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("score", ScoreOptions, _score, argv, str(__doc__))


def _score(options: ScoreOptions) -> None:
    from lcplm_graph.files.networks import Network, check_suffix, write_network, write_table

    if options.out is not None:
        check_suffix(options.out)
    sequences = _read_sequences(options.sequences)
    question = _question(options, sequences)
    columns = (*COLUMNS, *DETAILS) if options.details else COLUMNS
    answers = _answers(options, question, sequences)
    out, count = options.out, f"{question.total:,} pairs"
    if out is not None and options.report is None and out.lower().endswith(".tsv"):
        # Row by row: all pairs of a proteome do not fit into memory.
        rows = (row for answer in answers for row in answer.rows(details=options.details))
        print(f"{count}; written: {write_table(out, columns, rows)}")
        return
    kept = list(answers)
    network = Network(
        columns, [row for one in kept for row in one.rows(details=options.details)], COLUMNS[:2]
    )
    if out is not None:
        print(f"{count}; written: {write_network(out, network)}")
    else:
        print("\t".join(columns))
        for row in network.rows:
            print("\t".join(f"{x:.4f}" if isinstance(x, float) else _short(x) for x in row))
        if question.total <= _NAMED and not options.details:
            for answer in kept:
                _name_nearest(answer)
                _name_known(answer)
    if options.report is not None:
        from lcplm_graph.evaluation.network_page import write_network_page

        unlike = sum(int(answer.unlike_training.sum()) for answer in kept)
        facts: dict[str, Any] = {"pairs": question.total, "unlike training": unlike}
        facts |= {"scorer": options.scorer or "the one that ships"}
        print(f"report: {write_network_page(options.report, network, 'Scored pairs', facts)}")


def _answers(
    options: ScoreOptions, question: _Question, sequences: dict[str, str]
) -> Iterator[ScoredPairs]:
    """Yield answers, some pairs at a time, with a bar where there are many."""
    from tqdm import tqdm

    from lcplm_graph.heads.ppi_scorer import PPIScorer
    from lcplm_graph.process import chosen_device

    device = chosen_device(options.device)
    scorer = PPIScorer.from_pretrained(options.scorer, options.precision, device)
    many = len(question.proteins) > _NAMED
    # A word of a table that nobody knows is more likely a name than a sequence.
    short = options.pairs is None
    asked = scorer.asked(question.proteins, sequences, short=short, progress=many)
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


def _question(options: ScoreOptions, sequences: dict[str, str]) -> _Question:
    question = _asked_pairs(options, sequences)
    if options.out is None and question.total > _PRINTED:
        raise ConfigError(f"{question.total:,} pairs are too many to print; give --out FILE.tsv")
    return question


def _asked_pairs(options: ScoreOptions, sequences: dict[str, str]) -> _Question:
    if options.pairs is not None:
        if options.proteins:
            raise ConfigError("give two proteins or --pairs, not both")
        found = read_pairs(Path(options.pairs), sequences)
        return _Question(list(itertools.chain.from_iterable(found)), found, len(found))
    if len(options.proteins) != 2:
        raise ConfigError(
            f"give two proteins (names, FASTA files or sequences) or --pairs FILE; got "
            f"{len(options.proteins)}"
        )
    files = [os.path.isfile(text) for text in options.proteins]
    first, second = (_proteins(text, sequences) for text in options.proteins)
    for text, is_file, other in zip(options.proteins, files, (second, first), strict=True):
        if not is_file and text in other and any(files):
            raise ConfigError(
                f"{text!r} is a record of the FASTA file, too; call that otherwise, or give its "
                "sequence"
            )
    if all(files) and first == second:
        # All against all: a pair has one answer in either order, and few ask of a protein itself.
        if len(first) == 1:
            raise ConfigError(f"{options.proteins[0]} holds one protein; a pair needs two")
        pairs = itertools.combinations(first, 2)
        return _Question(first, pairs, len(first) * (len(first) - 1) // 2)
    count = len(first) * len(second)
    return _Question([*first, *second], itertools.product(first, second), count)


def _proteins(text: str, sequences: dict[str, str]) -> list[str]:
    """Return what an argument names; the records of a file are added to `sequences`."""
    if not os.path.isfile(text):
        return [text]
    store = _read_sequences([text])
    for name, sequence in store.items():
        if sequences.setdefault(name, sequence) != sequence:
            raise DataError("another file has another sequence for this id", path=text, record=name)
    return list(store)


def _read_sequences(paths: Sequence[str]) -> dict[str, str]:
    if not paths:
        return {}
    from lcplm_graph.proteins.store import read_fasta_files

    store = read_fasta_files(paths)
    return dict(zip(store.ids, store, strict=True))


def read_pairs(path: Path, given: Collection[str]) -> list[tuple[str, str]]:
    """Read two proteins a line; what looks like a header is none if it names a protein of `given`.

    Raises
    ------
    DataError
        With file and line, if one has fewer than two proteins; if there is no pair.
    """
    from lcplm_graph.datasets.interaction_files import refuse_interactions
    from lcplm_graph.datasets.pair_table import COMMENT, id_columns
    from lcplm_graph.files.separators import SEPARATORS
    from lcplm_graph.files.tables import find_separator, rows

    refuse_interactions(path)
    found, columns = [], (0, 1)
    separator = find_separator(path, COMMENT)
    for number, (line, cells) in enumerate(rows(path, COMMENT, separator)):
        header = id_columns(cells) if number == 0 else None
        if header is not None and cells[header[0]] not in given:
            columns = header
            continue
        names = [cells[place] for place in columns if place < len(cells)]
        if len(names) < 2 or not all(names):
            raise DataError(
                f"a line is two proteins with {SEPARATORS[separator]} between; this one is not",
                path=path,
                line=line,
            )
        found.append((names[0], names[1]))
    if not found:
        raise DataError("the table has no pair", path=path)
    return found


def _short(text: str) -> str:
    """Return a name as it is, and of a long sequence on a terminal its begin."""
    readable = sys.stdout.isatty() and text.isalpha() and text.isupper()
    return f"{text[:21]}..." if readable and len(text) > 24 else text


if __name__ == "__main__":
    sys.exit(main())

"""Ask a model that `lcplm finetune` made about proteins, or pairs of them.

The table has a row a protein or pair: the value, or the prediction and the probability of each
class or label, in the names of the labels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcplm_graph.command import run_command
from lcplm_graph.errors import ConfigError
from lcplm_graph.option_parser import positional, several
from lcplm_graph.options import check_counts

if TYPE_CHECKING:
    from lcplm_graph.finetuning.model import PropertyModel


@dataclass(frozen=True, kw_only=True)
class PredictPropertyOptions:
    """Options of ``lcplm predict-property``.

    Parameters
    ----------
    folder
        Of the run, or its model.
    input
        FASTA (plain or compressed), - for standard input; or CSV, TSV or Parquet of sequences, two
        columns of them for a model of pairs.
    out
        FILE.tsv, FILE.csv or FILE.parquet.
    sequence
        Columns of sequences in a table; default: sequence, or sequence1 and sequence2, and the
        like.
    id
        Column of names in a table.
    sequences
        FASTA files, or human_proteome for all human proteins by gene name; the columns of sequences
        then hold their ids, accessions, or gene names (of UniProt's headers).
    per_residue
        Of a model of residues: a row for each residue, with all probabilities.
    max_tokens
        Tokens per batch; a longer protein is never cut.
    device
        cpu, cuda, ...; default: a GPU if there is one.
    """

    folder: str = positional(metavar="FOLDER")
    input: str = positional(metavar="FASTA", stdin=True)
    out: str
    sequence: list[str] = several(default=[], metavar="COLUMN")
    id: str | None = None
    sequences: list[str] = several(default=[], metavar="FASTA")
    per_residue: bool = False
    max_tokens: int = 4096
    device: str | None = None

    def __post_init__(self) -> None:
        check_counts(self, "max_tokens", typed=True)


def _predict(options: PredictPropertyOptions) -> None:
    from lcplm_graph.finetuning.answers import PREDICTION, as_frame, residue_frame
    from lcplm_graph.finetuning.model import PropertyModel
    from lcplm_graph.finetuning.outputs import SUFFIXES, write_frame
    from lcplm_graph.io import checked_suffix
    from lcplm_graph.process import chosen_device

    suffix = checked_suffix(options.out, SUFFIXES)
    model = PropertyModel.from_pretrained(options.folder, chosen_device(options.device))
    if options.per_residue and not model.per_residue:
        raise ConfigError(
            f"--per-residue is of models of residues, this one is of {model.target.kind}"
        )
    names, proteins = _read(options, model)
    answers = model.answers(proteins, progress=True, max_tokens=options.max_tokens)
    if options.per_residue and isinstance(answers, list):
        frame = residue_frame(model.target, names[0], proteins, answers)
    else:
        frame = as_frame(model.target, answers)
        for place, column in enumerate(names):
            title = "protein" if len(names) == 1 else f"protein{place + 1}"
            # The number itself may be called protein, as of an abundance.
            frame = frame.rename(columns={title: PREDICTION})
            frame.insert(place, title, column)
    write_frame(options.out, frame, suffix)
    print(f"{len(proteins):,} {'pairs' if model.paired else 'proteins'}; written: {options.out}")


def _read(options: PredictPropertyOptions, model: PropertyModel) -> tuple[list[Any], Any]:
    """Return columns of names, and sequences or pairs."""
    from lcplm_graph.files.compressed import suffix_of
    from lcplm_graph.finetuning.examples import Columns, read_proteins
    from lcplm_graph.finetuning.table import SUFFIXES, read_table_file
    from lcplm_graph.heads.names import sequences_of
    from lcplm_graph.proteins.store import SequenceStore

    if suffix_of(options.input) not in SUFFIXES:
        if model.paired:
            raise ConfigError(
                f"this model is of pairs: give a table with two columns of sequences, not "
                f"{options.input}"
            )
        if options.sequence or options.id or options.sequences:
            raise ConfigError("--sequence, --id and --sequences are of tables, not of FASTA files")
        store = SequenceStore.from_fasta(options.input)
        return [store.ids], store
    table = read_table_file(options.input)
    known = sequences_of(options.sequences) if options.sequences else None
    found = read_proteins(table, Columns(options.sequence, (), options.id), known)
    if found.paired != model.paired:
        wanted = "pairs, so the table needs two columns" if model.paired else "single proteins"
        raise ConfigError(
            f"this model is of {wanted}; the columns read were {', '.join(found.columns)}"
        )
    if model.paired and options.id:
        raise ConfigError("--id is of single proteins; pairs are named by their two columns")
    rows = [[found.sequences[i] for i in row] for row in found.rows.tolist()]
    if not model.paired:
        return [found.names], [row[0] for row in rows]
    columns = [table.columns[name] for name in found.columns]
    return columns, [(a, b) for a, b in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("predict-property", PredictPropertyOptions, _predict, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

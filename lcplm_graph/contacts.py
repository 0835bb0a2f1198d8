"""See which residues of a protein, or of two proteins, a language model takes to touch.

A table of scored pairs and a map are written; with a structure the precision of the best pairs is
printed.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lcplm_graph.command import run_command
from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import positional
from lcplm_graph.options import options_given

if TYPE_CHECKING:
    from lcplm_graph.numeric import Float32Array


@dataclass(frozen=True, kw_only=True)
class ContactsOptions:
    """Options of ``lcplm contacts``.

    Parameters
    ----------
    fasta
        One protein, or two for the contacts between them across the [EDGE] marker; left out with
        --structure, whose sequence is taken.
    out
        FILE.tsv, with the columns position1, residue1, position2, residue2, score (and contact,
        with a structure); the map is FILE.png.
    encoder
        An LC-PLM or an ESM-2, see load_encoder; two proteins need an LC-PLM.
    structure
        PDB, mmCIF or BinaryCIF file with the true contacts of one protein.
    chain
        Chain of the structure; default: the first.
    least_separation
        Pairs of one protein nearer than this along the chain are not listed.
    top
        Pairs listed at most; default: all.
    max_tokens
        Tokens per batch.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    fasta: str | None = positional(metavar="SEQUENCE.fasta", nargs="?", default=None, stdin=True)
    out: str
    encoder: str = DEFAULT_ENCODER
    structure: str | None = None
    chain: str | None = None
    least_separation: int = 6
    top: int | None = None
    max_tokens: int = 4096
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("least_separation", "top", "max_tokens"):
            value = getattr(self, name)
            # An array's positions reach no further.
            if value is not None and not 1 <= value < 2**63:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {value}: give a whole number from 1 to 2**63 - 1"
                )


def contacts(options: ContactsOptions) -> None:
    """Compute, write and print."""
    from tqdm import tqdm

    from lcplm_graph.io import checked_suffix
    from lcplm_graph.models.masked_lm import load_masked_lm
    from lcplm_graph.process import chosen_device
    from lcplm_graph.tasks.contacts import contact_map, interface_map, pair_layouts, protein_layout
    from lcplm_graph.tasks.pictures import draw_map
    from lcplm_graph.tasks.precision import long_range_line

    checked_suffix(options.out, (".tsv",))
    names, sequences, known = _proteins(options)
    _check_separation(options, sequences)
    lm = load_masked_lm(options.encoder, chosen_device(options.device))
    between = len(sequences) == 2
    layouts = pair_layouts(lm, *sequences) if between else (protein_layout(lm, sequences[0]),)
    tokens = sum(layout.tokens for layout in layouts)
    memory = sum(layout.memory for layout in layouts)
    print(
        f"{' and '.join(names)}: {tokens:,} tokens through {lm.name}, "
        f"{memory / 1e6:,.0f} MB for the Jacobian",
        flush=True,
    )
    make = interface_map if between else contact_map
    with tqdm(total=tokens, unit="tok", unit_scale=True) as bar:
        scores = make(lm, *sequences, max_tokens=options.max_tokens, bar=bar)
    _write(options, sequences, scores, known)
    picture = Path(options.out).with_suffix(".png")
    title = f"{' and '.join(names)}, {lm.name}"
    labels = (f"position in {names[0]}", f"position in {names[-1]}")
    draw_map(picture, scores, title, labels, known, between=between)
    if known is not None:
        print(long_range_line(scores, known))
    print(f"written: {options.out} and {picture}")


def _proteins(
    options: ContactsOptions,
) -> tuple[list[str], list[str], Float32Array | None]:
    """Names, sequences, and true contacts where there is a structure."""
    from lcplm_graph.proteins.store import SequenceStore
    from lcplm_graph.tasks.structures import contacts_between, read_chain

    if options.structure is None:
        if options.fasta is None:
            raise ConfigError("give SEQUENCE.fasta, --structure FILE, or both")
        if options.chain is not None:
            raise ConfigError("--chain belongs to --structure")
        store = SequenceStore.from_fasta(options.fasta)
        if len(store) > 2:
            raise DataError(
                f"{len(store)} proteins; contacts are of one, or between two", path=options.fasta
            )
        return store.ids, list(store), None
    chain = read_chain(options.structure, options.chain)
    name = f"{Path(options.structure).name.split('.')[0]} {chain.name}".strip()
    known = contacts_between(chain.points, chain.points)
    if options.fasta is not None:
        store = SequenceStore.from_fasta(options.fasta)
        if len(store) != 1 or not _same(store[0], chain.sequence):
            raise DataError(
                f"the sequence is not that of chain {chain.name} of {options.structure} "
                f"({len(chain.sequence)} residues, X where none is resolved); leave the FASTA "
                "out to take the chain's own",
                path=options.fasta,
            )
        return store.ids, list(store), known
    return [name], [chain.sequence], known


def _check_separation(options: ContactsOptions, sequences: list[str]) -> None:
    """Refuse, before the work, a separation that means nothing or leaves no pair to list."""
    least, length = options.least_separation, len(sequences[0])
    if len(sequences) == 2:
        if options_given(options, ("least_separation",)):
            raise ConfigError(
                "--least-separation is of one protein, and means nothing between two; leave it out"
            )
    elif least >= length:
        raise ConfigError(
            f"no two of {length} residues are {least} apart; give a smaller --least-separation "
            "or a longer protein"
        )


def _same(given: str, resolved: str) -> bool:
    pairs = zip(given, resolved, strict=False)
    return len(given) == len(resolved) and all("X" in pair or pair[0] == pair[1] for pair in pairs)


def _write(
    options: ContactsOptions, sequences: list[str], scores: Float32Array, known: Float32Array | None
) -> None:
    import itertools

    from lcplm_graph.io import atomic_path
    from lcplm_graph.tasks.contacts import ranked_pairs

    pairs = ranked_pairs(scores, options.least_separation, between=len(sequences) == 2)
    with (
        atomic_path(options.out) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        header = ["position1", "residue1", "position2", "residue2", "score"]
        writer.writerow(header if known is None else [*header, "contact"])
        for i, j, score in itertools.islice(pairs, options.top):
            row = [i + 1, sequences[0][i], j + 1, sequences[-1][j], f"{score:.6g}"]
            if known is not None:
                value = known[i, j]
                row.append("" if value != value else int(value))
            writer.writerow(row)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("contacts", ContactsOptions, contacts, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

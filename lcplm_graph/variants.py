"""Score variants of proteins without training: a table, and a heat map.

An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lcplm_graph.command import run_command
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import input_file, positional
from lcplm_graph.options import check_counts

if TYPE_CHECKING:
    from lcplm_graph.proteins.store import SequenceStore
    from lcplm_graph.tasks.variants import Variant


@dataclass(frozen=True, kw_only=True)
class VariantsOptions:
    """Options of ``lcplm variants``.

    Parameters
    ----------
    fasta
        The wild types; - for standard input, here or for --variants.
    all_singles
        Score all 19 substitutions at every position.
    variants
        Score these: one a line (A123V, p.Ala123Val, A1P:D2N, A23del, A23_K24insGH), or a table with
        a column variant or mutant, and a column protein (or gene) if there are several proteins.
    skip_unknown
        Leave out variants that cannot be scored (stops, frameshifts, another residue in the
        sequence), with a warning that counts them; else the first is an error.
    out
        FILE.tsv, with the columns protein, variant, score.
    encoder
        An LC-PLM or an ESM-2, see load_encoder.
    method
        masked: each changed position is masked in its turn; wild-type: one pass a protein;
        pseudo-perplexity: of the whole changed protein.
    figures
        Folder for a heat map of every protein; default: one beside the table if there is one
        protein.
    max_tokens
        Tokens per batch; a longer protein is never cut.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    fasta: str = positional(metavar="SEQUENCE.fasta", stdin=True)
    out: str
    all_singles: bool = False
    variants: str | None = input_file(default=None)
    skip_unknown: bool = False
    encoder: str = DEFAULT_ENCODER
    method: Literal["masked", "wild-type", "pseudo-perplexity"] = "masked"
    figures: str | None = None
    max_tokens: int = 4096
    device: str | None = None

    def __post_init__(self) -> None:
        check_counts(self, "max_tokens", typed=True)


def score(options: VariantsOptions) -> None:
    """Run the job and print what it writes."""
    if options.all_singles == (options.variants is not None):
        raise ConfigError("give either --all-singles or --variants FILE")
    if options.figures is not None and Path(options.figures).is_file():
        raise ConfigError(f"--figures {options.figures} is a file; name a folder")
    from lcplm_graph.io import checked_suffix
    from lcplm_graph.models.masked_lm import load_masked_lm
    from lcplm_graph.process import chosen_device
    from lcplm_graph.proteins.store import SequenceStore
    from lcplm_graph.tasks.variant_job import VariantJob

    checked_suffix(options.out, (".tsv",))
    proteins = SequenceStore.from_fasta(options.fasta)
    chosen = _chosen(options, proteins)
    lm = load_masked_lm(options.encoder, chosen_device(options.device))
    job = VariantJob(
        lm=lm,
        proteins=proteins,
        variants=chosen,
        method=options.method,
        max_tokens=options.max_tokens,
    )
    print(job, flush=True)
    numbers = range(len(proteins)) if chosen is None else chosen
    pictures = _pictures(options, proteins, numbers)
    drawn = job.run(options.out, pictures)
    print(f"written: {options.out}")
    if drawn:
        print(f"drawn: {drawn[0]}" + (f" and {len(drawn) - 1} more" if drawn[1:] else ""))


def _chosen(options: VariantsOptions, proteins: SequenceStore) -> dict[int, list[Variant]] | None:
    from lcplm_graph.tasks.variant_table import variants_of

    if options.variants is None:
        if options.skip_unknown:
            raise ConfigError("--skip-unknown goes with --variants; leave it out")
        return None
    return variants_of(options.variants, proteins, options.skip_unknown)


def _pictures(
    options: VariantsOptions, proteins: SequenceStore, numbers: Iterable[int]
) -> dict[int, Path]:
    chosen = list(numbers)
    if options.figures is None:
        return {chosen[0]: Path(options.out).with_suffix(".png")} if len(chosen) == 1 else {}
    plain = [re.sub(r"[^\w.+-]", "_", proteins.ids[i]) for i in chosen]
    if len(set(plain)) < len(plain):
        plain = [f"{name}.{i + 1}" for name, i in zip(plain, chosen, strict=True)]
    folder = Path(options.figures)
    return {i: folder / f"{name}.png" for name, i in zip(plain, chosen, strict=True)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("variants", VariantsOptions, score, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

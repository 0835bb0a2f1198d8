"""Train an encoder on a table of labels: proteins, residues or pairs.

The folder that is written is read by `lcplm predict-property` and, as features, by `load_encoder`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lcplm_graph.command import run_command
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.option_parser import positional, several


@dataclass(frozen=True, kw_only=True)
class FinetuneCommand(FinetuneOptions):
    """Options of ``lcplm finetune``, as they are typed."""

    table: str = positional(metavar="TABLE")
    sequence: list[str] = several(default=[], metavar="COLUMN")
    label: list[str] = several(default=[], metavar="COLUMN")
    sequences: list[str] = several(default=[], metavar="FASTA")


def _finetune(options: FinetuneCommand) -> None:
    from lcplm_graph.finetuning.run import finetune

    report = finetune(options)
    print(f"\n{report}\n\nwritten: {options.out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("finetune", FinetuneCommand, _finetune, argv, str(__doc__), locks_out=False)


if __name__ == "__main__":
    sys.exit(main())

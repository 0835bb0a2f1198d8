"""The command ``lcplm NAME ...``, the same as ``python -m lcplm_graph.NAME ...``."""

from __future__ import annotations

import gc
import importlib
import sys

from lcplm_graph import __version__
from lcplm_graph.command import choose
from lcplm_graph.guard import guarded

COMMANDS = {
    "embed": "turn a FASTA file into embeddings",
    "score": "do two proteins interact: a calibrated probability",
    "predict": "partners of a protein, new edges of a graph, functions of proteins",
    "finetune": "train an encoder on labels of your own: proteins, residues or pairs",
    "predict-property": "ask a fine-tuned model about proteins or pairs",
    "variants": "score variants of a protein, without training",
    "contacts": "see which residues of one protein, or of two, touch",
    "search": "find the proteins of an embedding file that are most like a query",
    "map": "draw an embedding file, coloured by Pfam family, GO term or any label",
    "evaluate": "link, function, homology, contacts, variants or OGB with baselines",
    "stage1": "pretrain an encoder on protein sequences",
    "stage2": "go on training an encoder on walks over a protein graph",
    "release": "make a small folder with weights and a model card of a run",
    "data": "list, show, download and verify datasets; clear what is kept",
    "doctor": "say which kernels run here, and why",
    "completion": "print the completion of commands and options for bash, zsh or fish",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    if argv is None:
        # A process of our own: looking for garbage while modules load takes a seventh of the start.
        gc.set_threshold(20_000, 50, 100)
    words = sys.argv[1:] if argv is None else argv
    return guarded("", lambda: _run(words))


def _run(words: list[str]) -> int:
    if words and words[0] in ("-V", "--version"):
        print(f"lcplm-graph {__version__}")
        return 0
    name = choose("lcplm", COMMANDS, words)
    if name is None:
        return 0
    status: int = importlib.import_module(module_of(name)).main(words[1:])
    return status


def module_of(name: str) -> str:
    """Return the module of a command."""
    return f"lcplm_graph.{name.replace('-', '_')}"


if __name__ == "__main__":
    sys.exit(main())

"""The command ``lcplm NAME ...``, the same as ``python -m lcplm_graph.NAME ...``."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "stage1": "pretrain an encoder on protein sequences",
    "stage2": "go on training an encoder on walks over a protein graph",
    "embed": "turn a FASTA file into embeddings",
    "evaluate": "link, function or homology prediction with baselines",
    "predict": "rank partners of a protein, or new edges of a graph",
    "release": "make a small folder with weights and a model card of a run",
    "data": "list, show, download and verify datasets",
    "doctor": "say which kernels run here, and why",
}


def main(argv: list[str] | None = None) -> int | None:
    """Run a command and return its exit status; None counts as success."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: lcplm COMMAND ...\n")
        print("\n".join(f"  {name:10} {what}" for name, what in COMMANDS.items()))
        return None
    name, *rest = arguments
    if name not in COMMANDS:
        raise SystemExit(f"lcplm: unknown command {name!r}; known: {', '.join(COMMANDS)}")
    sys.argv = [f"lcplm {name}", *rest]
    return importlib.import_module(f"lcplm_graph.{name}").main(rest)


if __name__ == "__main__":
    sys.exit(main())

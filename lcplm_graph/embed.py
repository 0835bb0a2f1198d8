"""`python -m lcplm_graph.embed`: FASTA in, protein embeddings out.

An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lcplm_graph.errors import LcPlmError


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="lcplm embed", description=__doc__)
    parser.add_argument("input", metavar="INPUT.fasta", help="plain, gzip, zstd or bz2")
    parser.add_argument("--encoder", required=True, help="a name or path, see load_encoder")
    parser.add_argument("--out", required=True, help="FILE.h5, FILE.npz or FILE.parquet")
    parser.add_argument(
        "--pool",
        default="mean",
        choices=("mean", "mean_std", "cls", "max"),
        help="from residues to one vector a protein (default: %(default)s)",
    )
    parser.add_argument(
        "--per-residue", action="store_true", help="one vector a residue instead of one a protein"
    )
    parser.add_argument("--half", action="store_true", help="write float16: half the size")
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=4096,
        help="tokens per batch; a longer protein is never cut (default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = vars(make_parser().parse_args(argv))
    import torch

    from lcplm_graph.features.embed import EmbedJob
    from lcplm_graph.models.encoders import load_encoder

    try:
        encoder = load_encoder(options.pop("encoder"))
        encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        job = EmbedJob(options.pop("input"), encoder, options.pop("out"), **options)
        print(job, flush=True)
        print(f"written: {job.run()}")
    except LcPlmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

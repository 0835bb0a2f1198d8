"""`python -m lcplm_graph.embed`: sequences in, protein embeddings out.

An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lcplm_graph.errors import ConfigError, LcPlmError


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="lcplm embed", description=__doc__)
    parser.add_argument(
        "input",
        metavar="INPUT.fasta",
        help="FASTA (plain, gzip, zstd, bz2); Arrow or Parquet with the columns id and sequence; "
        "or a folder of such shards",
    )
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
    parser.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="local: this process; ray: the cluster of RAY_ADDRESS, or a local one "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, help="engine ray: how many at once (default: all but one processor)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = vars(make_parser().parse_args(argv))
    import torch

    from lcplm_graph.features.embed import EmbedJob
    from lcplm_graph.features.engines import here
    from lcplm_graph.features.ray_engine import ray_engine
    from lcplm_graph.models.encoders import load_encoder

    try:
        on_ray, workers = options.pop("engine") == "ray", options.pop("workers")
        if workers is not None and not on_ray:
            raise ConfigError("--workers belongs to --engine ray")
        engine = ray_engine(workers) if on_ray else here
        encoder = load_encoder(options.pop("encoder"))
        if not on_ray and torch.cuda.is_available():
            encoder.to("cuda")
        job = EmbedJob(options.pop("input"), encoder, options.pop("out"), **options)
        print(job, flush=True)
        print(f"written: {job.run(engine=engine)}")
    except LcPlmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

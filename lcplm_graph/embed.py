"""Turn protein sequences into embeddings: FASTA in, HDF5, NPZ or Parquet out.

An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lcplm_graph.command import positional, run_command
from lcplm_graph.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Options of ``lcplm embed``.

    Parameters
    ----------
    input
        FASTA (plain, gzip, zstd, bz2); Arrow or Parquet with the columns id and sequence; or a
        folder of such shards.
    encoder
        A name or path, see load_encoder.
    out
        FILE.h5, FILE.npz or FILE.parquet.
    pool
        From residues to one vector a protein; default: the one the encoder recommends.
    per_residue
        One vector a residue instead of one a protein.
    half
        Write float16: half the size.
    max_tokens
        Tokens per batch; a longer protein is never cut.
    engine
        local: this process; ray: the cluster of RAY_ADDRESS, or a local one.
    workers
        Engine ray: how many at once; default: all but one processor.
    """

    input: str = positional(metavar="INPUT.fasta")
    encoder: str
    out: str
    pool: Literal["mean", "mean_std", "cls", "max"] | None = None
    per_residue: bool = False
    half: bool = False
    max_tokens: int = 4096
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None


def embed(options: EmbedOptions) -> None:
    """Run the job and print what it writes."""
    import torch

    from lcplm_graph.features.embed import EmbedJob
    from lcplm_graph.features.engines import here
    from lcplm_graph.features.ray_engine import ray_engine
    from lcplm_graph.models.encoders import load_encoder

    on_ray = options.engine == "ray"
    if options.workers is not None and not on_ray:
        raise ConfigError("--workers belongs to --engine ray")
    engine = ray_engine(options.workers) if on_ray else here
    encoder = load_encoder(options.encoder)
    if not on_ray and torch.cuda.is_available():
        encoder.to("cuda")
    job = EmbedJob(
        options.input,
        encoder,
        options.out,
        pool=options.pool or encoder.pool,
        per_residue=options.per_residue,
        half=options.half,
        max_tokens=options.max_tokens,
    )
    print(job, flush=True)
    print(f"written: {job.run(engine=engine)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("embed", EmbedOptions, embed, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

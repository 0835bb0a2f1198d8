"""Turn protein sequences into embeddings: FASTA in, HDF5, NPZ or Parquet out.

An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lcplm_graph.command import run_command
from lcplm_graph.errors import ConfigError
from lcplm_graph.models.names import Pool, Precision
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.option_parser import positional
from lcplm_graph.options import check_counts


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Options of ``lcplm embed``.

    Parameters
    ----------
    input
        FASTA (plain, gzip, zstd, bz2, xz), - for standard input; Arrow or Parquet with the columns
        id and sequence; or a folder of such shards.
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
    overwrite
        Make and replace a file that is there; else it is left as it is if it is complete and was
        made of the same input with the same encoder and options, and refused if not.
    max_tokens
        Tokens per batch; a longer protein is never cut.
    precision
        What the encoder computes with; auto: bfloat16 where the processor multiplies it (AMX,
        AVX512-BF16) and the encoder states that features hardly change, else float32.
    engine
        local: this process; ray: the cluster of RAY_ADDRESS, or a local one.
    device
        cpu, cuda, cuda:1, ...; default: a GPU if there is one. Not with engine ray.
    workers
        Engine ray: how many at once; default: all but one processor.
    """

    input: str = positional(metavar="INPUT.fasta", stdin=True)
    encoder: str = DEFAULT_ENCODER
    out: str
    pool: Pool | None = None
    per_residue: bool = False
    half: bool = False
    max_tokens: int = 4096
    overwrite: bool = False
    device: str | None = None
    precision: Precision = "float32"
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, "max_tokens", "workers", typed=True)


def embed(options: EmbedOptions) -> None:
    """Run the job and print what it writes."""
    from lcplm_graph.features.embed import EmbedJob
    from lcplm_graph.features.engines import local_engine
    from lcplm_graph.features.formats import writer_for
    from lcplm_graph.features.ray_engine import ray_engine
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.process import chosen_device
    from lcplm_graph.proteins.shards import sequence_files

    on_ray = options.engine == "ray"
    if options.workers is not None and not on_ray:
        raise ConfigError("--workers belongs to --engine ray")
    if options.device is not None and on_ray:
        raise ConfigError("--device belongs to --engine local; Ray gives its workers theirs")
    if options.pool is not None and options.per_residue:
        raise ConfigError("--pool has no meaning with --per-residue: nothing is pooled")
    # Before an encoder is loaded, which may take long.
    writer_for(options.out)
    sequence_files(options.input)
    engine = ray_engine(options.workers) if on_ray else local_engine
    device = None if on_ray else chosen_device(options.device)
    encoder = load_in_precision(options.encoder, options.precision, device)
    job = EmbedJob(
        options.input,
        encoder,
        options.out,
        pool=encoder.chosen_pool(options.pool),
        per_residue=options.per_residue,
        half=options.half,
        max_tokens=options.max_tokens,
        overwrite=options.overwrite,
    )
    print(job, flush=True)
    if job.complete:
        return
    print(f"written: {job.run(engine=engine)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    kept = "finished proteins are kept, and the same command goes on from there"
    return run_command("embed", EmbedOptions, embed, argv, str(__doc__), kept, locks_out=False)


if __name__ == "__main__":
    sys.exit(main())

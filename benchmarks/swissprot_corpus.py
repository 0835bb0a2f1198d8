"""Make the pretraining corpus: all of Swiss-Prot of 2014, and its clusters by MMseqs2.

    python benchmarks/swissprot_corpus.py WORK_DIR

writes ``swissprot2014.fasta.gz`` (516,371 proteins) and ``clusters30.tsv`` (representative and
member, tab-separated) for ``lcplm stage1 --corpus fasta:... --clusters ...``.  The sequences come
from Debian's package metastudent-data, as those of `string_human_core` do.  Needs ``mmseqs`` on
PATH.  Clusters in two rounds, each covering 80 % of both sequences: linclust at 50 % identity, then
its representatives at 30 %, so that members of a cluster are often below 50 % identical.
"""

from __future__ import annotations

import argparse
import gzip
import runpy
import subprocess
from pathlib import Path

BUILD = Path(__file__).parents[1] / "cards" / "string_human_core" / "build.py"


def mmseqs(work: Path, *arguments: str) -> None:
    """Run MMseqs2 in the work folder."""
    subprocess.run(["mmseqs", *arguments], cwd=work, check=True)


def read_table(path: Path) -> list[tuple[str, str]]:
    """Read (representative, member) pairs."""
    pairs = (line.split("\t") for line in path.read_text().splitlines())
    return [(representative, member) for representative, member in pairs]


def main() -> None:
    """Build both files."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--threads", default="2")
    options = parser.parse_args()
    build = runpy.run_path(str(BUILD))
    work = options.work.resolve()
    sequences = build["swissprot_2014"](build["fetch"](work))
    text = "".join(f">{name}\n{sequences[name]}\n" for name in sorted(sequences))
    # No time in its header: a model card knows the corpus by the sha256 of this file.
    packed = gzip.compress(text.encode(), compresslevel=6, mtime=0)
    (work / "swissprot2014.fasta.gz").write_bytes(packed)
    threads = ("--threads", options.threads)
    covered = ("-c", "0.8", "--cov-mode", "0")
    mmseqs(work, "createdb", "swissprot2014.fasta.gz", "all")
    mmseqs(work, "linclust", "all", "half", "tmp", "--min-seq-id", "0.5", *covered, *threads)
    mmseqs(work, "createtsv", "all", "all", "half", "clusters50.tsv", *threads)
    mmseqs(work, "result2repseq", "all", "half", "representatives", *threads)
    mmseqs(
        work, "cluster", "representatives", "third", "tmp", "--min-seq-id", "0.3", "-s", "4",
        *covered, *threads,
    )  # fmt: skip
    mmseqs(work, "createtsv", *2 * ("representatives",), "third", "clusters30of50.tsv", *threads)
    upper = {member: top for top, member in read_table(work / "clusters30of50.tsv")}
    rows = sorted((upper[middle], member) for middle, member in read_table(work / "clusters50.tsv"))
    (work / "clusters30.tsv").write_text("".join(f"{top}\t{member}\n" for top, member in rows))


if __name__ == "__main__":
    main()

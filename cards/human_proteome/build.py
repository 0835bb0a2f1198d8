"""Build the embedded dataset `human_proteome` from two of the packages of `string_human_core`.

    python build.py WORK_DIR [OUT_DIR]

fetches and unpacks them as the build script of `string_human_core` does (it fetches all four), and
writes the data files to OUT_DIR (default: beside this script).  Same packages and same zlib give
the same bytes.
"""

from __future__ import annotations

import argparse
import runpy
import sqlite3
from pathlib import Path

CORE = runpy.run_path(str(Path(__file__).parents[1] / "string_human_core" / "build.py"))
# A longer word may be a sequence, so names are looked for among shorter ones only.
LONGEST_NAME = 19


def assemble(unpacked: Path) -> dict[str, str]:
    """Return the text of every file of the dataset by name.

    A gene with several Swiss-Prot entries gets the first in alphabetical order, as in
    `string_human_core`.
    """
    sequences = CORE["swissprot_2014"](unpacked)
    genes = sqlite3.connect(unpacked / CORE["R_LIBRARY"] / "org.Hs.eg.db/extdata/org.Hs.eg.sqlite")
    symbols = dict(genes.execute("select _id, symbol from gene_info"))
    entrez = dict(genes.execute("select _id, gene_id from genes"))
    accessions = CORE["inverted"](genes.execute("select _id, uniprot_id from uniprot"))
    aliases = CORE["inverted"](genes.execute("select _id, alias_symbol from alias"))
    entry = {
        gene: min(known)
        for gene, all_of_it in accessions.items()
        if (known := all_of_it & sequences.keys())
    }
    by_symbol = {symbols[gene]: gene for gene in entry}
    if len(by_symbol) != len(entry):
        raise SystemExit("two genes have one symbol")
    rows = (
        (symbol, symbol, entry[gene], entrez[gene], "|".join(other_names(aliases[gene], symbol)))
        for symbol, gene in by_symbol.items()
    )
    return {
        "proteins.tsv.gz": CORE["table"]("protein symbol uniprot entrez aliases", rows),
        "sequences.fa.gz": "".join(
            f">{symbol}\n{sequences[entry[by_symbol[symbol]]]}\n" for symbol in sorted(by_symbol)
        ),
    }


def other_names(aliases: set[str], symbol: str) -> list[str]:
    """Return the aliases of a gene that can be told from a sequence by their length."""
    return sorted(
        name
        for name in aliases - {symbol}
        if len(name) <= LONGEST_NAME and "|" not in name and name == name.strip()
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path, help="where to download and unpack")
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent)
    arguments = parser.parse_args()
    CORE["write_files"](arguments.out, assemble(CORE["fetch"](arguments.work)))


if __name__ == "__main__":
    main()

"""Every number of a shipped model's card, again from its files and the data.

    python benchmarks/quality.py lcplm-1m --parts homology function link
    python benchmarks/quality.py lcplm-g-2m --parts relation

Each part compares the model with composition, composition + dipeptides and random weights of its
shape (and with another model), with bootstrap intervals and intervals of the paired differences,
and writes models/weights/NAME/quality/PART.json; then the card is written anew.  Embeddings and
the answers of heads are kept below LCPLM_DATA, so that a part that was stopped goes on, and a
second model does not compute the baselines again.

A part takes about five minutes on one core for a model of a million parameters.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

from quality_parts import function, homology, link, perplexity
from quality_parts.models import compared, folder_of, weights_of

from lcplm_graph.errors import LcPlmError
from lcplm_graph.evaluation.model_card import write_card
from lcplm_graph.models.names import QUALITY
from lcplm_graph.models.shipped import shipped_encoders

PARTS = {
    "perplexity": perplexity.measure,
    "homology": homology.measure,
    "function": function.measure,
    "link": link.measure,
    "relation": link.measure_relation,
}


def main() -> int:
    options = _parse()
    try:
        options.folder = folder_of(options.name)
        options.name = options.folder.name
        options.control = None if options.against is None else folder_of(options.against).name
        models = compared(
            options.folder, None if options.against is None else folder_of(options.against)
        )
        for part in options.parts:
            start = perf_counter()
            comparison = PARTS[part](models, options)
            comparison.facts |= {
                "resamples": options.resamples,
                "weights": weights_of(options.folder),
            }
            comparison.save(options.folder / QUALITY / f"{part}.json")
            print(f"{part}: {perf_counter() - start:.0f} s", flush=True)
        print(f"written: {write_card(options.folder)}")
    except LcPlmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    shipped = ", ".join(shipped_encoders()) or "none yet"
    add("name", help=f"an encoder that ships ({shipped}), or a folder of lcplm release")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--against", help="another encoder, in every table beside the baselines")
    add("--seed", type=int, default=0, help="of negatives and subsamples")
    add("--split-seed", type=int, default=1, help="of the splits; as in stage 2 of a LC-PLM-G")
    add("--resamples", type=int, default=200, help="of every bootstrap")
    add("--members", type=int, default=2, help="heads of different seeds that are averaged")
    add("--steps", type=int, default=300, help="training steps of a head at most")
    add("--decoder-steps", type=int, default=1200, help="of decoders fitted for comparison")
    add("--scope", type=Path, help="folder with scope40.fasta and labels.tsv (homology)")
    add("--corpus", type=Path, help="FASTA file of stage 1 (perplexity)")
    add("--clusters", type=Path, help="its table of clusters, if stage 1 had one (perplexity)")
    add("--esm2", type=Path, help="run of stage 1 with --arch esm2 on the same data (perplexity)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Make examples/locations.tsv: where human proteins are in the cell, from the embedded data.

Experimental Gene Ontology annotations of `string_human_core`, propagated; proteins of 60 to 300
residues that are in exactly one of four places, at most 250 of each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lcplm_graph import GOFunction

PLACES = {
    "GO:0005739": "mitochondrion",
    "GO:0005634": "nucleus",
    "GO:0005886": "plasma membrane",
    "GO:0005576": "extracellular",
}
OUT = Path(__file__).resolve().parents[1] / "examples" / "locations.tsv"
EACH = 250


def main() -> None:
    dataset = GOFunction("string_human_core", aspect="CC")
    data = dataset[0]
    columns = [data.go_terms.index(term) for term in PLACES]
    labels = data.y.numpy()[:, columns]
    lengths = np.asarray(dataset.sequences.lengths)
    fits = (labels.sum(axis=1) == 1) & (lengths >= 60) & (lengths <= 300)
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(fits & labels[:, k]))[:EACH] for k in range(4)]
    rows = np.sort(np.concatenate(chosen))
    names = list(PLACES.values())
    lines = [
        f"{data.protein_id[i]}\t{dataset.sequences[int(i)]}\t{names[int(labels[i].argmax())]}\n"
        for i in rows
    ]
    OUT.write_text("id\tsequence\tlocation\n" + "".join(lines), encoding="utf-8")
    print(f"{OUT}: {len(rows)} proteins")


if __name__ == "__main__":
    main()

"""Embed a FASTA file, resumably, and look at the result.

python examples/embed_fasta.py [FILE.fasta]     (without a file: 500 human proteins that ship)
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from lcplm_graph import StringPPI, load_encoder
from lcplm_graph.evaluation.maps import draw_embeddings
from lcplm_graph.evaluation.models import shown_name
from lcplm_graph.evaluation.report import Report
from lcplm_graph.features.embed import EmbedJob
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.proteins.fasta import write_fasta


def main() -> None:
    """Embed, read back, tell, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fasta", nargs="?", type=Path)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--proteins", type=int, default=500, help="of those that ship")
    parser.add_argument("--out", type=Path, default=Path("outputs/embed_fasta"))
    options = parser.parse_args()

    if options.fasta is None:
        store = StringPPI("string_human_core").sequences
        store = store.select(np.arange(min(options.proteins, len(store))))
        options.fasta = options.out / "human.fasta"
        write_fasta(options.fasta, store.ids, store)

    encoder = load_encoder(options.encoder)
    job = EmbedJob(options.fasta, encoder, options.out / "proteins.h5")
    print(job)  # the size, before anything is written
    path = job.run()  # killed?  The same call goes on where it stopped.

    with h5py.File(path) as file:
        ids = list(file)
        embeddings = np.stack([file[name][()] for name in ids])
    report = Report("Nearest neighbours of the first proteins", {"id": "id", "near": "nearest"})
    report.facts = {"file": path, "encoder": shown_name(encoder), "proteins": len(ids)}
    x = embeddings - embeddings.mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    similar = x[:8] @ x.T
    similar[np.arange(len(similar)), np.arange(len(similar))] = -1
    for name, row in zip(ids[:8], similar, strict=False):
        report.rows.append({"id": name, "near": f"{ids[row.argmax()]}  (cosine {row.max():.3f})"})
    print(report)
    draw_embeddings(
        options.out / "embeddings.png", embeddings, [None] * len(ids), shown_name(encoder), ids
    )
    print(f"written: {path}, {options.out}/embeddings.png, {options.out}/embeddings.html")


if __name__ == "__main__":
    main()

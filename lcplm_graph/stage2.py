"""Stage 2: teach an encoder a protein graph by walks with masked residues and masked relations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lcplm_graph.command import run_command
from lcplm_graph.training.options import Stage2Options

_WALK_TOKENS = 1024


def train(options: Stage2Options) -> None:
    """Run stage 2; the results are in the folder `options.out`.

    Parameters
    ----------
    options : Stage2Options

    Raises
    ------
    LcPlmError
        If the graph, the encoder, an option or a checkpoint is not usable; the message says what
        to do.
    """
    import torch

    from lcplm_graph.process import default_dtype
    from lcplm_graph.training.resume import claimed

    with default_dtype(torch.float32), claimed(options) as checkpoint:
        _train(options, checkpoint)


def _train(options: Stage2Options, checkpoint: Path | None) -> None:
    from lcplm_graph.training.architectures import load_trainable
    from lcplm_graph.training.graphs import open_graphs
    from lcplm_graph.training.metrics import RELATION_COLUMNS
    from lcplm_graph.training.module import MaskedLMTask
    from lcplm_graph.training.plots import draw_loss
    from lcplm_graph.training.run import Run, run_training
    from lcplm_graph.training.walks import HeldOutWalks, WalkBatches

    tokens = options.walk_tokens or min(_WALK_TOKENS, options.max_tokens)
    graph = open_graphs(options, tokens)
    by_decoder = (options.relation or graph.default_relation) == "decoder"
    source = WalkBatches(
        graph.stream,
        max_tokens=round(options.walk_share * options.max_tokens)
        if by_decoder
        else options.max_tokens,
        relation_rate=options.relation_rate,
        seed=options.seed,
    )
    held_out = HeldOutWalks(
        graph.held_out,
        share=tokens // options.walk_length,
        count=options.eval_pairs,
        max_tokens=options.max_tokens,
    )
    encoder = load_trainable(options.encoder)
    facts = {
        "stage": 2,
        "graph": options.graph,
        "encoder": options.encoder,
        "encoder_fingerprint": encoder.fingerprint(),
        **graph.facts,
    }

    def finish(folder: Path) -> None:
        graph.save_split(folder)
        draw_loss(folder)

    run = Run(
        task=MaskedLMTask(encoder.model.train(), options, options.relation_weight),
        source=source,
        evaluate=held_out,
        columns=(*RELATION_COLUMNS, *held_out.columns),
        facts=facts,
        before=encoder.model.record,
        seen_edges=graph.seen_edges,
        finish=finish,
    )
    if by_decoder:
        from lcplm_graph.training.relation_task import with_decoder

        run = with_decoder(run, options, graph, encoder, resumed=checkpoint is not None)
    run_training(options, run, checkpoint)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``python -m lcplm_graph.stage2``; return the exit status."""
    return run_command("stage2", Stage2Options, train, argv, str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

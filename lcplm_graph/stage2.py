"""Stage 2: teach an encoder a protein graph by walks with masked residues and masked relations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lcplm_graph.command import run_command
from lcplm_graph.training.options import Stage2Options

if TYPE_CHECKING:
    from lcplm_graph.models.encoders import Encoder
    from lcplm_graph.training.esm2_graph import GraphModel
    from lcplm_graph.training.graphs import TrainGraph
    from lcplm_graph.training.run import Run


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
    from lcplm_graph.training.stage import run_stage

    run_stage(options, _train)


def _train(options: Stage2Options, checkpoint: Path | None) -> None:
    from lcplm_graph.io import warn_once
    from lcplm_graph.training.esm2_graph import load_for_graph
    from lcplm_graph.training.frozen_task import frozen_task
    from lcplm_graph.training.graphs import open_graphs
    from lcplm_graph.training.plots import draw_loss
    from lcplm_graph.training.run import Run, run_training
    from lcplm_graph.training.summary import summary

    relation = options.trained_relation
    if unused := options.unused():
        warn_once(f"--relation {relation} leaves {', '.join(unused)} unused")
    graph = open_graphs(options, options.most_walk_tokens)
    model, encoder = load_for_graph(options.encoder, options.lora)
    facts = {
        "stage": 2,
        "graph": options.graph,
        "encoder": options.encoder,
        "encoder_fingerprint": encoder.fingerprint(),
        **graph.facts,
    }
    if relation == "frozen":
        run = Run(*frozen_task(options, graph, model, encoder))
    else:
        run = _on_walks(options, graph, model, encoder, resumed=checkpoint is not None)

    def finish(folder: Path) -> None:
        graph.save_split(folder)
        draw_loss(folder)
        print(summary(folder))

    run_training(
        options,
        replace(
            run,
            facts=facts,
            before=model.record,
            seen_edges=graph.seen_edges,
            finish=finish,
        ),
        checkpoint,
    )


def _on_walks(
    options: Stage2Options,
    graph: TrainGraph,
    model: GraphModel,
    encoder: Encoder,
    *,
    resumed: bool,
) -> Run:
    """Make a run that trains residues and markers on walks, and a decoder if one is asked for."""
    from lcplm_graph.training.esm2_graph import freeze_first
    from lcplm_graph.training.metrics import RELATION_COLUMNS
    from lcplm_graph.training.module import MaskedLMTask
    from lcplm_graph.training.relation_task import give_marker_steps, with_decoder
    from lcplm_graph.training.run import Run
    from lcplm_graph.training.walks import HeldOutWalks, WalkBatches, growing

    by_decoder = options.trained_relation == "decoder"
    source = WalkBatches(
        graph.stream,
        max_tokens=options.walk_batch_tokens,
        relation_rate=options.relation_rate,
        seed=options.seed,
        lengths=partial(growing, options.walk_length, options.curriculum),
    )
    held_out = HeldOutWalks(
        graph.held_out,
        share=graph.stream.max_tokens // options.walk_length,
        count=options.eval_pairs,
        max_tokens=options.max_tokens,
    )
    if not by_decoder:
        give_marker_steps(model, options.marker_step)
        freeze_first(model, options.freeze)
    run = Run(
        task=MaskedLMTask(model.train(), options, options.relation_weight),
        source=source,
        evaluate=held_out,
        columns=(*RELATION_COLUMNS, *held_out.columns),
    )
    return with_decoder(run, options, graph, model, encoder, resumed=resumed) if by_decoder else run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``python -m lcplm_graph.stage2``; return the exit status."""
    return run_command("stage2", Stage2Options, train, argv, str(__doc__), locks_out=False)


if __name__ == "__main__":
    sys.exit(main())

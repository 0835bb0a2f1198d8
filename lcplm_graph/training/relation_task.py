"""`RelationTask`: stage 2 with a relation decoder and a bank of every protein's latest state."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.pooling import pool_residues, pool_spans, pooled_dim
from lcplm_graph.models.relation import Dropout, RelationDecoder, marker_log_odds
from lcplm_graph.process import initialised
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.training.data import DROPOUT_MASKS, Batch, Hops, Relations, keyed_generator
from lcplm_graph.training.esm2_graph import GraphModel, freeze_first
from lcplm_graph.training.fit_decoder import CHANNELS, DROPOUT, MEMBERS, fit_decoder
from lcplm_graph.training.graphs import TrainGraph
from lcplm_graph.training.held_out_pairs import HeldOutPairs
from lcplm_graph.training.metrics import PAIR_COLUMNS, Logits
from lcplm_graph.training.module import MaskedLMTask
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.training.relations import PairSampler, RelationBatches
from lcplm_graph.training.run import Run
from lcplm_graph.training.walks import HeldOutWalks, WalkBatches
from lcplm_graph.walks.residues import ResidueTable

MOMENTUM = 0.02
"""Share that a step's states have in the running statistics."""


def with_decoder(
    run: Run,
    options: Stage2Options,
    graph: TrainGraph,
    model: GraphModel,
    encoder: Encoder,
    *,
    resumed: bool,
) -> Run:
    """Return a run of stage 2 that trains a relation decoder too.

    Parameters
    ----------
    run : Run
        With walks alone.
    options : Stage2Options
    graph : TrainGraph
        One graph in memory.
    model : GraphModel
        Gets a decoder if it has none, fitted on its states as they are.
    encoder : Encoder
        Embeds with the model.
    resumed : bool
        Then bank and decoder come from the checkpoint.

    Raises
    ------
    ConfigError
        If the graph is of several species on disk: their proteins have no bank.
    """
    split, residues, sequences = _in_memory(graph)
    walks, held_out = run.source, run.evaluate
    assert isinstance(walks, WalkBatches)
    assert isinstance(held_out, HeldOutWalks)
    sampler, pool = PairSampler(split), model.config.pool
    width = pooled_dim(model.config.hidden_size, pool)
    bank = torch.zeros(split.num_nodes, width, dtype=torch.float32, device="cpu")
    if not resumed:
        # Before there is a new decoder: states are kept by what the encoder is made of.
        proteins = sequences.select(sampler.seen)
        states = cached_embeddings(encoder.eval(), proteins, pool, progress=True)
        bank[torch.from_numpy(sampler.seen)] = states
    decoder = give_decoder(model, options.seed)
    give_marker_steps(model, options.marker_step)
    if not resumed:
        fit_decoder(decoder, bank, split, steps=options.fit_steps, seed=options.seed)
    source = RelationBatches(
        walks,
        sampler,
        residues,
        max_tokens=options.max_tokens - walks.max_tokens,
        seed=options.seed,
    )
    task = RelationTask(model.train(), options, bank)
    pairs = HeldOutPairs(split, residues, held_out.pairs, options.max_tokens)

    def evaluate(logits: Logits, device: torch.device) -> dict[str, float]:
        return held_out(logits, device) | pairs(model, device)

    return replace(
        run,
        task=task,
        source=source,
        evaluate=evaluate,
        columns=(*run.columns, *PAIR_COLUMNS, *pairs.columns),
    )


def _in_memory(graph: TrainGraph) -> tuple[Split, ResidueTable, SequenceStore]:
    if len(graph.held_out) != 1 or graph.sequences is None:
        raise ConfigError(
            "the relation decoder needs one graph in memory; give --relation marker for several "
            "species"
        )
    return *graph.held_out[0], graph.sequences


def give_decoder(model: GraphModel, seed: int) -> RelationDecoder:
    """Return the model's decoder; one that has none gets a new one."""
    if model.relation is None:
        with initialised(seed):
            model.add_relation_decoder(CHANNELS, MEMBERS)
    assert model.relation is not None  # it has one now
    return model.relation


def give_marker_steps(model: GraphModel, value: float | None) -> None:
    """Let the model forget between the proteins of a stream, if that is asked for.

    Raises
    ------
    ConfigError
        If the model is not an LC-PLM, or has such steps.
    """
    if value is None:
        return
    if not isinstance(model, LcPlmForMaskedLM):
        raise ConfigError("--marker-step is for an LC-PLM; an ESM-2 carries no state along")
    model.add_marker_steps(value)


class RelationTask(MaskedLMTask):
    """Train a masked language model and its relation decoder, with a bank of pooled states.

    Parameters
    ----------
    model : LcPlmForMaskedLM
        With a relation decoder.
    options : Stage2Options
    bank : Tensor, dtype=float32, shape=(num_nodes, width)
        Pooled state of every protein; part of the checkpoint.
    """

    bank: Tensor
    default_decoder_lr = 1e-3

    def __init__(self, model: GraphModel, options: Stage2Options, bank: Tensor) -> None:
        super().__init__(model, options, options.relation_weight)
        self.stage2 = options
        self.pair_weight = options.pair_weight
        self.register_buffer("bank", bank)
        self._fresh: list[tuple[int, Tensor, Tensor]] = []
        freeze_first(model, options.freeze)

    @property
    def decoder(self) -> RelationDecoder:
        """The decoder of the model."""
        decoder = self.model.relation
        assert isinstance(decoder, RelationDecoder)  # stage 2 adds it
        return decoder

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the loss of a batch, and its summed scores."""
        assert batch.relations is not None  # every batch of `RelationBatches` has some
        output = self.model(batch.input_ids, cu_seqlens=batch.cu_seqlens, output_hidden_states=True)
        packed = PackedTokens(batch.input_ids, batch.cu_seqlens)
        pool = self.model.config.pool  # type: ignore[union-attr]
        states = output.hidden_states[-1].float()
        pooled = pool_residues(states, packed, pool)[batch.relations.streams]  # type: ignore[arg-type]
        paired = self.pair_scores(pooled, batch.relations, batch.number)
        paired = paired + self._hop_scores(states, output.logits, batch.relations.hops)
        result = self.finish_step(batch, output.logits, paired)
        self._fresh.append((batch.number, batch.relations.nodes, pooled.detach()))
        return result

    def pair_scores(self, pooled: Tensor, relations: Relations, number: int) -> Tensor:
        """Sum up loss and hits over pairs whose partners come from the bank."""
        dropout = Dropout(DROPOUT, keyed_generator(self.options.seed, DROPOUT_MASKS, number))
        with torch.autocast(pooled.device.type, enabled=False):
            a = self.decoder.embed(pooled, dropout)[:, relations.left]
            b = self.decoder.embed(self.bank[relations.partners], dropout)
            each = self.decoder.each(a, b, dropout)
            labels = relations.labels.expand_as(each)
            # The rarer label counts as much as the other.
            share = relations.labels.mean().clamp(1e-6, 1 - 1e-6)
            weight = torch.where(labels > 0, 0.5 / share, 0.5 / (1 - share))
            loss = F.binary_cross_entropy_with_logits(each, labels, weight, reduction="none")
        hits = (each.detach().mean(0) > 0) == (relations.labels > 0)
        return torch.stack([loss.mean(0).sum(), hits.sum().float(), labels.new_tensor(len(hits))])

    def _hop_scores(self, states: Tensor, logits: Tensor, hops: Hops) -> Tensor:
        """Sum up the same over masked markers, from marker and states inside the walks."""
        pool = self.model.config.pool  # type: ignore[union-attr]
        with torch.autocast(states.device.type, enabled=False):
            a, b = (
                self.decoder.embed(pool_spans(states, span, pool))  # type: ignore[arg-type]
                for span in (hops.left, hops.right)
            )
            marker = marker_log_odds(logits[hops.at])
            score = self.decoder(a, b, marker)
            loss = F.binary_cross_entropy_with_logits(score, hops.labels, reduction="sum")
        hits = (score.detach() > 0) == (hops.labels > 0)
        return torch.stack([loss, hits.sum().float(), loss.new_tensor(len(hits))])

    def optimizer_step(self, *args: object, **kwargs: object) -> None:
        """Step, and then put the states of the step's batches into the bank."""
        super().optimizer_step(*args, **kwargs)  # type: ignore[arg-type]
        self._remember()

    def _remember(self) -> None:
        """Put fresh states into the bank in the order of their batches, those of all ranks."""
        fresh, self._fresh = self._fresh, []
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            gathered: list[list[tuple[int, Tensor, Tensor]]] = [
                [] for _ in range(torch.distributed.get_world_size())
            ]
            own = [(number, nodes.cpu(), states.cpu()) for number, nodes, states in fresh]
            torch.distributed.all_gather_object(gathered, own)
            fresh = [item for part in gathered for item in part]
        for _, nodes, states in sorted(fresh, key=lambda item: item[0]):
            self.bank[nodes.to(self.bank.device)] = states.to(self.bank)
            self.decoder.observe(states.to(self.bank.device), MOMENTUM)

    def learning_rate(self, name: str) -> float:
        """Return the highest learning rate of a parameter by its name."""
        if name.startswith("model.relation.") or name.endswith(".marker_step_bias"):
            return self.stage2.decoder_lr or self.default_decoder_lr
        return self.options.lr

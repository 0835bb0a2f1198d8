"""`PropertyModel`: an encoder and a head that were trained on labels, to load and to ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lcplm_graph import __version__
from lcplm_graph.errors import CheckpointError, ConfigError, InputError
from lcplm_graph.finetuning.model_files import (
    check_head,
    load_head,
    read_target,
    save_encoder,
    save_head,
)
from lcplm_graph.finetuning.target import Array, Target
from lcplm_graph.heads.property import PropertyHead
from lcplm_graph.io import copy_folder, whole_folder, write_json
from lcplm_graph.models.checkpoints import read_json
from lcplm_graph.models.config_checks import Bounds, check_number
from lcplm_graph.models.encoder import MAX_TOKENS, Encoder, length_sorted_batches
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.folder import ModelFolder, Record, model_folder
from lcplm_graph.models.pooling import pool_residues, pooled_dim
from lcplm_graph.models.unlike import warn_of_unlike
from lcplm_graph.options import check_counts
from lcplm_graph.pairs import IntArray, ordered_pairs
from lcplm_graph.process import checked_device, initialised, reused_memory, without_autocast
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.strings import string_list, string_pairs
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.tokens.vocabulary import encode_residues, normal_form

FORMAT = 1

_NEARLY_ALL = 0.998
_NEAR, _NEAR_OF_RESIDUES = 2.0, 1.5
"""Distances that are never far, however few proteins there were to learn from.  Their mean is 1,
and the mean of a protein's residues varies less than its pooled states."""


@dataclass(frozen=True)
class HeadOptions:
    """Shape of a head.

    Attributes
    ----------
    channels : int
        Of the hidden layer; 0 for none.
    dropout : float
    """

    channels: int = 128
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_counts(self, "channels", least=0)


class PropertyModel(nn.Module):
    """An encoder with a head for a property of proteins, of their residues, or of pairs.

    Parameters
    ----------
    encoder : Encoder
    target : Target
    paired : bool
        Answers are of pairs.
    pool : str, optional
        Default: what the encoder recommends.
    head : HeadOptions

    Attributes
    ----------
    farthest : float or None
        Distance (`PropertyHead.distance`) within which nearly all proteins of training lie; answers
        for proteins beyond it come with a warning. None where it is not known.

    Examples
    --------
    >>> model = PropertyModel(load_encoder("composition"), Target("binary", ("no", "yes")))
    >>> model.predict(["MKTAYIAK"]).columns.tolist()
    ['prediction', 'p(yes)']
    """

    def __init__(
        self,
        encoder: Encoder,
        target: Target,
        *,
        paired: bool = False,
        pool: str | None = None,
        head: HeadOptions = HeadOptions(),
    ) -> None:
        super().__init__()
        self.encoder, self.target, self.paired = encoder, target, paired
        self.pool = encoder.chosen_pool(pool)
        self.options = head
        self.farthest: float | None = None
        width = encoder.dim if self.per_residue else pooled_dim(encoder.dim, self.pool)
        with encoder.device:  # where its features are
            self.head = PropertyHead(
                width, target.outputs, channels=head.channels, dropout=head.dropout, paired=paired
            )
        self.eval()

    @property
    def per_residue(self) -> bool:
        """Whether answers are of residues."""
        return self.target.kind == "residue"

    @property
    def device(self) -> torch.device:
        """Device of the head."""
        return next(self.head.parameters()).device

    def features(self, packed: PackedTokens) -> Tensor:
        """Return what the head reads: one row for each protein, or for each residue.

        Differentiable if gradients are on.
        """
        states = self.encoder.encode(packed)
        if self.per_residue:
            first, last = packed.cu_seqlens[:-1].long(), packed.cu_seqlens[1:].long() - 1
            inside = torch.ones(len(states), dtype=torch.bool, device=states.device)
            inside[first] = inside[last] = False
            return states[inside]
        return pool_residues(states, packed, self.pool)

    def forward(self, packed: PackedTokens, pairs: Tensor | None = None) -> Tensor:
        """Return logits, shape (n, outputs): of streams, of residues, or of pairs of streams."""
        return self.head(self.features(packed), pairs)

    def features_of(
        self, sequences: Sequence[str], *, max_tokens: int = MAX_TOKENS, progress: bool = False
    ) -> Iterator[tuple[IntArray, Tensor]]:
        """Yield the numbers of some sequences and their features, batch by batch.

        In evaluation mode, without gradients; a protein longer than the budget is alone in its
        batch and never cut.
        """
        lengths = np.array([len(s) for s in sequences], np.int64)
        bar = tqdm(total=int(lengths.sum()), unit="res", unit_scale=True, disable=not progress)
        with torch.no_grad(), reused_memory(), bar:
            for batch in length_sorted_batches(lengths, max_tokens):
                packed = self.encoder.tokenize([sequences[i] for i in batch]).to(self.device)
                with evaluating(self.encoder, autocast=True):
                    found = self.features(packed).float()
                yield batch, found
                bar.update(int(lengths[batch].sum()))

    def logits(
        self,
        sequences: Sequence[str],
        pairs: IntArray | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        progress: bool = False,
    ) -> Tensor | list[Tensor]:
        """Return logits of proteins, of pairs of them, or of the residues of each.

        Parameters
        ----------
        sequences : sequence of str
        pairs : ndarray, dtype=int64, shape=(p, 2), optional
            Rows of `sequences`, for a model of pairs.
        max_tokens, progress
            As in `Encoder.embed`.

        Returns
        -------
        Tensor, shape=(n or p, outputs), on the CPU; of residues a list of Tensor (L, outputs)

        Raises
        ------
        InputError
            If pairs are missing for a model of pairs, given for another one, or name no sequence.
        SequenceError
            If a sequence is empty or holds a character other than a letter.
        """
        return self._asked(_texts(sequences), pairs, max_tokens, progress)[0]

    def _asked(
        self, sequences: Sequence[str], pairs: IntArray | None, max_tokens: int, progress: bool
    ) -> tuple[Tensor | list[Tensor], Array]:
        """Return logits, and the distance of each protein; sequences are in their normal form."""
        if pairs is not None:
            pairs = ordered_pairs(pairs, len(sequences))
        if (pairs is not None) != self.paired:
            of = "pairs; give rows of the sequences" if self.paired else "proteins; give no pairs"
            raise InputError(f"this model answers for {of}")
        batches = self.features_of(sequences, max_tokens=max_tokens, progress=progress)
        far = np.empty(len(sequences))
        if self.per_residue:
            parts: list[Tensor] = [torch.empty(0, device="cpu")] * len(sequences)
            for batch, features in batches:
                sizes = [len(sequences[i]) for i in batch]
                with torch.no_grad(), evaluating(self.head, autocast=True):
                    found = self.head(features).cpu().split(sizes)
                own = self.head.distance(features).cpu().split(sizes)
                for i, rows, each in zip(batch, found, own, strict=True):
                    parts[i], far[i] = rows, each.mean()
            return parts, far
        known = torch.empty(len(sequences), self.head.width, dtype=torch.float32, device="cpu")
        for batch, features in batches:
            known[torch.from_numpy(batch)] = features.cpu()
            far[batch] = self.head.distance(features).cpu()
        return self.logits_of(known, pairs), far

    def distances(
        self, sequences: Sequence[str], *, max_tokens: int = MAX_TOKENS, progress: bool = False
    ) -> Array:
        """Return the distance of each protein: of residues, their mean."""
        no_pairs = np.empty((0, 2), np.int64) if self.paired else None
        return self._asked(_texts(sequences), no_pairs, max_tokens, progress)[1]

    def learn_distances(self, far: Array) -> None:
        """Take `farthest` from the distances of proteins that the model was trained on."""
        near = _NEAR_OF_RESIDUES if self.per_residue else _NEAR
        self.farthest = max(near, float(np.quantile(far, _NEARLY_ALL)))

    def logits_of(self, features: Tensor, pairs: IntArray | None = None) -> Tensor:
        """Return logits from features (n, width), on the CPU."""
        chosen = None
        if pairs is not None:
            chosen = torch.from_numpy(ordered_pairs(pairs, len(features))).to(self.device)
        with torch.no_grad(), evaluating(self.head, autocast=True):
            return self.head(features.to(self.device), chosen).cpu()

    def answers(
        self, proteins: Iterable[str] | Iterable[tuple[str, str]], *, progress: bool = False,
        max_tokens: int = MAX_TOKENS,
    ) -> Array | list[Array]:  # fmt: skip
        """Return values in units of the labels, or probabilities of the classes or labels.

        Parameters
        ----------
        proteins : iterable of str, or of pairs of str
            Sequences; pairs for a model of pairs.
        progress : bool
        max_tokens : int

        Returns
        -------
        ndarray, dtype=float64, shape=(n,) or (n, names); of residues a list of (L, names)
            A warning counts and names proteins unlike those of training; their answers mean little.

        Raises
        ------
        InputError
            If there are no proteins, or one is longer than the encoder takes.
        SequenceError
            If a sequence is empty or holds a character other than a letter.
        """
        sequences, pairs = self._read(proteins)
        with without_autocast():  # which validation in training has, as its steps
            logits, far = self._asked(sequences, pairs, max_tokens, progress)
        if self.farthest is not None:
            names = proteins.ids if isinstance(proteins, SequenceStore) else sequences
            warn_of_unlike(far, names, self.farthest, "answers")
        if isinstance(logits, list):
            return [self.target.answers(rows) for rows in logits]
        return self.target.answers(logits)

    def predict(
        self, proteins: Iterable[str] | Iterable[tuple[str, str]], *, progress: bool = False,
        max_tokens: int = MAX_TOKENS,
    ) -> Any:  # fmt: skip
        """Return a table of answers in the names of the labels.

        Parameters and errors are those of `answers`.

        Returns
        -------
        pandas.DataFrame
            A row for each protein or pair, in the order given, with the index of a column or table
            of pandas, so that it can be put beside it: the value in a column of the label's name;
            or ``prediction``, the most probable class, the labels of at least one half with ``;``
            between, or a string of residue classes; and ``p(NAME)`` for each class or label (of
            two the second, of residues the mean of the chosen).
        """
        import pandas as pd

        from lcplm_graph.finetuning.answers import as_frame

        answers = self.answers(proteins, progress=progress, max_tokens=max_tokens)
        frame = as_frame(self.target, answers)
        if isinstance(proteins, pd.Series | pd.DataFrame):
            # pandas puts columns together by index: rows of a part of a table would be others.
            frame.index = proteins.index
        return frame

    def _read(self, proteins: Any) -> tuple[list[str], IntArray | None]:
        """Return distinct sequences for pairs, or all, in their normal form."""
        if not self.paired:
            texts = _texts(proteins)
            if not texts:
                raise InputError("there are no sequences to predict for")
            return texts, None
        place: dict[str, int] = {}
        found = string_pairs(proteins)
        if not found:
            raise InputError("there are no pairs to predict for")
        rows = [
            [place.setdefault(_checked(s, i), len(place)) for s in pair]
            for i, pair in enumerate(found)
        ]
        return list(place), np.array(rows, np.int64)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        record: Record | None = None,
        adapter: Path | None = None,
    ) -> Path:
        """Write a folder that `from_pretrained` and `load_encoder` read, whole or not at all.

        Parameters
        ----------
        folder : path-like
        record : Record, optional
            What it was trained on; default: what the encoder was.
        adapter : Path, optional
            Folder of the adapter that is merged into the encoder already; copied to ``adapter``.
        """
        with whole_folder(folder) as made:
            written = ModelFolder(made)
            family = save_encoder(self.encoder, made)
            save_head(self.head, written.head)
            write_json(
                written.property,
                {
                    "format": FORMAT,
                    "encoder": family,
                    "started_from": self.encoder.name,
                    "pool": self.pool,
                    "paired": self.paired,
                    "head": {"channels": self.options.channels, "dropout": self.options.dropout},
                    "target": self.target.as_dict(),
                    "farthest": self.farthest,
                    "version": __version__,
                },
            )
            record = record or self.encoder.record.followed_by({})
            if record:
                written.write_record(record)
            if adapter is not None:
                copy_folder(adapter, made / "adapter")
                if record:
                    ModelFolder(made / "adapter").write_record(record)
        return Path(folder)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], device: str | torch.device | None = None
    ) -> PropertyModel:
        """Load what `lcplm finetune` wrote.

        Parameters
        ----------
        folder : path-like
            Of the run, or its ``model``.
        device : str or torch.device, optional
            Default: the CPU.

        Raises
        ------
        CheckpointError
            If files are missing or damaged, or do not belong together.
        """
        path = model_folder(folder)
        files = ModelFolder(path)
        if not files.property.is_file():
            raise CheckpointError(
                f"{folder}: there is no {files.property.name} here; give a folder that lcplm "
                "finetune wrote"
            )
        stored = read_json(files.property)
        try:
            if stored["format"] != FORMAT:
                raise CheckpointError(
                    f"{files.property}: format {stored['format']!r}, this version reads {FORMAT}"
                )
            target = read_target(stored["target"], files.property)
            check_head(stored["head"], files.head)
            encoder = load_encoder(path)
            with initialised(0):  # of the head, whose weights are read below
                model = cls(
                    encoder,
                    target,
                    paired=bool(stored["paired"]),
                    pool=stored["pool"],
                    head=HeadOptions(**stored["head"]),
                )
            farthest = stored.get("farthest")  # folders of earlier versions lack it
            if farthest is not None:
                check_number("farthest", farthest, Bounds(float, 0, sys.float_info.max))
            model.farthest = farthest
        except (KeyError, TypeError, ConfigError) as error:
            reason = str(error) if isinstance(error, ConfigError) else repr(error)
            raise CheckpointError(
                f"{files.property}: not what lcplm finetune writes ({reason})"
            ) from error
        load_head(model.head, files.head)
        return model.to(checked_device(device or "cpu")).eval()


def _texts(proteins: Iterable[str]) -> list[str]:
    """Return sequences in their normal form, which is what the encoder sees."""
    texts = string_list(proteins)
    names = proteins.ids if isinstance(proteins, SequenceStore) else None
    return [_checked(text, names[i] if names else i) for i, text in enumerate(texts)]


def _checked(sequence: str, record: str | int) -> str:
    encode_residues(sequence, record=record)
    return normal_form(sequence)

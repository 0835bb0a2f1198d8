"""`LcPlmTokenizer`: the project's tokens for Hugging Face's tools, with the same ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizer

from lcplm_graph.errors import ConfigError, SequenceError
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.remote import add_remote_code
from lcplm_graph.tokens.vocabulary import TOKEN_TO_ID, TOKENS, encode_piece

_MARKERS = ["[BON]", "[EON]", "[EDGE]", "[NO_EDGE]", "<null_1>"]
_RELATIONS = ("<mask>", "[EDGE]", "[NO_EDGE]")


class LcPlmTokenizer(PreTrainedTokenizer):
    """Proteins as token ids: ``<cls> residues <eos>``, and pairs as walks of two proteins.

    The ids are those of `lcplm_graph.tokens`: lower case is folded, a final ``*`` is dropped,
    letters outside the alphabet become ``X``, and what is not a letter is refused.  A pair is
    ``<cls> [BON] a [EON] relation [BON] b [EON] <eos>``, the grammar of stage 2.

    Parameters
    ----------
    relation : {"<mask>", "[EDGE]", "[NO_EDGE]"}
        What stands between the proteins of a pair: masked, as the relation is what is asked.
    **options
        Of every Hugging Face tokenizer, such as ``padding_side`` and ``model_max_length``.

    Raises
    ------
    ConfigError
        If the relation is not one of these.

    Examples
    --------
    >>> tokenizer = LcPlmTokenizer()
    >>> tokenizer("MKT").input_ids
    [0, 20, 15, 11, 2]
    >>> tokenizer.decode(tokenizer("MK", "G").input_ids)
    '<cls>[BON]MK[EON]<mask>[BON]G[EON]<eos>'
    """

    vocab_files_names: dict[str, str] = {}  # noqa: RUF012 (name and type are Hugging Face's)
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self, relation: str = "<mask>", **options: Any) -> None:
        if relation not in _RELATIONS:
            raise ConfigError(f"relation must be {', '.join(_RELATIONS)}, not {relation!r}")
        self.relation = relation
        names = ("cls", "pad", "eos", "unk", "mask")
        options |= {f"{name}_token": f"<{name}>" for name in names}
        for name in ("extra_special_tokens", "additional_special_tokens"):
            options.pop(name, None)
        super().__init__(relation=relation, additional_special_tokens=_MARKERS, **options)

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoTokenizer") -> None:
        """Do nothing: the code of this class is this package, and is not copied into folders."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(TOKENS)

    def get_vocab(self) -> dict[str, int]:
        """Return all tokens with their ids."""
        return dict(TOKEN_TO_ID)

    def tokenize(self, text: str, **options: Any) -> list[str]:  # type: ignore[override]
        """Split a protein, in which special tokens may be spelled out, into tokens.

        Raises
        ------
        SequenceError
            If it is empty or holds a character that is not a letter.
        """
        if not text:
            raise SequenceError("the sequence is empty; a protein needs at least one residue")
        return super().tokenize(text, **options)

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return [TOKENS[i] for i in encode_piece(text)]

    def _convert_token_to_id(self, token: str) -> int:
        return TOKEN_TO_ID.get(token, TOKEN_TO_ID["<unk>"])

    def _convert_id_to_token(self, index: int) -> str:
        # Embedding tables have more rows than there are tokens.
        return TOKENS[index] if 0 <= index < len(TOKENS) else "<unk>"

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join tokens without spaces."""
        return "".join(tokens)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Frame the residues of one protein or of two."""
        ids = TOKEN_TO_ID
        if token_ids_1 is None:
            return [ids["<cls>"], *token_ids_0, ids["<eos>"]]
        return [
            ids["<cls>"], ids["[BON]"], *token_ids_0, ids["[EON]"], ids[self.relation],
            ids["[BON]"], *token_ids_1, ids["[EON]"], ids["<eos>"],
        ]  # fmt: skip

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 where a token is a marker, 0 where it is a residue."""
        ids = token_ids_0
        if not already_has_special_tokens:
            ids = self.build_inputs_with_special_tokens(token_ids_0, token_ids_1)
        special = set(self.all_special_ids)
        return [int(index in special) for index in ids]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return zeros; the model tells proteins apart by their markers."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    def save_pretrained(  # type: ignore[override]  # Hugging Face's has no names for its options
        self, save_directory: str | os.PathLike[str], **options: Any
    ) -> tuple[str, ...]:
        """Write ``tokenizer_config.json``, and the code by which auto classes find this class."""
        written = super().save_pretrained(save_directory, **options)
        add_remote_code(Path(save_directory))
        return written

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write nothing: the alphabet is fixed."""
        return ()


AutoTokenizer.register(LcPlmConfig, slow_tokenizer_class=LcPlmTokenizer, exist_ok=True)

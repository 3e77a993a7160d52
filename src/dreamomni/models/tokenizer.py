"""Qwen2 tokenizers: train a small one, and read prompts as plain text whatever control tokens they spell."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from dreamomni.errors import ModelError, RequestError

END_OF_TEXT = "<|endoftext|>"
"""Pads rows, and stands for a prompt of no tokens at all."""
END_OF_TURN = "<|im_end|>"
"""Ends an answer."""
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"
IMAGE_PAD = "<|image_pad|>"
VIDEO_PAD = "<|video_pad|>"

CONTROL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    VISION_START,
    VISION_END,
    "<|vision_pad|>",
    IMAGE_PAD,
    VIDEO_PAD,
)
"""The control tokens of Qwen2-VL, in the order of their ids."""

_NUM_BYTES = 256

# A pipeline wraps its tokenizer anew for each request, and copying 150 000 tokens takes a second.
_plain_copies: WeakKeyDictionary[Any, Tokenizer] = WeakKeyDictionary()


def train_tokenizer(corpus: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """Train byte-level BPE on a corpus, with Qwen2's way of cutting words and its control tokens.

    Any text can be encoded: what the corpus does not cover falls back to bytes.

    Args:
        corpus: Texts. A word that they repeat becomes one token while the vocabulary has room.
        vocab_size: Most tokens, control tokens included. A small corpus gives fewer.

    Raises:
        ModelError: `vocab_size` does not hold the 256 bytes and the control tokens.
    """
    smallest = _NUM_BYTES + len(CONTROL_TOKENS)
    if vocab_size < smallest:
        raise ModelError(f"a vocabulary of {vocab_size} tokens is too small: it needs {smallest} at least")
    empty = Qwen2Tokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE())
    learner.normalizer = empty.normalizer
    learner.pre_tokenizer = empty.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(CONTROL_TOKENS),
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(corpus, trainer)
    learned = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        pad_token=END_OF_TEXT,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(CONTROL_TOKENS)})
    # Not above: the constructor would give it the first id.
    tokenizer.eos_token = END_OF_TURN
    return tokenizer


def encode_plain(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return token ids of texts; a text that spells a control token is read letter by letter.

    Args:
        tokenizer: A fast tokenizer of transformers.
        texts: Encoded in one batch.

    Raises:
        RequestError: A text is not valid Unicode.
    """
    for index, text in enumerate(texts):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                f"prompt {index + 1} is not valid Unicode: character {error.start + 1} is a lone surrogate"
            ) from None
    plain = _plain_copies.get(tokenizer)
    if plain is None:
        plain = _plain_copies[tokenizer] = _without_control_tokens(tokenizer.backend_tokenizer)
    return [encoding.ids for encoding in plain.encode_batch_fast(list(texts), add_special_tokens=False)]


def _without_control_tokens(tokenizer: Tokenizer) -> Tokenizer:
    state = json.loads(tokenizer.to_str())
    state |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    return Tokenizer.from_str(json.dumps(state))

"""Words to what FLUX.1 reads: the pooled vector of CLIP and the token sequence of T5.

Both read the same words. CLIP sees the first 77 tokens of them, T5 512, padded without a mask, as FLUX.1 was
trained. Control tokens that a prompt spells are read as plain text.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamomni.errors import RequestError

MAX_CLIP_TOKENS = 77
MAX_T5_TOKENS = 512


def pooled_text(
    clip: Any, tokenizer: Any, prompts: Sequence[str], device: torch.device | None = None
) -> Tensor:
    """Return CLIP's pooled output, (B, width), in the dtype of the network.

    Args:
        clip: A `CLIPTextModel`.
        tokenizer: Its tokenizer.
        prompts: B texts.
        device: Where the network computes; None means where its weights are.

    Raises:
        RequestError: A prompt is not valid Unicode.
    """
    most = min(MAX_CLIP_TOKENS, int(tokenizer.model_max_length))
    ids = _token_ids(tokenizer, prompts, most)
    return clip(ids.to(device or clip.device), output_hidden_states=False).pooler_output.to(clip.dtype)


def sequence_text(
    t5: Any, tokenizer: Any, prompts: Sequence[str], device: torch.device | None = None
) -> Tensor:
    """Return T5's last hidden states, (B, 512, width), in the dtype of the network.

    Args:
        t5: A `T5EncoderModel`.
        tokenizer: Its tokenizer.
        prompts: B texts.
        device: Where the network computes; None means where its weights are.

    Raises:
        RequestError: A prompt is not valid Unicode.
    """
    ids = _token_ids(tokenizer, prompts, MAX_T5_TOKENS)
    return t5(ids.to(device or t5.device), output_hidden_states=False)[0].to(t5.dtype)


def num_tokens(tokenizer: Any, prompt: str) -> int:
    """Return the tokens of a prompt, control tokens included, if nothing were cut off."""
    return len(tokenizer(plain(tokenizer, prompt), verbose=False).input_ids)


def plain(tokenizer: Any, prompt: str) -> str:
    """Return a prompt in which no control token is spelled: a space breaks each.

    Raises:
        RequestError: The prompt is not valid Unicode.
    """
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"the prompt is not valid Unicode: character {error.start + 1} is a lone surrogate"
        ) from None
    for token in tokenizer.all_special_tokens:
        prompt = prompt.replace(token, f"{token[0]} {token[1:]}")
    return prompt


def _token_ids(tokenizer: Any, prompts: Sequence[str], length: int) -> Tensor:
    encoded = tokenizer(
        [plain(tokenizer, prompt) for prompt in prompts],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    )
    return encoded.input_ids

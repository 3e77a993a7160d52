"""A VLM that answers a message about images: Qwen2-VL and Qwen2.5-VL behind one class, without torchvision.

A message is all images in order and then the words, in the chat template of the model. A model without one
(the small ones of ours) reads and answers the plain form of `models.vlm`. Control tokens in words are text.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLForConditionalGeneration

from dreamomni.errors import ModelError
from dreamomni.models.components import LOADING_ERRORS, component_path, load_component
from dreamomni.models.processor import PaddingSide, load_processor, pad_rows
from dreamomni.models.tokenizer import END_OF_TEXT, END_OF_TURN, IMAGE_PAD, encode_plain
from dreamomni.models.vlm import VLMEncoder

CHAT_MODELS: dict[str, Any] = {
    "qwen2_vl": Qwen2VLForConditionalGeneration,
    "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
}
"""`model_type` of the configuration -> class."""

_WORDS = "\ue000words\ue001"
"""Stands for the words while a template is filled: characters that no template and no user has."""
_PROCESSOR_FILES = (("tokenizer_config.json",), ("preprocessor_config.json", "processor_config.json"))


class Answer(NamedTuple):
    """What a model wrote.

    Attributes:
        text: Without control tokens.
        ended: Whether it ended by itself, and not at the limit of tokens.
    """

    text: str
    ended: bool


class ChatVLM(VLMEncoder):
    """Qwen2-VL or Qwen2.5-VL as it is talked to. Where the model has no chat template: plain words."""

    @classmethod
    def from_pretrained(
        cls, source: str | Path, subfolder: str | None = None, torch_dtype: torch.dtype | None = None
    ) -> Self:
        """Load model and processor from one folder, or from a hub id.

        Raises:
            ModelError: It is no model of these kinds, its weights or its processor are missing or damaged, or
                its chat template does not hold a user's words and images.
        """
        folder = Path(source) / (subfolder or "")
        kind = check_vlm_folder(folder) if folder.is_dir() else _hub_model_type(source, subfolder)
        model = load_component(CHAT_MODELS[kind], source, subfolder, torch_dtype)
        processor = load_processor(source, subfolder, image_token_id=model.config.image_token_id)
        template = folder / "chat_template.json"
        if processor.chat_template is None and template.is_file():
            processor.chat_template = _read_template(template)
        vlm = cls(model, processor)
        vlm._frame(1)
        return vlm

    def token_ids(
        self,
        prompts: Sequence[str],
        image_grid_thw: Tensor | None = None,
        image_counts: Sequence[int] | None = None,
        answers: Sequence[str] | None = None,
        padding_side: PaddingSide = "right",
    ) -> dict[str, Tensor]:
        """Return token ids as `VLMEncoder.token_ids` does: of whole messages, and the start of the answer.

        Raises:
            RequestError: A prompt is not valid Unicode, or longer than the model can read.
            ModelError: The chat template cannot be used.
        """
        if self.processor.chat_template is None:
            return super().token_ids(prompts, image_grid_thw, image_counts, answers, padding_side)
        grids = [] if image_grid_thw is None else (image_grid_thw.prod(-1) // self._merge_tokens).tolist()
        each = [len(grids) // max(len(prompts), 1)] * len(prompts)
        counts = each if image_counts is None else image_counts
        if len(counts) != len(prompts) or sum(counts) != len(grids):
            raise ValueError(f"{len(grids)} images for {len(prompts)} prompts, and the counts are {counts}")
        tokenizer = self.processor.tokenizer
        pad, end, fill = (tokenizer.convert_tokens_to_ids(t) for t in (IMAGE_PAD, END_OF_TURN, END_OF_TEXT))
        rows, lengths, remaining = [], [], iter(grids)
        for words, count in zip(encode_plain(tokenizer, prompts), counts, strict=True):
            before, after = self._frame(count)
            row: list[int] = []
            for token in before:
                row += [pad] * next(remaining) if token == pad else [token]
            rows.append([*row, *words, *after])
            lengths.append(len(rows[-1]))
        if answers is not None:
            for row, ids in zip(rows, encode_plain(tokenizer, answers), strict=True):
                row += [*ids, end]
        self._check_lengths(rows)
        asked = lengths if answers is not None else None
        return pad_rows(rows, image_token=pad, fill=fill, side=padding_side, prompt_lengths=asked)

    @torch.no_grad()
    def reply(
        self,
        prompts: Sequence[str],
        images: Sequence[Sequence[Image.Image]] | None = None,
        *,
        max_new_tokens: int = 512,
    ) -> list[Answer]:
        """Return the most likely answer to each message; greedy, so that the same message has one answer.

        Args:
            prompts: B texts.
            images: For each its images, in order, RGB.
            max_new_tokens: Most tokens of an answer.

        Raises:
            RequestError: A message cannot be read; see `tokenize`.
        """
        inputs = {
            k: v.to(self.device) for k, v in self.tokenize(prompts, images, padding_side="left").items()
        }
        tokenizer = self.processor.tokenizer
        ends = [tokenizer.convert_tokens_to_ids(token) for token in (END_OF_TURN, END_OF_TEXT)]
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        # What published models say of sampling is of no use to a greedy answer, and would be warned about.
        output = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=ends,
            pad_token_id=ends[1],
        )
        answers = []
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            stop = next((place for place, token in enumerate(row) if token in ends), None)
            text = tokenizer.decode(row[:stop], skip_special_tokens=True)
            answers.append(Answer(text.strip(), stop is not None))
        return answers

    def _frame(self, num_images: int) -> tuple[list[int], list[int]]:
        """The tokens of a message before and behind its words; each image is one `<|image_pad|>`."""
        template = self.processor.chat_template
        if template is None:
            return [], []
        content = [*({"type": "image"} for _ in range(num_images)), {"type": "text", "text": _WORDS}]
        message = [{"role": "user", "content": content}]
        try:
            text = self.processor.tokenizer.apply_chat_template(
                message, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"the chat template of the model cannot be filled: {error}") from error
        parts = text.split(_WORDS)
        if len(parts) != 2 or parts[0].count(IMAGE_PAD) != num_images or IMAGE_PAD in parts[1]:
            raise ModelError(
                f"the chat template of the model does not put {num_images} images and the user's words, in "
                "this order, into a message: use the template of Qwen2-VL"
            )
        before, after = (self.processor.tokenizer.encode(part, add_special_tokens=False) for part in parts)
        return before, after


def build_chat_vlm(encoder: VLMEncoder) -> ChatVLM:
    """The same model and processor, to talk to."""
    return ChatVLM(encoder.model, encoder.processor)


def check_vlm_folder(folder: Path) -> str:
    """Return the `model_type` of a local folder that holds a VLM of a known kind and its processor.

    Raises:
        ModelError: It holds none, or not the processor.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no config.json, so there is no VLM to load: check the path")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} is not JSON: {error}") from None
    kind = _known_kind(str(folder), config.get("model_type") if isinstance(config, dict) else None)
    missing = [
        " or ".join(names)
        for names in _PROCESSOR_FILES
        if not any((folder / name).is_file() for name in names)
    ]
    if missing:
        raise ModelError(
            f"{folder} holds a VLM but not its processor: it lacks {' and '.join(missing)}; copy them from "
            "the model that it was trained from"
        )
    return kind


def _hub_model_type(source: str | Path, subfolder: str | None) -> str:
    where = component_path(source, subfolder)
    if Path(source).exists() or Path(source).is_absolute() or str(source).startswith((".", "~")):
        raise ModelError(f"{where} is not a folder, so there is no VLM to load: check the path")
    try:
        config = AutoConfig.from_pretrained(str(source), subfolder=subfolder or "")
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{where} cannot be loaded as a VLM: {reason}") from error
    return _known_kind(where, config.model_type)


def _known_kind(where: str, kind: Any) -> str:
    if kind not in CHAT_MODELS:
        raise ModelError(
            f"{where} describes a model of kind {kind!r}, but one of {', '.join(CHAT_MODELS)} is needed"
        )
    return str(kind)


def _read_template(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["chat_template"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} holds no chat template: {error!r}") from None

"""Prompts and images to the features that condition the DiT: Qwen2-VL up to its penultimate layer.

DreamOmni section 3.1 takes the features of the last layer but one. Images of a prompt come first, in order,
each as `<|vision_start|><|image_pad|>...<|vision_end|>`, then the text. Control tokens in a prompt are text.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from diffusers.utils.accelerate_utils import apply_forward_hook
from PIL import Image
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dreamomni.errors import RequestError
from dreamomni.models.components import load_component
from dreamomni.models.processor import (
    ImageOnlyQwenVLProcessor,
    PaddingSide,
    image_patches,
    load_processor,
    pad_rows,
)
from dreamomni.models.tokenizer import (
    END_OF_TEXT,
    END_OF_TURN,
    IMAGE_PAD,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    encode_plain,
    train_tokenizer,
)

__all__ = ["ImageOnlyQwenVLProcessor", "TextFeatures", "VLMEncoder", "build_mini_vlm"]

_MODEL_INPUTS = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw")
_MAX_ASPECT_RATIO = 200


class TextFeatures(NamedTuple):
    """Features of a batch of prompts, padded on the right.

    Attributes:
        hidden_states: (B, T, D). What lies behind a prompt's last token is unspecified: mask it.
        attention_mask: (B, T) bool, true for tokens of the prompt.
    """

    hidden_states: Tensor
    attention_mask: Tensor


class VLMEncoder:
    """Qwen2-VL as an encoder of prompts with images.

    Attributes:
        model: The whole network, language head included: train, move and save it as any other.
        processor: Its tokenizer and image processor.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration, processor: Any) -> None:
        self.model = model
        self.processor = processor

    @classmethod
    def from_pretrained(
        cls, source: str | Path, subfolder: str | None = None, torch_dtype: torch.dtype | None = None
    ) -> Self:
        """Load from a folder or a hub id.

        The processor is read from the folder of the weights, or from a folder `processor` beside it.

        Raises:
            ModelError: Nothing is there, it is another kind of model, or weights are missing or not finite.
        """
        model = load_component(Qwen2VLForConditionalGeneration, source, subfolder, torch_dtype)
        folder = Path(source) / (subfolder or "")
        beside = folder.parent / "processor"
        if folder.is_dir() and not (folder / "tokenizer_config.json").is_file() and beside.is_dir():
            return cls(model, load_processor(beside, image_token_id=model.config.image_token_id))
        processor = load_processor(source, subfolder, image_token_id=model.config.image_token_id)
        return cls(model, processor)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model and its processor into one folder, as published Qwen2-VL checkpoints are."""
        self.model.save_pretrained(str(folder))
        self.processor.save_pretrained(str(folder))

    @property
    def width(self) -> int:
        """Channels of the features."""
        return int(self.model.config.text_config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return execution_device(self.model)

    @property
    def image_multiple(self) -> int:
        """Pixels per image token on each axis; images of other sizes are resized to a multiple."""
        return int(self.processor.image_processor.patch_size * self.processor.image_processor.merge_size)

    def token_ids(
        self,
        prompts: Sequence[str],
        image_grid_thw: Tensor | None = None,
        image_counts: Sequence[int] | None = None,
        answers: Sequence[str] | None = None,
        padding_side: PaddingSide = "right",
    ) -> dict[str, Tensor]:
        """Return `input_ids`, `attention_mask` and `mm_token_type_ids` (1 on images), all (B, T) int64.

        A prompt of no tokens and no images becomes the single token `<|endoftext|>`.

        Args:
            prompts: B texts; what they spell is never a control token.
            image_grid_thw: (N, 3) patches of every image, all prompts' images in order.
            image_counts: Images of each prompt; None means as many for each as there are.
            answers: What follows each prompt, ended by `<|im_end|>`; adds `labels`, which cover just that.
            padding_side: "right", or "left" to generate.

        Raises:
            RequestError: A prompt is not valid Unicode, or longer than the model can read.
        """
        grids = [] if image_grid_thw is None else (image_grid_thw.prod(-1) // self._merge_tokens).tolist()
        counts = (
            image_counts if image_counts is not None else [len(grids) // max(len(prompts), 1)] * len(prompts)
        )
        if len(counts) != len(prompts) or sum(counts) != len(grids):
            raise ValueError(
                f"{len(grids)} images for {len(prompts)} prompts, but the counts are {list(counts)}"
            )
        if answers is not None and len(answers) != len(prompts):
            raise ValueError(f"{len(answers)} answers for {len(prompts)} prompts")
        tokenizer = self.processor.tokenizer
        control = tokenizer.convert_tokens_to_ids
        start, pad, end, empty = (control(t) for t in (VISION_START, IMAGE_PAD, VISION_END, END_OF_TEXT))

        rows, prompt_lengths, remaining = [], [], iter(grids)
        for text, count in zip(encode_plain(tokenizer, prompts), counts, strict=True):
            row: list[int] = []
            for _ in range(count):
                row += [start, *[pad] * next(remaining), end]
            rows.append(row + text or [empty])
            prompt_lengths.append(len(rows[-1]))
        if answers is not None:
            # Behind a prompt a word keeps its leading space, as in running text; then it is the same token.
            spaced = [
                f" {answer}" if prompt else answer for prompt, answer in zip(prompts, answers, strict=True)
            ]
            for row, ids in zip(rows, encode_plain(tokenizer, spaced), strict=True):
                row += [*ids, control(END_OF_TURN)]
        self._check_lengths(rows)
        lengths = prompt_lengths if answers is not None else None
        return pad_rows(rows, image_token=pad, fill=empty, side=padding_side, prompt_lengths=lengths)

    def tokenize(
        self,
        prompts: Sequence[str],
        images: Sequence[Sequence[Image.Image]] | None = None,
        answers: Sequence[str] | None = None,
        padding_side: PaddingSide = "right",
    ) -> dict[str, Tensor]:
        """Return what the model reads: `token_ids`; with images, `pixel_values` and `image_grid_thw` too.

        Args:
            prompts: B texts.
            images: For each prompt its images, of any sizes.
            answers: See `token_ids`.
            padding_side: See `token_ids`.

        Raises:
            RequestError: A prompt or an image cannot be used; see `token_ids`.
        """
        if images is not None and len(images) != len(prompts):
            raise ValueError(f"{len(images)} lists of images for {len(prompts)} prompts")
        flat = [image for own in images or () for image in own]
        for image in flat:
            if max(image.size) > _MAX_ASPECT_RATIO * min(image.size):
                raise RequestError(
                    f"an image of {image.width}x{image.height} is too long to be read: one side is more than "
                    f"{_MAX_ASPECT_RATIO} times the other; crop it"
                )
        if not images or not flat:
            return self.token_ids(prompts, answers=answers, padding_side=padding_side)
        vision = self.processor.image_processor(images=flat, return_tensors="pt")
        counts = [len(own) for own in images]
        tokens = self.token_ids(prompts, vision["image_grid_thw"], counts, answers, padding_side)
        return {**tokens, "pixel_values": vision["pixel_values"], "image_grid_thw": vision["image_grid_thw"]}

    def tokenize_pixels(
        self,
        prompts: Sequence[str],
        pixels_NHWC: Tensor,
        image_counts: Sequence[int] | None = None,
        answers: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Like `tokenize`, for images that are one uint8 tensor (N, H, W, 3) already, as in training."""
        pixel_values, grid = self.image_inputs(pixels_NHWC)
        tokens = self.token_ids(prompts, grid, image_counts, answers)
        return {**tokens, "pixel_values": pixel_values, "image_grid_thw": grid}

    def image_inputs(self, pixels_NHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Return `pixel_values` (N * patches, channels of a patch) and `image_grid_thw` (N, 3).

        Equals the image processor for sizes that it does not resize, many times faster.

        Args:
            pixels_NHWC: uint8 (N, H, W, 3).

        Raises:
            ModelError: The image processor would resize this size.
        """
        return image_patches(self.processor.image_processor, pixels_NHWC)

    def reads(self, height: int, width: int) -> bool:
        """Whether images of this size are read as they are, so that `image_inputs` takes them."""
        limits = self.processor.image_processor.size
        fits = limits["shortest_edge"] <= height * width <= limits["longest_edge"]
        return fits and height % self.image_multiple == 0 and width % self.image_multiple == 0

    def encode(self, inputs: Mapping[str, Tensor]) -> TextFeatures:
        """Return the penultimate features of tokenized prompts: the model's `hidden_states[-2]`.

        Neither the last layer nor the language head is computed. Gradients flow if they are enabled.

        Args:
            inputs: What `tokenize` returned; moved to the model's device here.
        """
        run = apply_forward_hook(_run_trunk)
        moved = {key: inputs[key] for key in _MODEL_INPUTS if key in inputs}
        return run(self.model, moved)

    def __call__(
        self, prompts: Sequence[str], images: Sequence[Sequence[Image.Image]] | None = None
    ) -> TextFeatures:
        """Tokenize and encode."""
        return self.encode(self.tokenize(prompts, images))

    @torch.no_grad()
    def answer(
        self,
        prompts: Sequence[str],
        images: Sequence[Sequence[Image.Image]] | None = None,
        max_new_tokens: int = 64,
    ) -> list[str]:
        """Return the most likely continuation of each prompt, up to `<|im_end|>`."""
        inputs = {
            k: v.to(self.device) for k, v in self.tokenize(prompts, images, padding_side="left").items()
        }
        tokenizer = self.processor.tokenizer
        output = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=[tokenizer.convert_tokens_to_ids(token) for token in (END_OF_TURN, END_OF_TEXT)],
            pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]

    @property
    def _merge_tokens(self) -> int:
        return int(self.processor.image_processor.merge_size) ** 2

    def _check_lengths(self, rows: list[list[int]]) -> None:
        limit = self.model.config.text_config.max_position_embeddings
        for index, row in enumerate(rows):
            if len(row) > limit:
                raise RequestError(
                    f"prompt {index + 1} has {len(row)} tokens with its images, but the model reads {limit}: "
                    "shorten it or use fewer or smaller images"
                )


def execution_device(model: nn.Module) -> torch.device:
    """Where a network computes: where its weights are, or where offloading brings them."""
    for module in model.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(model.parameters()).device


def _run_trunk(model: Qwen2VLForConditionalGeneration, inputs: Mapping[str, Tensor]) -> TextFeatures:
    device = execution_device(model)
    moved = {key: value.to(device) for key, value in inputs.items()}
    output = _penultimate_trunk(model)(**moved, use_cache=False)
    return TextFeatures(output.last_hidden_state, moved["attention_mask"].bool())


def _penultimate_trunk(model: Qwen2VLForConditionalGeneration) -> nn.Module:
    """Return a view of the model that shares all its modules but ends before the last decoder layer.

    Made anew for each call, which is cheap: so it follows what was done to the modules meanwhile.
    """
    trunk, language = _shallow(model.model), _shallow(model.model.language_model)
    language._modules["layers"] = nn.ModuleList(list(language.layers)[:-1])
    language._modules["norm"] = nn.Identity()
    trunk._modules["language_model"] = language
    return trunk


def _shallow(module: nn.Module) -> Any:
    view = copy.copy(module)
    view.__dict__["_modules"] = dict(module._modules)
    # Offloading replaces `forward` on the instance by one that is bound to the original.
    view.__dict__.pop("forward", None)
    return view


def build_mini_vlm(
    corpus: Iterable[str],
    *,
    vocab_size: int = 1024,
    hidden_size: int = 192,
    num_layers: int = 4,
    num_heads: int = 6,
    num_key_value_heads: int = 2,
    intermediate_size: int = 512,
    vision_width: int = 96,
    vision_depth: int = 3,
    vision_heads: int = 4,
    merge_size: int = 2,
    seed: int = 0,
) -> VLMEncoder:
    """Return a new small Qwen2-VL, about 2 M parameters, with its own tokenizer and random weights.

    One image token stands for `8 * merge_size` pixels each way: a 64x64 image is read as it is, in 16 tokens.

    Args:
        corpus: Texts to train the tokenizer on.
        vocab_size: Most tokens.
        hidden_size: Width of the language model and of the features.
        num_layers: Decoder layers.
        num_heads: Query heads; the head size must be a multiple of 4.
        num_key_value_heads: Key and value heads.
        intermediate_size: Hidden width of the decoder's FeedForward.
        vision_width: Width of the vision transformer.
        vision_depth: Its blocks.
        vision_heads: Its heads.
        merge_size: Patches of 8 pixels per image token on each axis.
        seed: Of the random weights.
    """
    tokenizer = train_tokenizer(corpus, vocab_size)
    control = tokenizer.convert_tokens_to_ids
    half = hidden_size // num_heads // 2
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden_size,
            "num_hidden_layers": num_layers,
            "num_attention_heads": num_heads,
            "num_key_value_heads": num_key_value_heads,
            "intermediate_size": intermediate_size,
            "max_position_embeddings": 4096,
            # Prompts here are tens of tokens and images a few tokens wide: Qwen's base of 1e6 would give the
            # image axes frequencies too low to tell neighbours apart.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 100.0,
                "mrope_section": [half - 2 * (half * 3 // 8), half * 3 // 8, half * 3 // 8],
            },
            "bos_token_id": None,
            "eos_token_id": control(END_OF_TURN),
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": vision_depth,
            "embed_dim": vision_width,
            "num_heads": vision_heads,
            "hidden_size": hidden_size,
            "mlp_ratio": 4,
            "patch_size": 8,
            "spatial_merge_size": merge_size,
            "temporal_patch_size": 2,
        },
        image_token_id=control(IMAGE_PAD),
        video_token_id=control(VIDEO_PAD),
        vision_start_token_id=control(VISION_START),
        vision_end_token_id=control(VISION_END),
        tie_word_embeddings=True,
    )
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=8,
        merge_size=merge_size,
        temporal_patch_size=2,
        min_pixels=(8 * merge_size) ** 2,
        max_pixels=512 * 512,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2VLForConditionalGeneration(config).eval()
    return VLMEncoder(model, ImageOnlyQwenVLProcessor(image_processor=image_processor, tokenizer=tokenizer))

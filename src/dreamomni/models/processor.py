"""What Qwen2-VL reads, as tensors: image patches and padded rows of token ids."""

from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from dreamomni.errors import ModelError
from dreamomni.models.components import LOADING_ERRORS, component_path
from dreamomni.models.tokenizer import IMAGE_PAD, VIDEO_PAD

IGNORED_LABEL = -100
"""Label of a token that no loss is taken on; the value transformers uses."""

PaddingSide = Literal["left", "right"]


class ImageOnlyQwenVLProcessor(Qwen2VLProcessor):
    """Tokenizer and image processor of Qwen2-VL, without its video part, which needs torchvision."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.image_token, self.video_token = IMAGE_PAD, VIDEO_PAD
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_PAD)
        template = chat_template or tokenizer.chat_template
        # The parent's own constructor demands a video processor.
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=template)

    @classmethod
    def from_pretrained(cls, source: str | Path, **kwargs: Any) -> Self:
        """Load from a folder or a hub id; the image processor gives the same pixels on every machine."""
        # AutoImageProcessor would pick another class, of slightly other pixels, where torchvision is there.
        names = ("subfolder", "revision", "cache_dir", "token")
        kept = {key: kwargs[key] for key in names if kwargs.get(key)}
        return cls(
            image_processor=Qwen2VLImageProcessorPil.from_pretrained(str(source), **kept),
            tokenizer=AutoTokenizer.from_pretrained(str(source), **kept),
        )


def load_processor(
    source: str | Path, subfolder: str | None = None, *, image_token_id: int
) -> ImageOnlyQwenVLProcessor:
    """Load the processor of a model from a folder or a hub id.

    Args:
        source: A folder, or a hub id.
        subfolder: Folder below `source`.
        image_token_id: The token that stands for images in the model.

    Raises:
        ModelError: There is none, it is damaged, or it is that of another model.
    """
    where, folder = component_path(source, subfolder), Path(source) / (subfolder or "")
    try:
        if folder.is_dir():
            processor = ImageOnlyQwenVLProcessor.from_pretrained(folder)
        else:
            processor = ImageOnlyQwenVLProcessor.from_pretrained(source, subfolder=subfolder)
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{where} holds no processor of Qwen2-VL: {reason}") from error
    if processor.image_token_id != image_token_id:
        raise ModelError(
            f"{where} does not fit its model: {IMAGE_PAD} is token {processor.image_token_id} there, but "
            f"token {image_token_id} in the model"
        )
    return processor


def image_patches(image_processor: Any, pixels_NHWC: Tensor) -> tuple[Tensor, Tensor]:
    """Return `pixel_values` (N * patches, channels of a patch) and `image_grid_thw` (N, 3).

    Args:
        image_processor: Its settings are used, not its code.
        pixels_NHWC: uint8 (N, H, W, 3).

    Raises:
        ModelError: The image processor would resize this size.
    """
    settings = image_processor
    num_images, height, width, _ = pixels_NHWC.shape
    merge, patch, frames = settings.merge_size, settings.patch_size, settings.temporal_patch_size
    multiple = merge * patch
    fewest, most = settings.size["shortest_edge"], settings.size["longest_edge"]
    if height % multiple or width % multiple or not fewest <= height * width <= most:
        raise ModelError(
            f"images of {width}x{height} cannot be read without resizing: sides must be multiples of "
            f"{multiple} and the area {fewest} to {most} pixels"
        )
    device = pixels_NHWC.device
    mean, std = (torch.tensor(values, device=device) for values in (settings.image_mean, settings.image_std))
    normalised = (pixels_NHWC * settings.rescale_factor - mean) / std
    blocks = normalised.reshape(
        num_images, height // multiple, merge, patch, width // multiple, merge, patch, -1
    )
    # Patches run over (block row, block column, row in block, column in block); a still fills every frame.
    patches = blocks.permute(0, 1, 4, 2, 5, 7, 3, 6)[:, :, :, :, :, :, None]
    patches = patches.expand(*(-1,) * 6, frames, -1, -1)
    rows, columns = height // patch, width // patch
    pixel_values = patches.reshape(num_images * rows * columns, -1)
    return pixel_values, torch.tensor([[1, rows, columns]], device=device).expand(num_images, 3)


def pad_rows(
    rows: list[list[int]],
    *,
    image_token: int,
    fill: int,
    side: PaddingSide = "right",
    prompt_lengths: list[int] | None = None,
) -> dict[str, Tensor]:
    """Return `input_ids`, `attention_mask` and `mm_token_type_ids` (1 on images), all (B, T) int64.

    Args:
        rows: Token ids of each row.
        image_token: Id of the tokens that stand for images.
        fill: Id to pad with.
        side: Where the padding goes.
        prompt_lengths: Tokens of each row that are not the answer; adds `labels`, which cover the answers.
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)[:, None]
    longest = max(map(len, rows), default=0)
    place = torch.arange(longest)[None]
    first = longest - lengths if side == "left" else torch.zeros_like(lengths)
    used = (place >= first) & (place < first + lengths)
    input_ids = torch.full((len(rows), longest), fill)
    input_ids[used] = torch.tensor([token for row in rows for token in row], dtype=torch.long)
    padded = {
        "input_ids": input_ids,
        "attention_mask": used.long(),
        "mm_token_type_ids": (input_ids == image_token).long(),
    }
    if prompt_lengths is not None:
        answered = used & (place >= first + torch.tensor(prompt_lengths, dtype=torch.long)[:, None])
        padded["labels"] = input_ids.masked_fill(~answered, IGNORED_LABEL)
    return padded

"""`Rewriter`: a VLM that turns a user's words about images into the standard format (DreamOmni2 section 3.2).

Its answer is never trusted: what cannot be read, or names an image that is not there, is put aside, the
user's own words are used, and a warning says why.
"""

import gc
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from PIL import Image
from torch import nn

from dreamomni.errors import ModelError, RequestError
from dreamomni.inference.loading import hash_files, packaged_models
from dreamomni.inference.rewriting.cache import AnswerCache, answer_key, rewrites_folder
from dreamomni.models.chat import Answer, ChatVLM, check_vlm_folder
from dreamomni.models.folder import INDEX_NAME, REWRITER_FOLDER
from dreamomni.models.kontext.files import VLM_FOLDER
from dreamomni.models.kontext.resolutions import fit_area, nearest_kontext_size
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.standard import OPENING, RewriteTask, parse_answer, request_text

logger = logging.getLogger(__name__)

MAX_NEW_TOKENS = 512
"""As many as the text encoder of FLUX reads."""
_HASHED = ("*.safetensors", "*.json", "*.jinja", "*.txt")


def find_rewriter(name: str | Path) -> Path:
    """Return the folder of a rewriter.

    Args:
        name: That folder; or a model that has one: a packaged model, a folder of ours with `rewriter/`, or
            one of DreamOmni2's layout with `vlm-model/`.

    Raises:
        ModelError: There is none.
    """
    folder = packaged_models().get(str(name)) or Path(name).expanduser()
    for place in (folder / REWRITER_FOLDER, folder / VLM_FOLDER):
        if place.is_dir():
            return place
    if (folder / INDEX_NAME).is_file() or not folder.is_dir():
        raise ModelError(
            f"{name} has no rewriter: say the folder of a VLM, or of a model with {REWRITER_FOLDER}/ or "
            f"{VLM_FOLDER}/"
        )
    return folder


class Job(NamedTuple):
    """One request to rewrite.

    Attributes:
        prompt: The user's words.
        images: All images of the request, in order, upright RGB.
        task: Whether image 1 is edited, or all of them are references.
    """

    prompt: str
    images: Sequence[Image.Image]
    task: RewriteTask


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What became of a prompt.

    Attributes:
        prompt: What the network should read: the rewritten words, or the user's own.
        revised_prompt: The rewritten words; None where the user's own stand.
        warnings: Why they stand, one sentence each.
        answer: What the VLM wrote, as it wrote it; None where it was not asked.
        repairs: What was mended in the answer.
    """

    prompt: str
    revised_prompt: str | None = None
    warnings: tuple[str, ...] = ()
    answer: str | None = None
    repairs: tuple[str, ...] = ()


class Rewriter:
    """Rewrites prompts with a VLM that is loaded when it is first needed.

    Args:
        vlm: The model, where it is in memory already.
        folder: The folder to load it from; answers are remembered on the disk only with one.
        device: Where it answers.
        dtype: Of its weights; bfloat16 is what published ones are stored in.
        official: Show images as the published DreamOmni2 release does: stretched to the nearest of the sizes
            of FLUX.1-Kontext. Else they keep their shape, and only what is larger than those is scaled down.
        max_new_tokens: Most tokens of an answer (the published release allows 4096).
        keep_loaded: False frees the model after each call of `rewrite` or `rewrite_all`.
        cache: Where answers are remembered; None makes one in memory.

    Attributes:
        settle: Brings a network that was just loaded to the device as a memory plan wants it; None moves it.
        settled_as: What `settle` makes of the weights, such as "int8": answers may depend on it.
    """

    def __init__(
        self,
        vlm: ChatVLM | None = None,
        *,
        folder: Path | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        official: bool = False,
        max_new_tokens: int = MAX_NEW_TOKENS,
        keep_loaded: bool = True,
        cache: AnswerCache | None = None,
    ) -> None:
        if vlm is None and folder is None:
            raise ValueError("a rewriter needs a model or the folder of one")
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens {max_new_tokens} must be 1 at least")
        self.folder, self.dtype, self.official = folder, dtype, official
        self.device = torch.device(device)
        self.max_new_tokens, self.keep_loaded = max_new_tokens, keep_loaded
        self.cache = cache or AnswerCache()
        self.settle: Callable[[nn.Module, torch.device], Any] | None = None
        self.settled_as = ""
        self._vlm = vlm
        self._hash: str | None = None

    @classmethod
    def open(cls, folder: str | Path, **options: Any) -> Self:
        """A rewriter from its folder, with its answers kept in the user's cache folder; loads no weights.

        Args:
            folder: A Qwen2-VL or Qwen2.5-VL with its processor.
            **options: See the class.

        Raises:
            ModelError: The folder holds no such model, or not its processor.
        """
        folder = Path(folder)
        check_vlm_folder(folder)
        if not any(folder.glob("*.safetensors")):
            raise ModelError(f"{folder} holds the configuration of a VLM but no weights (*.safetensors)")
        return cls(folder=folder, **({"cache": AnswerCache(rewrites_folder())} | options))

    @property
    def loaded(self) -> bool:
        """Whether the VLM is in memory."""
        return self._vlm is not None

    @property
    def weights_hash(self) -> str:
        """The sha256 (hex) of the files of the folder; the empty string for a model that has none."""
        if self._hash is None:
            files = () if self.folder is None else sorted(f for p in _HASHED for f in self.folder.glob(p))
            self._hash = "" if self.folder is None else hash_files(self.folder, files)
        return self._hash

    def load(self, device: str | torch.device | None = None) -> ChatVLM:
        """Return the VLM on its device, loaded if it is not.

        Args:
            device: Where it answers from now on; None leaves that as it is.

        Raises:
            ModelError: Its folder is damaged.
        """
        self.device = self.device if device is None else torch.device(device)
        if self._vlm is None:
            assert self.folder is not None
            self._vlm = ChatVLM.from_pretrained(self.folder, torch_dtype=self.dtype)
            if self.settle is not None:
                self.settle(self._vlm.model, self.device)
        if self.settle is None:
            self._vlm.model.to(self.device)
        return self._vlm

    def free(self) -> None:
        """Give the memory of the VLM back; one that no folder holds moves to the CPU instead."""
        if self._vlm is None:
            return
        if self.folder is None:
            self._vlm.model.to("cpu")
        else:
            self._vlm = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def rewrite(self, prompt: str, images: Sequence[Image.Image], *, task: RewriteTask) -> Rewriting:
        """Put a prompt into the standard format.

        Args:
            prompt: The user's words.
            images: All images of the request, in order, upright RGB.
            task: "edit" where image 1 is edited, "generate" where all of them are references.

        Raises:
            ModelError: The folder of the VLM is damaged.
        """
        return self.rewrite_all([Job(prompt, images, task)])[0]

    def rewrite_all(self, jobs: Sequence[Job]) -> list[Rewriting]:
        """Rewrite many prompts; the VLM is loaded at most once, and not at all where all are remembered."""
        try:
            return [self._rewritten(job) for job in jobs]
        finally:
            if not self.keep_loaded:
                self.free()

    def save(self, folder: str | Path) -> None:
        """Write the VLM and its processor into a folder of their own."""
        if self.folder is not None:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        else:
            self.load().save_pretrained(folder)

    def _rewritten(self, job: Job) -> Rewriting:
        try:
            answer = self._answer(job)
        except RequestError as error:
            return Rewriting(job.prompt, warnings=(_own_words(f"the rewriter cannot read it ({error})"),))
        text = answer.text
        if not answer.ended and OPENING.strip() not in text.lower():
            text = OPENING + text  # so that it is read as one that was cut off
        parsed = parse_answer(text, len(job.images), job.task)
        if parsed.problems:
            logger.debug("unusable answer of the rewriter: %r", answer.text)
            warning = _own_words(f"{'; '.join(parsed.problems)} (the answer of the rewriter)")
            return Rewriting(job.prompt, warnings=(warning,), answer=answer.text, repairs=parsed.repairs)
        return Rewriting(parsed.content, parsed.content, (), answer.text, parsed.repairs)

    def _answer(self, job: Job) -> Answer:
        message = request_text(job.prompt, job.task)
        images = [self._shown(image) for image in job.images]
        options = {
            "weights": self.weights_hash,
            "dtype": str(self.dtype),
            "device": self.device.type,
            "max_new_tokens": self.max_new_tokens,
            "settled_as": self.settled_as,
        }
        # A model without files may be in training: what it said a moment ago is not what it says now.
        key = answer_key(message, images, options) if self.weights_hash else None
        known = None if key is None else self.cache.get(key)
        if known is not None:
            return known
        vlm = self.load()
        answer = vlm.reply([message], [images], max_new_tokens=self.max_new_tokens)[0]
        if key is not None:
            self.cache.put(key, answer)
        return answer

    def _shown(self, image: Image.Image) -> Image.Image:
        size = Size(*image.size)
        wanted = nearest_kontext_size(size) if self.official else fit_area(size)
        image = image.convert("RGB")
        return image if wanted == size else image.resize(wanted, Image.Resampling.LANCZOS)


def _own_words(reason: str) -> str:
    return f"the prompt was not rewritten and is read as it stands: {reason}"

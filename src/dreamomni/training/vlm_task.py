"""Train the VLM to read collages: captions, questions, what becomes of inputs, and plain words as language.

The DiT reads its penultimate features, so it must know what pictures show and what words mean.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from dreamomni import runtime, storage
from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import (
    COMBINED_KINDS,
    MULTI_REFERENCE_KINDS,
    PERCEPTION_KINDS,
    TEXT_TO_IMAGE_KINDS,
    CollageRecipe,
)
from dreamomni.data.dataset import sample_or_next
from dreamomni.errors import ConfigError
from dreamomni.models.chat import ChatVLM, build_chat_vlm
from dreamomni.models.processor import IGNORED_LABEL
from dreamomni.models.vlm import VLMEncoder, build_mini_vlm
from dreamomni.seeding import derive_seed, generator
from dreamomni.tasks.sample import TrainingSample
from dreamomni.training import processes
from dreamomni.training.config import TrainingConfig, VlmTaskConfig
from dreamomni.training.pictures import side_by_side, text_sheet
from dreamomni.training.questions import (
    CAPTION_PROMPT,
    Question,
    draw_question,
    is_right,
    rewrite_question,
)
from dreamomni.training.task import WHOLE, Part, StepOutput

log = logging.getLogger(__name__)

_SHEET_ENTRIES = 8
_PROBE_CHUNK = 64
_MAX_ANSWER_TOKENS = 24
_MAX_REWRITE_TOKENS = 192


class Conversation(NamedTuple):
    """One training text: its images, what comes before the loss, and what it is taken on."""

    images: tuple[np.ndarray, ...]
    prompt: str
    answer: str


class ConversationBatch(NamedTuple):
    """Conversations of one step; the images of all, one after another, are (H, W, 3) uint8."""

    images: list[Tensor]
    image_counts: list[int]
    prompts: list[str]
    answers: list[str]
    keys: list[str]


class VlmTask:
    """Next-token prediction on conversations; exports weights and processor in one folder."""

    def __init__(self, config: VlmTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        data = load_recipe(config.data, CollageRecipe)
        self._with_images: dict[str, float] = {
            kind: weight for kind, weight in data.mixture.items() if kind not in TEXT_TO_IMAGE_KINDS
        }
        if config.mixture.get("edit", 0) > 0 and not sum(self._with_images.values()):
            raise ConfigError(
                f"mixture.edit is above 0, but data recipe {config.data!r} draws nothing with input images; "
                "set it to 0"
            )
        self._with_references = {
            kind: weight for kind, weight in data.mixture.items() if kind in MULTI_REFERENCE_KINDS
        }
        if self._rewrites and not sum(self._with_references.values()):
            raise ConfigError(
                f"mixture.rewrite is above 0, but data recipe {config.data!r} draws nothing with several "
                f"references ({', '.join(MULTI_REFERENCE_KINDS)}); set it to 0"
            )
        self.engine = CollageEngine(data, split="train")
        self.probes = CollageEngine(data, split="held_out") if data.held_out.fraction > 0 else self.engine
        self._accuracy: dict[str, float] = {}

    def prepare(self, run_dir: Path) -> None:
        """Build the network and its tokenizer, or read them back: a resumed run must not make others."""
        start, world = run_dir / "cache" / "vlm", processes.current()
        if world.size > 1 and self.training.parallel == "fsdp" and self.config.mixture.get("text", 0) > 0:
            raise ConfigError(
                f"the VLM reads pictures in some parts of a batch and none in others, but fsdp needs all "
                f"{world.size} processes to use the same layers; say parallel ddp, or mixture.text: 0"
            )
        with world.together():
            if world.is_main and not (start / storage.MANIFEST_NAME).exists():
                encoder = self._first_encoder()
                start.mkdir(parents=True, exist_ok=True)
                encoder.save_pretrained(start)
                storage.write_manifest(start, {"kind": "initial-vlm"})
        storage.verify_manifest(start)
        self.encoder = self._vlm_class.from_pretrained(start)
        self.encoder.model.to(runtime.pick_device(self.training.device))

    def _first_encoder(self) -> VLMEncoder:
        if self.config.init_from is None:
            return self.build()
        folder = Path(self.config.init_from)
        of_a_model = (folder.parent / "processor").is_dir() and not (
            folder / "tokenizer_config.json"
        ).is_file()
        if self._rewrites and of_a_model:
            return build_chat_vlm(VLMEncoder.from_pretrained(folder))
        return self._vlm_class.from_pretrained(self.config.init_from)

    def build(self) -> VLMEncoder:
        """A new mini VLM whose tokenizer knows the words of the world, the questions and the answers."""
        seed = derive_seed(self.training.seed, "corpus")
        texts = list(self.engine.corpus(self.config.num_corpus_texts, seed))
        for index in range(self.config.num_corpus_texts // 4):
            _, question = self._asked(self.engine, seed, index)
            texts += [question.text, f" {question.answer}", CAPTION_PROMPT]
        encoder = build_mini_vlm(
            texts,
            vocab_size=self.config.vocab_size,
            seed=derive_seed(self.training.seed, "init") % 2**63,
            **self.config.model,
        )
        if self.config.vision_from is not None:
            _take_vision(encoder, self.config.vision_from)
        return build_chat_vlm(encoder) if self._rewrites else encoder

    def modules(self) -> dict[str, nn.Module]:
        """The whole network, language head included."""
        return {"vlm": self.encoder.model}

    def blocks(self) -> list[nn.Module]:
        """The layers of the vision tower and of the language model."""
        model = self.encoder.model.model
        return [*model.visual.blocks, *model.language_model.layers]

    def batch(self, step: int, part: Part = WHOLE) -> ConversationBatch:
        """Conversations from `step * batch_size` on."""
        size, seed = self.training.batch_size, derive_seed(self.training.seed, "data")
        drawn = [self._conversation(seed, step * size + row) for row in part.rows(size)]
        talks = [talk for talk, _ in drawn]
        return ConversationBatch(
            images=[torch.from_numpy(image.copy()) for talk in talks for image in talk.images],
            image_counts=[len(talk.images) for talk in talks],
            prompts=[talk.prompt for talk in talks],
            answers=[talk.answer for talk in talks],
            keys=[key for _, key in drawn],
        )

    def loss(self, batch: ConversationBatch, generator: torch.Generator) -> StepOutput:
        """Cross entropy per answer token, and so weighted by them; `token_accuracy` is the share right."""
        inputs = self._inputs(batch)
        labels = inputs.pop("labels")[:, 1:]
        asked = labels != IGNORED_LABEL
        logits = self.encoder.model(**inputs).logits[:, :-1][asked].float()
        right = (logits.detach().argmax(-1) == labels[asked]).float().mean()
        metrics: dict[str, float | Tensor] = {"token_accuracy": right, **self._accuracy}
        loss = functional.cross_entropy(logits, labels[asked])
        return StepOutput(loss, metrics, batch.keys, weight=len(logits))

    def sample_grid(self, step: int) -> Image.Image | None:
        """Answers to fixed held-out questions; the accuracy on each subject joins the logged metrics."""
        if self.config.num_probe_questions == 0:
            return None
        asked = self._probe_questions()
        answers: list[str] = []
        limit = _MAX_REWRITE_TOKENS if self._rewrites else _MAX_ANSWER_TOKENS
        for first in range(0, len(asked), _PROBE_CHUNK):
            chunk = asked[first : first + _PROBE_CHUNK]
            answers += self.encoder.answer(
                [question.text for _, question in chunk],
                [[Image.fromarray(image) for image in images] for images, _ in chunk],
                max_new_tokens=limit,
            )
        right = [is_right(question, answer) for answer, (_, question) in zip(answers, asked, strict=True)]
        total = Counter(question.subject for _, question in asked)
        hits = Counter(question.subject for good, (_, question) in zip(right, asked, strict=True) if good)
        self._accuracy = {"answers_right": sum(right) / len(right)}
        self._accuracy |= {f"right_{subject}": hits[subject] / total[subject] for subject in sorted(total)}
        log.info("step %d: %s", step, self._accuracy)
        return text_sheet(
            [
                (
                    side_by_side(images),
                    f"{question.text}\n{answer}   ({'right' if good else question.answer})",
                )
                for good, answer, (images, question) in zip(right, answers, asked, strict=True)
            ][:_SHEET_ENTRIES],
            title="  ".join(f"{name} {value:.2f}" for name, value in self._accuracy.items()),
        )

    def export(self, folder: Path) -> None:
        """Write model and processor, as published Qwen2-VL checkpoints are."""
        self.encoder.save_pretrained(folder)

    def _conversation(self, seed: int, index: int) -> tuple[Conversation, str]:
        rng = generator(seed, "conversation", index)
        form = _weighted(self.config.mixture, rng)
        if form == "rewrite":
            sample = sample_or_next(self.engine, seed, index, _weighted(self._with_references, rng))
            question = rewrite_question(sample)
            return Conversation(sample.images, question.text, question.answer), sample.key
        sample = sample_or_next(
            self.engine, seed, index, _weighted(self._with_images, rng) if form == "edit" else None
        )
        description = str(sample.details["description"])
        if form == "caption":
            return Conversation((sample.target,), CAPTION_PROMPT, description), sample.key
        if form == "question":
            sample = _unmarked(sample)
            question = draw_question(sample, self.engine.names, rng)
            return Conversation((sample.target,), question.text, question.answer), sample.key
        if form == "edit":
            return Conversation(sample.images, sample.instruction, description), sample.key
        # The first word has nothing before it that could predict it.
        head, _, rest = (sample.instruction or description).partition(" ")
        return Conversation((), head if rest else "", rest or head), sample.key

    def _inputs(self, batch: ConversationBatch) -> dict[str, Tensor]:
        if batch.images:
            pixel_values, grid = self._patches(batch.images)
            tokens = self.encoder.token_ids(batch.prompts, grid, batch.image_counts, batch.answers)
            inputs = {**tokens, "pixel_values": pixel_values, "image_grid_thw": grid}
        else:
            inputs = self.encoder.token_ids(batch.prompts, answers=batch.answers)
        return {name: value.to(self.encoder.device) for name, value in inputs.items()}

    def _patches(self, images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if len({image.shape for image in images}) == 1 and self.encoder.reads(*images[0].shape[:2]):
            return self.encoder.image_inputs(torch.stack(list(images)))
        parts = [self._patches_of(image) for image in images]
        return torch.cat([patches for patches, _ in parts]), torch.cat([grid for _, grid in parts])

    def _patches_of(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if self.encoder.reads(*image.shape[:2]):
            return self.encoder.image_inputs(image[None])
        # Published processors work in multiples of 28 pixels: other sizes are resized, as at inference.
        picture = Image.fromarray(image.cpu().numpy())
        vision = self.encoder.processor.image_processor(images=[picture], return_tensors="pt")
        return vision["pixel_values"].to(image.device), vision["image_grid_thw"].to(image.device)

    def _probe_questions(self) -> list[tuple[tuple[np.ndarray, ...], Question]]:
        seed = derive_seed(self.training.seed, "probe")
        return [self._asked(self.probes, seed, index) for index in range(self.config.num_probe_questions)]

    def _asked(self, engine: CollageEngine, seed: int, index: int) -> tuple[tuple[np.ndarray, ...], Question]:
        """Images and a question about them: of a sample with references, to rewrite its instruction."""
        sample = sample_or_next(engine, seed, index)
        if self._rewrites and sample.kind in self._with_references:
            return sample.images, rewrite_question(sample)
        sample = _unmarked(sample)
        return (sample.target,), draw_question(sample, engine.names, generator(seed, "question", index))

    @property
    def _rewrites(self) -> bool:
        return self.config.mixture.get("rewrite", 0) > 0

    @property
    def _vlm_class(self) -> type[VLMEncoder]:
        """What is written for a DiT reads plain words; what rewrites is talked to."""
        return ChatVLM if self._rewrites else VLMEncoder


def _take_vision(encoder: VLMEncoder, source: str) -> None:
    """Put the weights of another model's vision part into a new one."""
    own, other = (vlm.model.model.visual for vlm in (encoder, VLMEncoder.from_pretrained(source)))
    wanted, given = ({n: tuple(p.shape) for n, p in part.named_parameters()} for part in (own, other))
    if wanted != given:
        name = next(n for n in {**wanted, **given} if wanted.get(n) != given.get(n))
        raise ConfigError(
            f"the vision part of {source} does not fit task.model: {name} is {given.get(name)} there and "
            f"{wanted.get(name)} here; take its sizes"
        )
    own.load_state_dict(other.state_dict())


def _unmarked(sample: TrainingSample) -> TrainingSample:
    """The sample as questions may be asked of it: where marks were drawn on the target, image 1 stands in."""
    if sample.kind not in (*PERCEPTION_KINDS, *COMBINED_KINDS):
        return sample
    return replace(sample, target=sample.images[0], objects=sample.image_objects[0], relations=())


def _weighted(weights: Mapping[Any, float], rng: np.random.Generator) -> str:
    names: list[str] = sorted(weights)
    shares = np.array([weights[name] for name in names])
    return names[int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), side="right"))]

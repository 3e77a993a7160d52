"""Train the VLM to read collages: captions, questions, outcomes of edits, and plain words as language.

The DiT reads its penultimate features, so it must know what pictures show and what words mean.
"""

import logging
from collections import Counter
from collections.abc import Mapping
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
from dreamomni.data.collage.recipe import EDIT_KINDS, CollageRecipe
from dreamomni.errors import ConfigError
from dreamomni.models.processor import IGNORED_LABEL
from dreamomni.models.vlm import VLMEncoder, build_mini_vlm
from dreamomni.seeding import derive_seed, generator
from dreamomni.training.config import TrainingConfig, VlmTaskConfig
from dreamomni.training.kinds import check_kinds
from dreamomni.training.pictures import text_sheet
from dreamomni.training.questions import CAPTION_PROMPT, Question, draw_question
from dreamomni.training.task import WHOLE, Part, StepOutput

log = logging.getLogger(__name__)

_SHEET_ENTRIES = 8
_PROBE_CHUNK = 64


class Conversation(NamedTuple):
    """One training text: at most one image, what comes before the loss, and what it is taken on."""

    image: np.ndarray | None
    prompt: str
    answer: str


class ConversationBatch(NamedTuple):
    """Conversations of one step; images (N, H, W, 3) uint8 of those that have one."""

    images: Tensor
    image_counts: list[int]
    prompts: list[str]
    answers: list[str]
    keys: list[str]


class VlmTask:
    """Next-token prediction on conversations; exports weights and processor in one folder."""

    def __init__(self, config: VlmTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        data = load_recipe(config.data, CollageRecipe)
        check_kinds(config.data, data)
        if len(data.size) > 1:
            raise ConfigError(
                f"data recipe {config.data!r} has {len(data.size)} canvas sizes, but a batch holds one; "
                "give it a recipe with one size"
            )
        self._edits = {kind: data.mixture[kind] for kind in data.mixture if kind in EDIT_KINDS}
        if config.mixture.get("edit", 0) > 0 and not sum(self._edits.values()):
            raise ConfigError(
                f"mixture.edit is above 0, but data recipe {config.data!r} draws no edits; set it to 0"
            )
        self.engine = CollageEngine(data, split="train")
        self.probes = CollageEngine(data, split="held_out") if data.held_out.fraction > 0 else self.engine
        self._accuracy: dict[str, float] = {}

    def prepare(self, run_dir: Path) -> None:
        """Build the network and its tokenizer, or read them back: a resumed run must not make others."""
        start = run_dir / "cache" / "vlm"
        if not (start / storage.MANIFEST_NAME).exists():
            if self.config.init_from is not None:
                encoder = VLMEncoder.from_pretrained(self.config.init_from)
            else:
                encoder = self.build()
            start.mkdir(parents=True, exist_ok=True)
            encoder.save_pretrained(start)
            storage.write_manifest(start, {"kind": "initial-vlm"})
        storage.verify_manifest(start)
        self.encoder = VLMEncoder.from_pretrained(start)
        self.encoder.model.to(runtime.pick_device(self.training.device))

    def build(self) -> VLMEncoder:
        """A new mini VLM whose tokenizer knows the words of the world, the questions and the answers."""
        seed = derive_seed(self.training.seed, "corpus")
        texts = list(self.engine.corpus(self.config.num_corpus_texts, seed))
        for index in range(self.config.num_corpus_texts // 4):
            question = draw_question(
                self.engine.sample(seed, index), self.engine.names, generator(seed, "question", index)
            )
            texts += [question.text, f" {question.answer}", CAPTION_PROMPT]
        return build_mini_vlm(
            texts,
            vocab_size=self.config.vocab_size,
            seed=derive_seed(self.training.seed, "init") % 2**63,
            **self.config.model,
        )

    def modules(self) -> dict[str, nn.Module]:
        """The whole network, language head included."""
        return {"vlm": self.encoder.model}

    def batch(self, step: int, part: Part = WHOLE) -> ConversationBatch:
        """Conversations from `step * batch_size` on."""
        size, seed = self.training.batch_size, derive_seed(self.training.seed, "data")
        drawn = [self._conversation(seed, step * size + row) for row in part.rows(size)]
        talks = [talk for talk, _ in drawn]
        pictures = [talk.image for talk in talks if talk.image is not None]
        return ConversationBatch(
            images=torch.from_numpy(np.stack(pictures)) if pictures else torch.empty(0, dtype=torch.uint8),
            image_counts=[int(talk.image is not None) for talk in talks],
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
        for first in range(0, len(asked), _PROBE_CHUNK):
            chunk = asked[first : first + _PROBE_CHUNK]
            answers += self.encoder.answer(
                [question.text for _, question in chunk],
                [[Image.fromarray(image)] for image, _ in chunk],
                max_new_tokens=6,
            )
        right = [answer == question.answer for answer, (_, question) in zip(answers, asked, strict=True)]
        total = Counter(question.subject for _, question in asked)
        hits = Counter(question.subject for good, (_, question) in zip(right, asked, strict=True) if good)
        self._accuracy = {"answers_right": sum(right) / len(right)}
        self._accuracy |= {f"right_{subject}": hits[subject] / total[subject] for subject in sorted(total)}
        log.info("step %d: %s", step, self._accuracy)
        return text_sheet(
            [
                (image, f"{question.text}\n{answer}   ({'right' if good else question.answer})")
                for good, answer, (image, question) in zip(right, answers, asked, strict=True)
            ][:_SHEET_ENTRIES],
            title="  ".join(f"{name} {value:.2f}" for name, value in self._accuracy.items()),
        )

    def export(self, folder: Path) -> None:
        """Write model and processor, as published Qwen2-VL checkpoints are."""
        self.encoder.save_pretrained(folder)

    def _conversation(self, seed: int, index: int) -> tuple[Conversation, str]:
        rng = generator(seed, "conversation", index)
        form = _weighted(self.config.mixture, rng)
        sample = self.engine.sample(seed, index, _weighted(self._edits, rng) if form == "edit" else None)
        description = str(sample.details["description"])
        if form == "caption":
            return Conversation(sample.target, CAPTION_PROMPT, description), sample.key
        if form == "question":
            question = draw_question(sample, self.engine.names, rng)
            return Conversation(sample.target, question.text, question.answer), sample.key
        if form == "edit":
            return Conversation(sample.images[0], sample.instruction, description), sample.key
        # The first word has nothing before it that could predict it.
        head, _, rest = sample.instruction.partition(" ")
        return Conversation(None, head if rest else "", rest or head), sample.key

    def _inputs(self, batch: ConversationBatch) -> dict[str, Tensor]:
        if any(batch.image_counts):
            pixel_values, grid = self.encoder.image_inputs(batch.images)
            tokens = self.encoder.token_ids(batch.prompts, grid, batch.image_counts, batch.answers)
            inputs = {**tokens, "pixel_values": pixel_values, "image_grid_thw": grid}
        else:
            inputs = self.encoder.token_ids(batch.prompts, answers=batch.answers)
        return {name: value.to(self.encoder.device) for name, value in inputs.items()}

    def _probe_questions(self) -> list[tuple[np.ndarray, Question]]:
        seed = derive_seed(self.training.seed, "probe")
        samples = [self.probes.sample(seed, index) for index in range(self.config.num_probe_questions)]
        return [
            (sample.target, draw_question(sample, self.engine.names, generator(seed, "question", index)))
            for index, sample in enumerate(samples)
        ]


def _weighted(weights: Mapping[Any, float], rng: np.random.Generator) -> str:
    names: list[str] = sorted(weights)
    shares = np.array([weights[name] for name in names])
    return names[int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), side="right"))]

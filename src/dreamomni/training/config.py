"""Typed training recipes: which task, on which data, for how long. Values only; nothing is built here."""

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, model_validator

from dreamomni.config import StrictConfig, load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.feeds import CollagePart, DataPart
from dreamomni.errors import CheckpointError
from dreamomni.flow.timesteps import LogitNormal, Timesteps
from dreamomni.training.kontext_config import KontextTaskConfig
from dreamomni.training.lora_config import FeatureCacheConfig, LoraConfig, Words, as_parts

log = logging.getLogger(__name__)


class ConstantDecay(StrictConfig):
    """The learning rate stays at its peak after warm-up."""

    type: Literal["constant"] = "constant"


class CosineDecay(StrictConfig):
    """Half a cosine from the end of warm-up to the last step."""

    type: Literal["cosine"] = "cosine"


class WsdDecay(StrictConfig):
    """Warm-up, stable, decay: the peak is held, then falls linearly over the last part of the run."""

    type: Literal["wsd"] = "wsd"
    decay_fraction: float = Field(0.2, gt=0, le=1)
    """Share of `max_steps` spent falling."""


Decay = Annotated[ConstantDecay | CosineDecay | WsdDecay, Field(discriminator="type")]


class TrainingConfig(StrictConfig):
    """How long and how fast: everything that does not depend on what is trained."""

    seed: int = Field(0, ge=0)
    max_steps: int = Field(gt=0)
    """Optimizer steps."""
    batch_size: int = Field(gt=0)
    """Samples per optimizer step, over all processes and accumulation steps."""
    gradient_accumulation_steps: int = Field(1, gt=0)
    """Parts of the batch that a process takes one after another, to save memory; the loss stays the same."""
    parallel: Literal["none", "ddp", "fsdp"] = "ddp"
    """With several processes: `ddp` keeps all weights in each, `fsdp` shards weights, gradients and state."""
    activation_checkpointing: bool = False
    """Blocks keep their inputs alone and are computed again in the backward pass: less memory, a third more
    arithmetic."""
    compile: bool = False
    """torch.compile, block by block."""
    optimizer: Literal["adamw", "muon", "adamw8bit"] = "adamw"
    """`muon` steps the 2-D weights of linear layers inside numbered stacks (blocks); AdamW keeps the rest.
    `adamw8bit` keeps the moments in 8 bits (bitsandbytes, CUDA)."""
    muon_exclude: tuple[str, ...] = ()
    """Glob patterns of parameter names that stay with AdamW although they look like hidden matrices."""
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    decay: Decay = CosineDecay()
    final_lr_fraction: float = Field(0.05, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    max_grad_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights; lower in the first steps, to forget the initial ones."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`bf16` is autocast over fp32 weights, never bf16 weights; `auto` takes it where it is native."""
    device: str | None = None
    """None picks the accelerator when there is one."""
    num_workers: int = Field(1, ge=0)
    """Background processes that make batches, 0 for none; the batches do not depend on it."""
    num_threads: int | None = Field(None, gt=0)
    """Intra-op threads of the training process; results are bit-equal only at an equal number."""
    peak_tflops: float | None = Field(None, gt=0, allow_inf_nan=False)
    """TFLOP/s of one device, which MFU is relative to; None looks the device up by its name."""
    log_every: int = Field(20, gt=0)
    sample_every: int = Field(1000, gt=0)
    checkpoint_every: int = Field(500, gt=0)
    keep_checkpoints: int = Field(2, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "TrainingConfig":
        if self.warmup_steps >= self.max_steps and self.warmup_steps > 0:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} must be smaller than max_steps {self.max_steps}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas} must lie in [0, 1)")
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"batch_size {self.batch_size} does not divide by gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}; make it a multiple"
            )
        return self


class AutoencoderTaskConfig(StrictConfig):
    """Reconstruct collage images: L1 + MSE + edges + a little KL."""

    free: ClassVar[frozenset[str]] = frozenset({"num_statistics_images"})

    type: Literal["autoencoder"] = "autoencoder"
    data: str = "mini-world"
    """Name or path of a data recipe."""
    images: Literal["target", "all"] = "target"
    """Train on the targets, or on any picture of a sample: holes, maps and references too."""
    init_from: str | None = None
    """Folder with autoencoder weights to start from; None starts from random ones."""
    freeze_encoder: bool = False
    """Train only the decoder, on the latents of `init_from`: models trained on those latents stay valid."""
    block_out_channels: tuple[int, ...] | None = None
    """None keeps the mini layout."""
    layers_per_block: int | None = Field(None, gt=0)
    norm_num_groups: int | None = Field(None, gt=0)
    l1_weight: float = Field(1.0, ge=0)
    mse_weight: float = Field(1.0, ge=0)
    edge_weight: float = Field(0.5, ge=0)
    """Weight of the L1 distance between the horizontal and vertical differences of neighbouring pixels."""
    chroma_weight: float = Field(0.0, ge=0)
    """Weight of the L1 distance of colour alone: the error less its mean over the three channels."""
    kl_weight: float = Field(1e-6, ge=0)
    num_statistics_images: int = Field(2048, gt=0)
    """Images over which the exported shift (mean) and scale (1 / std) of the latents are measured."""

    @model_validator(mode="after")
    def _has_an_encoder(self) -> "AutoencoderTaskConfig":
        if self.freeze_encoder and self.init_from is None:
            raise ValueError("freeze_encoder keeps a trained encoder, but init_from names none")
        return self


class VlmTaskConfig(StrictConfig):
    """Next-token prediction over captions, questions with answers, plain prompts, rewritten instructions."""

    free: ClassVar[frozenset[str]] = frozenset({"num_probe_questions"})

    type: Literal["vlm"] = "vlm"
    data: str = "mini-world"
    init_from: str | None = None
    """Folder of a saved encoder to start from; None builds the mini one with a tokenizer of its own."""
    vision_from: str | None = None
    """Folder of a VLM whose vision part a new one takes over; their sizes must be the same."""
    num_corpus_texts: int = Field(8_000, gt=0)
    """Texts the tokenizer is trained on."""
    vocab_size: int = Field(1024, gt=300)
    model: dict[str, int] = {}
    """Sizes handed to `models.vlm.build_mini_vlm`, such as hidden_size or num_layers."""
    mixture: dict[Literal["caption", "question", "edit", "text", "rewrite"], NonNegativeFloat] = {
        "caption": 1.0,
        "question": 1.5,
        "edit": 1.0,
        "text": 1.0,
    }
    """How often: describe a picture; answer about it; say what an instruction makes of it; words alone; put
    a user's words about several images into the standard form (DreamOmni2 section 3.2). With `rewrite`, the
    model reads its own chat template, if it has one."""
    num_probe_questions: int = Field(128, ge=0)
    """Fixed held-out questions, and rewrites if the mixture has them, that are scored whenever samples are
    drawn."""

    @model_validator(mode="after")
    def _asks_something(self) -> "VlmTaskConfig":
        if not sum(self.mixture.values()) > 0:
            raise ValueError("mixture needs at least one weight above 0")
        if self.init_from is not None and self.vision_from is not None:
            raise ValueError("init_from brings a vision part of its own: leave vision_from out")
        return self


class DitTaskConfig(StrictConfig):
    """Flow matching with the DreamOmni network over a trained autoencoder and a trained VLM."""

    free: ClassVar[frozenset[str]] = frozenset(
        {
            "export_autoencoder",
            "sample_steps",
            "sample_guidance_scale",
            "sample_image_guidance_scale",
            "card_name",
        }
    )

    type: Literal["dit"] = "dit"
    data: Annotated[str | tuple[DataPart, ...], BeforeValidator(as_parts)] = "mini-world"
    """Name or path of a data recipe, drawn on the fly; or parts, each with a weight."""
    preset: str = "mini"
    """Key of `models.presets.TRANSFORMER_PRESETS`."""
    model: dict[str, Any] = {}
    """Settings of the network that differ from the preset, for ablations: variant, long_skips,
    reference_attention, ..."""
    init_from: str | None = None
    lora: LoraConfig | None = None
    """Train this LoRA of the network of `init_from`, which itself stays as it is; None trains the network."""
    words: Words = "user"
    autoencoder: str
    """Folder of the exported autoencoder, or a hub id (`owner/name`, or `owner/name/folder`)."""
    export_autoencoder: str | None = None
    """Folder of the autoencoder to ship, if its decoder was trained on since; None ships `autoencoder`."""
    text_encoder: str
    """Folder of the exported VLM, or a hub id."""
    text_encoder_mode: Literal["frozen", "joint"] = "frozen"
    """`joint` trains the language layers of the VLM along; its vision stays frozen."""
    frozen_precision: Literal["fp32", "bf16"] = "fp32"
    """Weights and arithmetic of the networks that do not learn."""
    feature_cache: FeatureCacheConfig | None = None
    """None computes everything anew in each step."""
    like_lengths: bool | None = None
    """Puts prompts of like length into one batch, which wastes less on padding. Only a feature cache knows
    them all before the first step, so None means: with one."""
    timesteps: Timesteps = LogitNormal()
    """How sigmas are drawn."""
    text_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of samples trained without words, for guidance."""
    image_dropout: float = Field(0.05, ge=0, lt=1)
    """Share of samples with input images that are trained without them; whole batches at a time, which then
    have no image tokens at all, as at inference."""
    both_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of samples trained with neither; comes on top of the other two."""
    sample_steps: int = Field(24, gt=0)
    """Denoising steps of sample grids, and the default of the exported model."""
    sample_guidance_scale: float = Field(3.0, ge=0)
    """Guidance of sample grids, and the default of the exported model."""
    sample_image_guidance_scale: float = Field(1.0, ge=0)
    """Guidance towards the input images, likewise; 1 is off."""
    card_name: str = "mini"
    """Name on the card of the exported model."""

    @property
    def parts(self) -> tuple[DataPart, ...]:
        """The parts of the data, also where one recipe was named."""
        return (CollagePart(recipe=self.data),) if isinstance(self.data, str) else self.data

    @property
    def caches_text(self) -> bool:
        """Whether features of the VLM come from the cache."""
        cache = self.feature_cache
        return cache is not None and (
            self.text_encoder_mode == "frozen" if cache.text is None else cache.text
        )

    @property
    def caches_moments(self) -> bool:
        """Whether moments come from the cache."""
        return self.feature_cache is not None and self.feature_cache.moments

    @property
    def sorts_lengths(self) -> bool:
        """Whether prompts of like length come together."""
        return self.feature_cache is not None if self.like_lengths is None else self.like_lengths

    @model_validator(mode="after")
    def _fits(self) -> "DitTaskConfig":
        if not isinstance(self.data, str) and not self.data:
            raise ValueError("data is empty: name a data recipe, or at least one part")
        dropped = self.text_dropout + self.image_dropout + self.both_dropout
        if dropped >= 1:
            raise ValueError(
                f"text_dropout, image_dropout and both_dropout add up to {dropped:g}, which leaves no sample "
                "with its words and images; they must stay below 1"
            )
        if self.text_encoder_mode == "joint" and self.caches_text:
            raise ValueError(
                "feature_cache.text is true, but text_encoder_mode is joint: features change while the VLM "
                "learns; say text: false, or text_encoder_mode: frozen"
            )
        if self.lora is not None and (self.init_from is None or self.text_encoder_mode != "frozen"):
            raise ValueError(
                "lora adapts a trained network and nothing else: say init_from, and text_encoder_mode: frozen"
            )
        if self.sorts_lengths and self.feature_cache is None:
            raise ValueError("like_lengths needs a feature_cache, which alone knows prompts beforehand")
        return self


TaskConfig = Annotated[
    AutoencoderTaskConfig | VlmTaskConfig | DitTaskConfig | KontextTaskConfig, Field(discriminator="type")
]


class EvaluateConfig(StrictConfig):
    """The world evaluation while a run goes on, with the averaged weights."""

    every: int = Field(gt=0)
    """Steps between evaluations: a multiple of `training.sample_every`. The end of a run is evaluated too."""
    num_cases: int = Field(8, ge=1, le=10_000)
    """Held-out cases of each kind."""
    world: str | None = None
    """Name or path of the data recipe to draw cases from; None takes that of the model's card."""
    batch_size: int = Field(16, ge=1)
    """Cases handed to the model at once."""


class TrainRecipe(StrictConfig):
    """One complete training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Names the run folder."""
    task: TaskConfig
    training: TrainingConfig
    evaluate: EvaluateConfig | None = None
    """None measures nothing on the way."""
    validation: tuple[dict[str, Any], ...] = ()
    """Fixed requests in the words of `tasks.request` ({task, prompt, images, ...}; `task` may be left out).
    Whenever samples are drawn they are answered and shown beside their input images."""

    @model_validator(mode="after")
    def _watches_at_sampling_time(self) -> "TrainRecipe":
        if not isinstance(self.task, DitTaskConfig) and (self.evaluate is not None or self.validation):
            raise ValueError(
                f"evaluate and validation ask a whole model; task {self.task.type} trains a part"
            )
        if self.evaluate is not None and self.evaluate.every % self.training.sample_every:
            raise ValueError(
                f"evaluate.every {self.evaluate.every} is no multiple of training.sample_every "
                f"{self.training.sample_every}: evaluation shares the averaged weights of the samples"
            )
        return self


_FIXED_TRAINING = ("seed", "batch_size", "optimizer", "muon_exclude", "ema_decay")


def identity(recipe: TrainRecipe) -> dict[str, Any]:
    """What a run may not change when it resumes: the task, the data it names, and how the state came about.

    Fields that a task calls `free` (what is measured or shown) are left out; so are lengths, rates, cadences.
    """
    task = recipe.task.model_dump(mode="json", exclude=set(recipe.task.free))
    training = recipe.training.model_dump(mode="json", include=set(_FIXED_TRAINING))
    return {"task": task, "data": _data_of(recipe.task), "training": training}


def _data_of(task: TaskConfig) -> Any:
    """The data recipes that a task names, with all their values."""
    if isinstance(task.data, str):
        return load_recipe(task.data, CollageRecipe).model_dump(mode="json")
    recipes = [part.recipe for part in task.data if isinstance(part, CollagePart)]
    return {name: load_recipe(name, CollageRecipe).model_dump(mode="json") for name in recipes}


def check_same_run(state: Mapping[str, Any], recipe: TrainRecipe) -> None:
    """Compare a checkpoint's state with the recipe that wants to resume it. Nothing is read but the state.

    Raises:
        CheckpointError: the task, the data or a fixed setting differs; the message shows what.
    """
    now, saved = identity(recipe), state.get("identity")
    if isinstance(saved, Mapping) and isinstance(saved.get("task"), Mapping):
        # A setting that is younger than the checkpoint had its default then.
        young = {
            name: now["task"][name]
            for name, field in type(recipe.task).model_fields.items()
            if name in now["task"]
            and name not in saved["task"]
            and getattr(recipe.task, name) == field.default
        }
        saved = {**saved, "task": {**saved["task"], **young}}
    differences = list(_differences(saved, now, ""))
    if differences:
        raise CheckpointError(
            f"the checkpoint belongs to another recipe: {'; '.join(differences[:5])}"
            f"{' and more' if len(differences) > 5 else ''}; restore these values, or use another run folder"
        )


def warn_of_changes(state: Mapping[str, Any], recipe: TrainRecipe) -> None:
    """Say what else a resumed recipe changes: lengths, rates, cadences, how processes share the step."""
    saved, now = state.get("training"), recipe.training.model_dump(mode="json")
    if isinstance(saved, Mapping):  # a setting that is younger than the checkpoint had its default then
        defaults = {
            name: field.default for name, field in TrainingConfig.model_fields.items() if name not in saved
        }
        saved = {**saved, **{name: now[name] for name, value in defaults.items() if now[name] == value}}
    for change in _differences(saved, now, "training"):
        log.warning("changed since the checkpoint: %s", change)


def _differences(saved: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for key in [*saved, *(key for key in now if key not in saved)]:
            yield from _differences(saved.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif saved != now:
        yield f"{path} was {saved!r} and is {now!r}"

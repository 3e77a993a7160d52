"""From a recipe to its estimate: parameters, samples, operations, memory, bytes on disk, time.

Shapes and formulas only. No weight is loaded, no model is fetched, nothing is written.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn
from transformers import Qwen2VLConfig

from dreamomni import runtime
from dreamomni.data.feeds import CollagePart
from dreamomni.errors import ConfigError
from dreamomni.models.kontext.text import MAX_T5_TOKENS
from dreamomni.models.presets import count_parts
from dreamomni.training.autoencoder_task import build_autoencoder
from dreamomni.training.config import (
    AutoencoderTaskConfig,
    DitTaskConfig,
    TrainingConfig,
    TrainRecipe,
    VlmTaskConfig,
)
from dreamomni.training.estimate import networks
from dreamomni.training.estimate.activations import Precision, Saved
from dreamomni.training.estimate.flops import Flop, text_encoder_flop
from dreamomni.training.estimate.kontext import flux_saved, read_base
from dreamomni.training.estimate.lora import FluxCost, dreamomni_flop, with_lora
from dreamomni.training.estimate.memory import BF16, FP32, optimizer_bytes, step_memory
from dreamomni.training.estimate.report import (
    Duration,
    Estimate,
    FeatureBytes,
    SampleCost,
    ShapeCost,
    TaskCost,
)
from dreamomni.training.estimate.sources import (
    Shapes,
    count,
    count_text_encoder,
    encoding_flop,
    image_tokens,
)
from dreamomni.training.estimate.workload import TOKENS_PER_WORD, Group, Workload, read_workload
from dreamomni.training.kontext_config import KontextTaskConfig
from dreamomni.training.processes import check_processes
from dreamomni.training.task import named_parameters

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Rate(NamedTuple):
    """What is said about speed: samples a second of the whole run, or TFLOP/s of a GPU and the share used."""

    samples_per_second: float | None = None
    tflops: float | None = None
    mfu: float | None = None


class _Costs(NamedTuple):
    """What differs between tasks."""

    modules: Mapping[str, nn.Module]
    blocks: Sequence[nn.Module]
    parameters: dict[str, int]
    workload: Workload
    shapes: tuple[ShapeCost, ...]
    sample: SampleCost
    saved: Saved
    frozen_bytes: int
    features: FeatureBytes | None
    assumptions: list[str]


def estimate(recipe: TrainRecipe, *, processes: int = 1, rate: Rate | None = None) -> Estimate:
    """Work out what a recipe costs.

    Args:
        recipe: The recipe.
        processes: GPUs, one process each.
        rate: What is known about speed; None leaves the time out.

    Raises:
        ConfigError: The recipe names something that is not there and cannot be assumed, or the batch does not
            divide among the processes.
        DataError: Its data cannot be drawn or read.
    """
    training = recipe.training
    rate = _checked(rate or Rate())
    check_processes(training, processes)
    micro = training.batch_size // (processes * training.gradient_accumulation_steps)
    precision = _precision(training, rate)
    match recipe.task:
        case DitTaskConfig():
            costs = _dit(recipe.task, training, micro, precision)
        case AutoencoderTaskConfig():
            costs = _autoencoder(recipe.task, training, micro, precision)
        case VlmTaskConfig():
            costs = _vlm(recipe.task, training, micro, precision)
        case KontextTaskConfig():
            costs = _kontext(recipe.task, training, micro, precision)
    draws = training.max_steps * training.batch_size
    trained = sum(parameter.numel() for parameter in named_parameters(costs.modules).values())
    return Estimate(
        name=recipe.name,
        recipe=recipe.model_dump(mode="json"),
        parameters={**costs.parameters, "trained": trained},
        num_samples=draws,
        processes=processes,
        batch=(training.batch_size, micro),
        precision="fp32" if precision == "fp32" else "bf16 autocast",
        tasks=tuple(
            TaskCost(task, share, round(draws * share), number)
            for task, share, number in costs.workload.tasks
        ),
        shapes=costs.shapes,
        sample=costs.sample,
        memory=step_memory(
            costs.modules,
            costs.blocks,
            costs.saved,
            training,
            processes=processes,
            bf16=precision != "fp32",
            frozen=costs.frozen_bytes,
        ),
        features=costs.features,
        checkpoint_bytes=2 * FP32 * trained + optimizer_bytes(costs.modules, training),
        num_checkpoints=-(-training.max_steps // training.checkpoint_every),
        duration=_duration(draws, costs.sample, processes, rate),
        assumptions=tuple(dict.fromkeys((*costs.assumptions, *costs.workload.assumptions))),
    )


def _checked(rate: Rate) -> Rate:
    for name, value in rate._asdict().items():
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{name} is {value}: say a number above 0")
    if rate.mfu is not None and rate.mfu > 1:
        raise ConfigError(f"mfu is {rate.mfu}: it is the share of the peak that is used, at most 1")
    if rate.samples_per_second is None and (rate.tflops is None) != (rate.mfu is None):
        missing = (
            "mfu, the share of the peak that is used" if rate.mfu is None else "tflops, the peak of a GPU"
        )
        raise ConfigError(f"a time needs tflops and mfu together: say {missing} too")
    return rate


def _precision(training: TrainingConfig, rate: Rate) -> Precision:
    """`auto` is what this machine would do, or a GPU's bf16 where a GPU's peak was stated."""
    if training.precision == "fp32":
        return "fp32"
    if training.precision == "bf16" or rate.tflops is not None:
        return "cuda-bf16"
    device = runtime.pick_device(training.device)
    if not runtime.native_bf16(device):
        return "fp32"
    return "cuda-bf16" if device.type == "cuda" else "cpu-bf16"


def _duration(draws: int, sample: SampleCost, processes: int, rate: Rate) -> Duration | None:
    if rate.samples_per_second is not None:
        speed, basis = rate.samples_per_second, "at the stated samples/s"
    elif rate.tflops is not None and rate.mfu is not None:
        speed = processes * rate.tflops * 1e12 * rate.mfu / sample.training_flop
        basis = f"estimate: {rate.tflops:,g} TFLOP/s a GPU, {rate.mfu:.0%} of it used"
    else:
        return None
    hours = draws / speed / 3600
    return Duration(speed, hours, hours * processes, basis)


def _dit(task: DitTaskConfig, training: TrainingConfig, micro: int, precision: Precision) -> _Costs:
    shapes = Shapes()
    reader = shapes.text_encoder(task.text_encoder)
    autoencoder = shapes.autoencoder(task.autoencoder)
    changes = {"text_width": reader.text_config.hidden_size, **task.model}
    transformer = shapes.transformer(task.preset, task.init_from, changes)
    width = BF16 if task.frozen_precision == "bf16" else FP32
    parts = count_parts(transformer)
    frozen_network = 0
    if task.lora is not None:
        frozen_network = width * count(transformer)
        transformer, learned = with_lora(transformer, task.lora, _DTYPES[task.frozen_precision])
        parts = {**{f"frozen {name}": number for name, number in parts.items()}, "LoRA": learned}
    workload = read_workload(task.parts, training.seed, task.words)
    joint = task.text_encoder_mode == "joint"

    rows: list[ShapeCost] = []
    trained, frozen = Flop(), 0.0
    reading, pixels_encoded = 0.0, 0.0
    longest = networks.Shape(1, (2, 2))
    text_tokens_mean = 0.0
    for group in workload.groups:
        shape, patches = _shape(group, reader)
        flop = dreamomni_flop(transformer, *shape)
        read = text_encoder_flop(reader, shape.text_tokens, patches, trained=joint)
        if joint:
            flop = flop.plus(read)
        else:
            reading += group.share * read.forward
        rows.append(_row(group, shape, flop))
        trained = trained.plus(flop, group.share)
        pixels_encoded += group.share * sum(size.num_pixels for size in (group.target, *group.images))
        text_tokens_mean += group.share * shape.text_tokens
        if rows[-1].tokens > _length(longest):
            longest = shape
    square = max(workload.groups, key=lambda group: group.share).target
    encoding = encoding_flop(autoencoder, *square) * pixels_encoded / square.num_pixels
    frozen = encoding + reading

    modules: dict[str, nn.Module] = {"transformer": transformer}
    blocks = networks.blocks_of(transformer)
    saved = [networks.dit_saved(transformer, longest, micro, precision)]
    if joint:
        language = networks.language_model(reader)
        modules["text_encoder"] = language
        blocks += list(language.layers)
        saved.append(networks.language_saved(language, longest.text_tokens, micro, precision))
    cache = task.feature_cache
    held_moments = cache is not None and cache.moments
    held_text = cache is not None and (not joint if cache.text is None else cache.text)
    reader_total, reader_run = count_text_encoder(reader)
    frozen_bytes = frozen_network + (0 if held_moments else width * count(autoencoder))
    if not joint:
        frozen_bytes += 0 if held_text else width * reader_total
    features = None
    if cache is not None:
        # Mean and log variance of every latent cell, and every text feature, in 16 bits each.
        cells = pixels_encoded / networks.PIXELS_PER_CELL**2
        number = cache.num_samples or workload.num_samples or 0
        features = FeatureBytes(
            number,
            round(number * cells * 2 * transformer.config.in_channels * BF16) if held_moments else 0,
            round(number * text_tokens_mean * reader.text_config.hidden_size * BF16) if held_text else 0,
            number * ((encoding if held_moments else 0) + (reading if held_text else 0)),
        )
    shapes.assumptions.append(f"{TOKENS_PER_WORD} text tokens a word; a batch is not padded beyond its mean")
    return _Costs(
        modules,
        blocks,
        {
            **parts,
            "frozen autoencoder": count(autoencoder),
            ("text encoder in all" if joint else "frozen text encoder"): reader_total,
            "text encoder up to its features": reader_run,
        },
        workload,
        tuple(rows),
        _sample(trained, training, frozen),
        networks.add_saved(saved),
        frozen_bytes,
        features,
        shapes.assumptions,
    )


def _autoencoder(
    task: AutoencoderTaskConfig, training: TrainingConfig, micro: int, precision: Precision
) -> _Costs:
    shapes = Shapes()
    if task.init_from is not None:
        model = shapes.autoencoder(task.init_from)
    else:
        with torch.device("meta"):
            model = build_autoencoder(task).model
    if task.freeze_encoder:
        model.encoder.requires_grad_(False)
    workload = read_workload([CollagePart(recipe=task.data)], training.seed)
    size = workload.groups[0].target
    flop, saved = networks.autoencoder_cost(model, size.width, size.height, micro, precision)
    rows = tuple(_row(group, networks.Shape(0, (0, 0)), flop) for group in workload.groups)
    parameters = {"encoder": count(model.encoder), "decoder": count(model.decoder)}
    sample = _sample(flop, training, 0.0)
    return _Costs({"vae": model}, (), parameters, workload, rows, sample, saved, 0, None, shapes.assumptions)


def _vlm(task: VlmTaskConfig, training: TrainingConfig, micro: int, precision: Precision) -> _Costs:
    shapes = Shapes()
    config = (
        networks.new_text_encoder(task) if task.init_from is None else shapes.text_encoder(task.init_from)
    )
    workload = read_workload([CollagePart(recipe=task.data)], training.seed)
    model = networks.whole_text_encoder(config)
    rows, trained, longest = [], Flop(), networks.Shape(1, (2, 2))
    for group in workload.groups:
        # A conversation shows at least the target: what it says is about as long as the prompt.
        shown = group._replace(images=group.images or (group.target,))
        shape, patches = _shape(shown, config)
        read = text_encoder_flop(config, shape.text_tokens, patches, trained=True, whole=True)
        rows.append(_row(shown, shape._replace(target=(0, 0), images=()), read))
        trained = trained.plus(read, group.share)
        longest = max(longest, shape, key=lambda shape: shape.text_tokens)
    saved = networks.language_saved(model.model.language_model, longest.text_tokens, micro, precision)
    shapes.assumptions += [
        f"{TOKENS_PER_WORD} text tokens a word",
        "activations are those of the language model; the vision part and the logits come on top",
    ]
    parameters = {"language": count(model.model.language_model), "vision": count(model.model.visual)}
    blocks = [*model.model.visual.blocks, *model.model.language_model.layers]
    sample = _sample(trained, training, 0.0)
    return _Costs(
        {"vlm": model}, blocks, parameters, workload, tuple(rows), sample, saved, 0, None, shapes.assumptions
    )


def _kontext(task: KontextTaskConfig, training: TrainingConfig, micro: int, precision: Precision) -> _Costs:
    dtype = _DTYPES[task.frozen_precision]
    base = read_base(task.base)
    total = count(base.transformer)
    transformer, learned = with_lora(base.transformer, task.lora, dtype)
    workload = read_workload(task.parts, training.seed, task.words)
    rows: list[ShapeCost] = []
    cost, trained, pixels_encoded, longest = FluxCost(transformer), Flop(), 0.0, (0, 0)
    for group in workload.groups:
        cells = [size.num_pixels // networks.PIXELS_PER_CELL**2 for size in (group.target, *group.images)]
        noise, images = cells[0] // 4, sum(cells[1:]) // 4
        flop = cost(MAX_T5_TOKENS, noise, images)
        sizes = tuple(str(size) for size in group.images)
        rows.append(
            ShapeCost(
                str(group.target),
                sizes,
                group.share,
                MAX_T5_TOKENS,
                noise,
                images,
                flop.forward,
                flop.training,
            )
        )
        trained = trained.plus(flop, group.share)
        pixels_encoded += group.share * sum(size.num_pixels for size in (group.target, *group.images))
        longest = max(longest, (noise, images), key=sum)
    square = max(workload.groups, key=lambda group: group.share).target
    encoding = encoding_flop(base.vae, *square) * pixels_encoded / square.num_pixels
    features, width = None, BF16 if dtype == torch.bfloat16 else FP32
    if task.feature_cache is not None:
        number = task.feature_cache.num_samples or workload.num_samples or 0
        cells_kept = pixels_encoded / networks.PIXELS_PER_CELL**2
        channels = base.vae.config.latent_channels
        features = FeatureBytes(
            number, round(number * cells_kept * 2 * channels * BF16), 0, number * encoding
        )
    beside = {"vae": base.vae, "CLIP": base.clip, "T5": base.t5}
    return _Costs(
        {"transformer": transformer},
        [*transformer.transformer_blocks, *transformer.single_transformer_blocks],
        {
            "frozen network": total,
            "LoRA": learned,
            **{f"frozen {name}": count(network) for name, network in beside.items()},
        },
        workload,
        tuple(rows),
        _sample(trained, training, encoding + base.reading_flop),
        flux_saved(transformer, *longest, micro, precision),
        width * (total + sum(count(network) for network in base.frozen)),
        features,
        base.assumptions,
    )


def _sample(flop: Flop, training: TrainingConfig, frozen: float) -> SampleCost:
    executed = flop.executed(checkpointing=training.activation_checkpointing)
    return SampleCost(flop.forward, flop.training, executed, frozen)


def _shape(group: Group, reader: Qwen2VLConfig) -> tuple[networks.Shape, list[int]]:
    """What the DiT reads for a group, and the patches that the VLM reads of each image."""
    tokens = [image_tokens(reader, *size) for size in group.images]
    # Two more tokens stand around every image.
    text = max(1, round(TOKENS_PER_WORD * group.num_words)) + sum(tokens) + 2 * len(tokens)
    cells = networks.PIXELS_PER_CELL
    target, *images = ((size.height // cells, size.width // cells) for size in (group.target, *group.images))
    merged = reader.vision_config.spatial_merge_size**2
    return networks.Shape(text, target, tuple(images)), [merged * number for number in tokens]


def _length(shape: networks.Shape) -> int:
    return shape.text_tokens + sum(height * width // 4 for height, width in (shape.target, *shape.images))


def _row(group: Group, shape: networks.Shape, flop: Flop) -> ShapeCost:
    return ShapeCost(
        str(group.target),
        tuple(str(size) for size in group.images),
        group.share,
        shape.text_tokens,
        shape.target[0] * shape.target[1] // 4,
        sum(height * width // 4 for height, width in shape.images),
        flop.forward,
        flop.training,
    )

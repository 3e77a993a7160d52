"""The numbers of a dry run, as values, as JSON, and as a table for people."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dreamomni.training.estimate.memory import Memory


class ShapeCost(NamedTuple):
    """Samples of one shape.

    Attributes:
        target: Size of the target, as WIDTHxHEIGHT.
        images: Sizes of the input images.
        share: Of all draws.
        text_tokens: Mean.
        noise_tokens: Of the target.
        image_tokens: Of the input images.
        forward_flop: One forward pass of the trained network, for one sample.
        training_flop: Forward and backward.
    """

    target: str
    images: tuple[str, ...]
    share: float
    text_tokens: float
    noise_tokens: int
    image_tokens: int
    forward_flop: float
    training_flop: float

    @property
    def tokens(self) -> float:
        """Length of the sequence."""
        return self.text_tokens + self.noise_tokens + self.image_tokens


class TaskCost(NamedTuple):
    """One task of the mixture: its share of the draws, draws in the whole run, and different samples."""

    task: str
    share: float
    num_draws: int
    num_samples: int | None


class SampleCost(NamedTuple):
    """One sample, mean over the mixture.

    Attributes:
        forward_flop: Of the trained network.
        training_flop: Forward and backward: what MFU counts.
        executed_flop: With what activation checkpointing computes again.
        frozen_flop: Of the frozen networks, once for each sample of a feature cache, else in every step.
    """

    forward_flop: float
    training_flop: float
    executed_flop: float
    frozen_flop: float


class FeatureBytes(NamedTuple):
    """A feature cache.

    Attributes:
        num_samples: In it.
        moments: Bytes of latents of targets and images.
        text: Bytes of text features.
        flop: To make it.
    """

    num_samples: int
    moments: int
    text: int
    flop: float


class Duration(NamedTuple):
    """How long the run takes at a stated rate.

    Attributes:
        samples_per_second: Of all processes.
        hours: Of the clock.
        gpu_hours: Times the processes.
        basis: Where the rate comes from.
    """

    samples_per_second: float
    hours: float
    gpu_hours: float
    basis: str


class Estimate(NamedTuple):
    """Everything that a dry run tells.

    Attributes:
        name: Of the recipe.
        recipe: Resolved.
        parameters: Trained, by part, with their sum as "trained"; frozen ones by network.
        num_samples: Draws of the whole run.
        processes: GPUs it was worked out for.
        batch: Samples of a step: in all, and of one process at once.
        precision: Of the arithmetic.
        tasks: The mixture.
        shapes: By size of the target and of the input images.
        sample: Mean cost of one sample.
        memory: Of one GPU.
        features: Of the feature cache, if there is one.
        checkpoint_bytes: Of one checkpoint.
        num_checkpoints: That the run writes.
        duration: At the stated rate, if one was stated.
        assumptions: What was not looked up.
    """

    name: str
    recipe: dict[str, Any]
    parameters: dict[str, int]
    num_samples: int
    processes: int
    batch: tuple[int, int]
    precision: str
    tasks: tuple[TaskCost, ...]
    shapes: tuple[ShapeCost, ...]
    sample: SampleCost
    memory: Memory
    features: FeatureBytes | None
    checkpoint_bytes: int
    num_checkpoints: int
    duration: Duration | None
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        tree = _plain(self)
        tree["num_parameters"] = self.parameters["trained"]
        tree["memory"]["total"] = self.memory.total
        return tree


def show(estimate: Estimate, console: Console | None = None) -> None:
    """Print an estimate."""
    (console or Console()).print(Group(*_parts(estimate)))


def _parts(found: Estimate) -> Iterable[RenderableType]:
    total, micro = found.batch
    yield Text(
        f"{found.name}: {found.recipe['training']['max_steps']:,} steps of {total:,} samples = "
        f"{found.num_samples:,} draws; {found.processes} GPU{'s' * (found.processes > 1)}, {micro:,} samples "
        f"at once on each, {found.precision}"
    )
    yield _table("Parameters", ("part", "number"), [(k, _count(v)) for k, v in found.parameters.items()])
    rows = [
        (row.task, f"{row.share:.1%}", f"{row.num_draws:,}", _number(row.num_samples), _epochs(row))
        for row in found.tasks
    ]
    yield _table("Samples", ("task", "share", "draws", "different", "epochs"), rows)
    yield _table(
        "One sample, by the number of its input images",
        ("images", "share", "text", "noise", "images", "tokens (range)", "forward", "training"),
        list(_by_images(found.shapes)),
    )
    cost = found.sample
    yield _table(
        "One sample, mean",
        ("what", "operations"),
        [
            ("forward", _flop(cost.forward_flop)),
            ("training (forward and backward)", _flop(cost.training_flop)),
            ("executed (with recomputation)", _flop(cost.executed_flop)),
            ("frozen networks, if not cached", _flop(cost.frozen_flop)),
        ],
    )
    memory = [(name.replace("_", " "), _bytes(value)) for name, value in found.memory._asdict().items()]
    yield _table("Memory of one GPU", ("what", "bytes"), [*memory, ("total", _bytes(found.memory.total))])
    stored = [
        (f"checkpoint, {found.num_checkpoints:,} times", _bytes(found.checkpoint_bytes)),
    ]
    if found.features is not None:
        features = found.features
        stored += [
            (f"latents of {features.num_samples:,} samples", _bytes(features.moments)),
            (f"text features of {features.num_samples:,} samples", _bytes(features.text)),
        ]
    yield _table("On disk", ("what", "bytes"), stored)
    if found.duration is not None:
        time = found.duration
        yield _table(
            f"Time ({time.basis})",
            ("samples/s", "hours", "GPU hours"),
            [(f"{time.samples_per_second:,.1f}", f"{time.hours:,.2f}", f"{time.gpu_hours:,.1f}")],
        )
    for sentence in found.assumptions:
        yield Text(f"assumed: {sentence}")


def _by_images(shapes: Iterable[ShapeCost]) -> Iterable[tuple[str, ...]]:
    groups: dict[int, list[ShapeCost]] = {}
    for shape in shapes:
        groups.setdefault(len(shape.images), []).append(shape)
    for number, members in sorted(groups.items()):
        share = sum(member.share for member in members)

        def mean(name: str, members: list[ShapeCost] = members, share: float = share) -> float:
            return float(sum(member.share * getattr(member, name) for member in members) / share)

        lengths = [member.tokens for member in members]
        yield (
            str(number),
            f"{share:.1%}",
            f"{mean('text_tokens'):,.0f}",
            f"{mean('noise_tokens'):,.0f}",
            f"{mean('image_tokens'):,.0f}",
            f"{mean('tokens'):.0f} ({min(lengths):.0f}-{max(lengths):.0f})",
            _flop(mean("forward_flop")),
            _flop(mean("training_flop")),
        )


def _table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _epochs(row: TaskCost) -> str:
    return "-" if not row.num_samples else f"{row.num_draws / row.num_samples:,.2f}"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _count(value: int) -> str:
    return f"{value:,}"


def _flop(number: float) -> str:
    return _scaled(number, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"))


def _bytes(number: float) -> str:
    return _scaled(number, ("B", "kB", "MB", "GB", "TB"))


def _scaled(number: float, units: Sequence[str]) -> str:
    step = 0
    while number >= 1000 and step < len(units) - 1:
        number, step = number / 1000, step + 1
    return f"{number:,.4g} {units[step]}"


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {key: _plain(inner) for key, inner in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value

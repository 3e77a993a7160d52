"""What a gallery asks of a model: fixed prompts, and samples of its world as the requests of a user."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from dreamomni.config import load_recipe
from dreamomni.data.collage.asking import request_of
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import TASK_OF_KIND, CollageRecipe
from dreamomni.data.sheet.overlays import draw_drags, scaled
from dreamomni.errors import ConfigError
from dreamomni.models.folder import ModelCard
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import Request, TextToImageRequest
from dreamomni.tasks.sample import TrainingSample

PROMPTS = (
    "two red stars above a blue house",
    "a purple umbrella",
    "an orange fish and a blue cup",
    "a yellow fish to the left of a green car",
    "three red hearts",
    "a green tree to the right of a red car",
    "a blue cup",
    "a purple star above a yellow umbrella",
    "a red house and a green tree",
    "an orange heart below a blue fish",
)
SINGLE_PROMPTS = (
    "a red star",
    "a blue house",
    "a green tree",
    "a yellow car",
    "a purple umbrella",
    "an orange fish",
    "a red heart",
    "a blue cup",
    "a yellow star on a white background",
    "a green fish on a cream background",
)
"""For a world in which every picture shows one thing."""
PROMPT_NAMES = frozenset({"star", "house", "umbrella", "fish", "cup", "car", "heart", "tree"})
PROMPT_COLOURS = frozenset({"red", "blue", "purple", "orange", "yellow", "green"})
WORD_KINDS = ("colors", "position", "color_attribution", "two")
DEFAULT_WORLD = "mini-world"
_ARROWS_PX = 192
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the gallery.

    Attributes:
        title: Its heading.
        step: What the progress bar says.
        kinds: Kinds of samples, each shown `each` times.
        each: See `kinds`.
        columns: Exhibits side by side in the picture.
        headings: Titles of the kinds on the page.
    """

    title: str
    step: str
    kinds: tuple[str, ...]
    each: int
    columns: int
    headings: tuple[str, ...]


WORDS = Section("From words", "pictures from words", ("words",), len(PROMPTS), 5, ("From words",))
SECTIONS: tuple[Section, ...] = (
    WORDS,
    Section(
        "Edits: source, result, ground truth",
        "edits",
        ("add", "remove", "replace"),
        3,
        3,
        ("Add", "Remove", "Replace"),
    ),
    Section(
        "Inpainting and outpainting: known part, result, ground truth",
        "inpainting and outpainting",
        ("inpaint", "outpaint"),
        3,
        3,
        ("Inpaint", "Outpaint"),
    ),
    Section(
        "Drags: source, result, ground truth",
        "drags",
        ("drag_move", "drag_scale", "drag_rotate"),
        1,
        3,
        ("Drag: move", "Drag: scale", "Drag: rotate"),
    ),
    Section(
        "Control maps: map, result, the picture that the map was made of",
        "control maps",
        ("canny", "depth", "segmentation"),
        1,
        3,
        ("Follow edges", "Follow depth", "Follow regions"),
    ),
    Section("Subjects: images, result, ground truth", "subjects", ("subject",), 4, 2, ("Subjects",)),
    Section(
        "Segmentation and detection: source, result, ground truth",
        "segmentation and detection",
        ("segment", "detect"),
        3,
        3,
        ("Segment", "Detect"),
    ),
)
"""In the order in which they are shown; a model has those whose tasks its card lists."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request before its result, with what is shown beside it.

    Attributes:
        name: Stem of its files.
        kind: Of a sample, or "words".
        request: What the model is asked.
        inputs: Label and picture of each input image, as people look at them.
        truth: The engine's own picture, where there is one.
    """

    name: str
    kind: str
    request: Request
    inputs: tuple[tuple[str, Image.Image], ...] = ()
    truth: Image.Image | None = None


def load_world(card: ModelCard) -> CollageRecipe:
    """The world that a model knows, square at the size it was trained at where that is above the recipe's."""
    world = load_recipe(card.world or DEFAULT_WORLD, CollageRecipe)
    side = card.base_size // 16 * 16
    if side**2 <= max(size.num_pixels for size in world.size):
        return world
    return world.model_copy(update={"size": (Size(side, side),), "buckets": None})


def ask_words(world: CollageRecipe, seed: int) -> list[Question]:
    """The fixed prompts where the world has their words, its own otherwise."""
    kinds = _kinds_of(world, WORD_KINDS)
    engine = _engine(world, kinds)
    prompts = list(PROMPTS if set(kinds) >= set(WORD_KINDS) else SINGLE_PROMPTS)
    if not (set(engine.names) >= PROMPT_NAMES and set(engine.colours) >= PROMPT_COLOURS):
        prompts = [
            engine.sample(seed, number, kind=kinds[number % len(kinds)]).instruction
            for number in range(len(prompts))
        ]
    return [
        Question(f"words-{number:02d}", "words", TextToImageRequest(prompt=prompt, seed=seed))
        for number, prompt in enumerate(prompts, start=1)
    ]


def ask_samples(world: CollageRecipe, section: Section, card: ModelCard, seed: int) -> list[Question]:
    """Samples of a section as requests, those of tasks that the model learned.

    Kinds that the world cannot draw are left out.
    """
    kinds = [kind for kind in _kinds_of(world, section.kinds) if TASK_OF_KIND[kind] in card.tasks]
    if not kinds:
        return []
    engine = _engine(world, kinds)
    counts = _image_counts(world, card.max_images)
    asked = []
    for number in range(1, section.each + 1):
        for place, kind in enumerate(kinds):
            if kind == "subject":
                # With one image, then with two, and so on: chance might show none of the harder ones.
                engine = _engine(_with_images(world, counts[(number - 1) % len(counts)]), kinds)
            # An index of its own for every sample: kinds of one index share their things and their ground.
            sample = _draw(engine, seed, 100 * place + number, kind)
            if sample is None:
                continue
            request = request_of(sample, seed=seed)
            truth = Image.fromarray(sample.target)
            name = f"{kind.replace('_', '-')}-{number:02d}"
            asked.append(Question(name, kind, request, _inputs(sample), truth))
    return asked


def _inputs(sample: TrainingSample) -> tuple[tuple[str, Image.Image], ...]:
    """Input images as people look at them: numbered where there are several, drags as arrows."""
    if sample.drags:
        source = scaled(sample.images[0], max(_ARROWS_PX, *sample.images[0].shape[:2]))
        draw_drags(source, sample.drags)
        return (("source", source),)
    label = "map" if sample.task == "control" else "source"
    several = sample.task == "subject"
    return tuple(
        (f"image {number}" if several else label, Image.fromarray(image))
        for number, image in enumerate(sample.images, start=1)
    )


def _draw(engine: CollageEngine, seed: int, index: int, kind: str) -> TrainingSample | None:
    for attempt in range(_ATTEMPTS):
        try:
            return engine.sample(seed, index + 1000 * attempt, kind=kind)
        except RejectedSampleError:
            continue
    return None


def _kinds_of(world: CollageRecipe, kinds: Sequence[str]) -> list[str]:
    """Those of the kinds that the world draws; all of them if it draws none."""
    return [kind for kind, weight in world.mixture.items() if kind in kinds and weight > 0] or list(kinds)


def _engine(world: CollageRecipe, kinds: Sequence[str]) -> CollageEngine:
    """The held-out split, which a small world may have for these kinds and not for others."""
    mixture = dict.fromkeys(kinds, 1.0)
    wanted = world.model_copy(update={"mixture": mixture})
    try:
        return CollageEngine(wanted, split="held_out")
    except ConfigError:
        return CollageEngine(wanted, split="train")


def _image_counts(world: CollageRecipe, most: int | None) -> list[int]:
    """The numbers of source images that a world draws and a model takes."""
    drawn = sorted(number for number, weight in world.reference.num_sources.items() if weight > 0)
    return [number for number in drawn if most is None or number <= most] or drawn[:1]


def _with_images(world: CollageRecipe, count: int) -> CollageRecipe:
    """The same world with one number of source images."""
    return world.model_copy(
        update={"reference": world.reference.model_copy(update={"num_sources": {count: 1.0}})}
    )

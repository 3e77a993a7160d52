"""The checker against rendered truth, damaged pictures, and pictures that show nothing it knows."""

from collections import Counter

import cv2
import numpy as np
import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.palette import BACKGROUNDS, MINI
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.evaluation.checker import Vocabulary, detect
from dreamomni.evaluation.degradations import Degradation
from dreamomni.evaluation.judging import vocabulary_of
from dreamomni.seeding import generator


@pytest.fixture(scope="module")
def recipe() -> CollageRecipe:
    return load_recipe("mini-world", CollageRecipe)


@pytest.fixture(scope="module")
def vocabulary(recipe: CollageRecipe) -> Vocabulary:
    return vocabulary_of(recipe)


def canvas(background: str = "cream") -> np.ndarray:
    return np.full((64, 64, 3), BACKGROUNDS[background], np.uint8)


def paste(image: np.ndarray, name: str, colour: str, x: int, y: int, size: int) -> None:
    sticker = StickerPack.default().render(name, MINI[colour], size).astype(np.float32)
    height, width = sticker.shape[:2]
    alpha = sticker[..., 3:] / 255
    place = image[y : y + height, x : x + width]
    place[:] = np.rint(alpha * sticker[..., :3] + (1 - alpha) * place).astype(np.uint8)


@pytest.mark.parametrize(
    ("damage", "num", "exact", "both"),
    [
        (Degradation(), 60, 0.99, 0.99),
        (Degradation(blur=0.7, noise=6), 40, 0.95, 0.97),
        (Degradation(blur=1.0, noise=6, jpeg=90), 20, 0.9, 0.95),
        (Degradation(blur=1.4, noise=12, jpeg=70), 12, 0.8, 0.93),
    ],
    ids=str,
)
def test_reads_engine_pictures(
    recipe: CollageRecipe,
    vocabulary: Vocabulary,
    damage: Degradation,
    num: int,
    exact: float,
    both: float,
) -> None:
    engine = CollageEngine(recipe)
    right_scenes = right_things = things = 0
    for index in range(num):
        sample = engine.sample(21, index)
        picture = damage.apply(sample.target, generator(21, index))
        asked = Counter((label.name, label.colour) for label in sample.objects)
        found = Counter((d.name, d.colour) for d in detect(picture, vocabulary))
        right_scenes += asked == found
        right_things += sum((asked & found).values())
        things += len(sample.objects)
    assert right_scenes / num >= exact
    assert right_things / things >= both


def test_boxes_and_masks_match_the_labels(recipe: CollageRecipe, vocabulary: Vocabulary) -> None:
    engine = CollageEngine(recipe)
    for index in range(12):
        sample = engine.sample(33, index, kind="color_attribution")
        labels = {label.name: label for label in sample.objects}
        for detection in detect(sample.target, vocabulary):
            difference = np.subtract(detection.box, labels[detection.name].box)
            # The pale foot of the mushroom may fade into the background.
            assert np.abs(difference).max() <= (8 if detection.name == "mushroom" else 2)
            rows, columns = np.nonzero(detection.mask)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == tuple(detection.box)


@pytest.mark.parametrize("background", ["white", "mint", "peach"])
def test_an_empty_canvas_shows_nothing(vocabulary: Vocabulary, background: str) -> None:
    assert detect(canvas(background), vocabulary) == []


def test_a_soft_gradient_is_background(vocabulary: Vocabulary) -> None:
    share = np.linspace(0, 1, 64)[:, None, None]
    image = (1 - share) * np.array(BACKGROUNDS["white"]) + share * np.array(BACKGROUNDS["lavender"])
    picture = np.broadcast_to(np.rint(image), (64, 64, 3)).astype(np.uint8).copy()
    assert detect(picture, vocabulary) == []
    paste(picture, "star", "red", 20, 20, 24)
    assert [(d.name, d.colour) for d in detect(picture, vocabulary)] == [("star", "red")]


def test_noise_has_no_names(vocabulary: Vocabulary) -> None:
    for seed in range(3):
        image = generator(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        assert all(d.name is None for d in detect(image, vocabulary))


def test_specks_are_not_things(vocabulary: Vocabulary) -> None:
    image = canvas()
    paste(image, "cup", "blue", 30, 30, 24)
    image[5:8, 5:8] = MINI["red"]
    image[50, 2:20] = (20, 200, 190)
    assert [(d.name, d.colour) for d in detect(image, vocabulary)] == [("cup", "blue")]


def test_touching_things_are_told_apart(vocabulary: Vocabulary) -> None:
    image = canvas("white")
    paste(image, "heart", "red", 8, 20, 22)
    paste(image, "car", "green", 30, 22, 24)
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    found = Counter((d.name, d.colour) for d in detect(image, vocabulary))
    assert found == Counter({("heart", "red"): 1, ("car", "green"): 1})


def test_touching_equal_things_are_told_apart(vocabulary: Vocabulary) -> None:
    image = canvas("white")
    for x in (0, 21, 42):
        paste(image, "cat", "yellow", x, 20, 21)
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    assert [(d.name, d.colour) for d in detect(image, vocabulary)] == [("cat", "yellow")] * 3


@pytest.mark.parametrize("colour", sorted(MINI))
def test_every_colour_is_named(vocabulary: Vocabulary, colour: str) -> None:
    image = canvas("light gray")
    paste(image, "house", colour, 18, 18, 30)
    assert [(d.name, d.colour) for d in detect(image, vocabulary)] == [("house", colour)]


def test_a_shapeless_blob_is_unreadable(vocabulary: Vocabulary) -> None:
    image = canvas("white")
    cv2.rectangle(image, (10, 10), (50, 20), MINI["blue"], -1)
    cv2.rectangle(image, (10, 20), (18, 54), MINI["blue"], -1)
    assert [d.name for d in detect(image, vocabulary)] == [None]


def test_a_thick_line_is_not_a_squeezed_thing(vocabulary: Vocabulary) -> None:
    image = canvas("white")
    image[30:32, 5:50] = MINI["red"]
    assert all(d.name is None for d in detect(image, vocabulary))


def test_most_unknown_things_are_not_named(recipe: CollageRecipe, vocabulary: Vocabulary) -> None:
    unknown = ("chair", "guitar", "rocket", "scissors")
    named = 0
    for name in unknown:
        image = canvas("white")
        paste(image, name, "green", 16, 16, 30)
        named += any(d.name for d in detect(image, vocabulary))
    assert named <= 1


def test_a_washed_out_colour_between_two_names_is_unclear(vocabulary: Vocabulary) -> None:
    image = canvas("white")
    paste(image, "star", "blue", 16, 16, 30)
    faded = (0.45 * image + 0.55 * 255).astype(np.uint8)
    assert [d.colour for d in detect(faded, vocabulary)] == [None]


def test_reading_twice_gives_the_same(recipe: CollageRecipe, vocabulary: Vocabulary) -> None:
    image = CollageEngine(recipe).sample(3, 3, kind="two").target
    first, second = (
        [(d.name, d.colour, d.box, d.score) for d in detect(image, vocabulary)] for _ in range(2)
    )
    assert first == second

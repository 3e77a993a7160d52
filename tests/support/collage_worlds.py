"""Two worlds of collages that many tests look at, and what they ask of samples."""

from dreamomni.config import load_recipe
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.tasks.sample import ObjectLabel, TrainingSample

MINI = load_recipe("mini-world", CollageRecipe)
# Everything at once, crowded enough that things cover each other, small enough to be quick.
CROWDED = load_recipe("collage-all", CollageRecipe, ["size=[96x96, 128x80]", "max_overlap=0.3"])


def same(first: TrainingSample, second: TrainingSample) -> bool:
    """Whether two samples are equal to the byte."""
    facts = (
        "key",
        "task",
        "kind",
        "instruction",
        "caption",
        "objects",
        "source_objects",
        "relations",
        "details",
    )
    return (
        all(getattr(first, fact) == getattr(second, fact) for fact in facts)
        and first.target.tobytes() == second.target.tobytes()
        and [image.tobytes() for image in first.images] == [image.tobytes() for image in second.images]
        and (first.mask is None) == (second.mask is None)
        and (first.mask is None or first.mask.tobytes() == second.mask.tobytes())
    )


def with_name(labels: tuple[ObjectLabel, ...], name: str, colour: str | None = None) -> list[ObjectLabel]:
    """Labels of this name, and of this colour where one is given."""
    return [label for label in labels if label.name == name and colour in (None, label.colour)]

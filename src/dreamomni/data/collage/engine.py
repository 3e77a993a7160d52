"""Sample i of a collage recipe, as a pure function of (recipe, seed, i)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import cv2
import numpy as np

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import draw_background
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.edit_plans import EditPlan, plan_edit
from dreamomni.data.collage.fonts import font_licence
from dreamomni.data.collage.labels import read_labels, read_relations
from dreamomni.data.collage.plans import TextToImagePlan, plan_text_to_image
from dreamomni.data.collage.recipe import EDIT_KINDS, TEXT_TO_IMAGE_KINDS, CollageRecipe
from dreamomni.data.collage.render import Picture, Renderer
from dreamomni.data.collage.scene import BackgroundLook, Placed, Thing
from dreamomni.data.collage.staging import Stage, stage_edit, stage_text_to_image
from dreamomni.data.collage.words.captions import describe, write_prompt
from dreamomni.data.collage.words.coverage import coverage
from dreamomni.data.collage.words.instructions import write_instruction
from dreamomni.data.collage.world import Split, World
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample

_ATTEMPTS = 40
_LICENCE = "Apache-2.0"


class CollageEngine:
    """Draws exactly labelled samples for text-to-image and instruction editing (DreamOmni, section 3.2).

    Args:
        recipe: What to draw.
        split: "train" never shows a held-out combination, in source or target; "held_out" shows one wherever
            its kind can.
        pack: Where stickers come from; the shipped pack by default.

    Raises:
        ConfigError: The recipe names something that does not exist, or a split has nothing to draw.
    """

    def __init__(
        self, recipe: CollageRecipe, split: Split = "train", pack: StickerPack | None = None
    ) -> None:
        if split not in get_args(Split):
            raise ConfigError(f"there is no split {split!r}; the splits are {', '.join(get_args(Split))}")
        self.recipe = recipe
        self.split = split
        self._pack = pack
        used = pack or StickerPack.default()
        self._world = World(recipe, used)
        self._world.check_split(split)
        self._renderer = Renderer(used)
        self._licences = {name: used.licence(name) for name in self._world.names}

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers rebuild their caches; drawn sprites are not worth sending.
        return type(self), (self.recipe, self.split, self._pack)

    @property
    def names(self) -> tuple[str, ...]:
        """Every thing of the world."""
        return self._world.names

    @property
    def colours(self) -> Mapping[str, tuple[int, int, int]]:
        """Every colour of things, with its sRGB value."""
        return self._world.colours

    @property
    def backgrounds(self) -> Mapping[str, tuple[int, int, int]]:
        """Every background colour, with its sRGB value."""
        return self._world.backgrounds

    def sample(self, seed: int, index: int, kind: str | None = None) -> TrainingSample:
        """Make one sample.

        Args:
            seed: Seed of the data set.
            index: Number of the sample.
            kind: One of the kinds, to force it; by default the recipe's mixture decides. A forced kind gives
                what the mixture would have given for this index had it drawn that kind.

        Raises:
            ConfigError: There is no such kind.
            DataError: The recipe leaves no room for what this sample must show.
        """
        stage = self.stage(seed, index, kind)
        return self._finish(seed, index, stage)

    def stage(self, seed: int, index: int, kind: str | None = None) -> Stage:
        """Decide all of one sample but its words: what is where, before any pixel exists.

        Arguments and errors are those of `sample`.
        """
        kind = self._kind(seed, index, kind)
        canvas = Draws(*self._path(seed, index), "canvas")
        size = canvas.pick(self.recipe.size)
        background = self._draw_background(canvas)
        for attempt in range(_ATTEMPTS):
            stage = self._attempt(kind, size, background, self._path(seed, index), attempt)
            if stage is not None:
                return replace(stage, kind=kind, attempts=attempt + 1)
        raise DataError(
            f"sample {index} of seed {seed} ({kind}, {size}) found no layout in {_ATTEMPTS} attempts: lower "
            "object_sizes, gap or held_out.fraction"
        )

    def corpus(self, num: int, seed: int = 0) -> Iterator[str]:
        """Yield texts to train a tokenizer on.

        Args:
            num: How many texts of samples follow the ones that cover every word.
            seed: Seed of the samples.
        """
        yield from coverage(self.recipe, self._world)
        for index in range(num):
            sample = self.sample(seed, index)
            yield sample.instruction
            if sample.caption != sample.instruction:
                yield sample.caption

    def _path(self, seed: int, index: int) -> tuple[int, str, int]:
        # The splits must not be near copies of each other under one seed.
        return seed, "sample" if self.split == "train" else f"sample/{self.split}", index

    def _kind(self, seed: int, index: int, kind: str | None) -> str:
        if kind is None:
            return Draws(*self._path(seed, index), "kind").weighted(self.recipe.mixture)
        if kind not in (*TEXT_TO_IMAGE_KINDS, *EDIT_KINDS):
            known = ", ".join((*TEXT_TO_IMAGE_KINDS, *EDIT_KINDS))
            raise ConfigError(f"there is no kind of sample {kind!r}; the kinds are {known}")
        return kind

    def _draw_background(self, draws: Draws) -> BackgroundLook:
        colour = draws.pick(tuple(self._world.backgrounds))
        style = draws.weighted(self.recipe.background_styles)
        return draw_background(style, colour, self._world.backgrounds[colour], draws)

    def _attempt(
        self, kind: str, size: Size, background: BackgroundLook, path: tuple[int, str, int], attempt: int
    ) -> Stage | None:
        things, looks, layout = (Draws(*path, group, attempt) for group in ("things", "looks", "layout"))
        if kind in EDIT_KINDS:
            edit = plan_edit(kind, self._world, self.split, background.colour, things)
            if edit is None:
                return None
            return stage_edit(edit, self._world, self._renderer, size, background, looks, layout)
        plan = plan_text_to_image(kind, self._world, self.split, background.colour, things)
        if plan is None:
            return None
        return stage_text_to_image(plan, self._world, self._renderer, size, background, looks, layout)

    def _finish(self, seed: int, index: int, stage: Stage) -> TrainingSample:
        source, target = self._pictures(stage)
        labels = read_labels(target, stage.target.placed)
        words = Draws(*self._path(seed, index), "words")
        caption_words = Draws(*self._path(seed, index), "caption")
        say_background = caption_words.chance(self.recipe.say_background)
        description = describe(stage.target, caption_words, say_background=say_background)
        details: dict[str, Any] = {
            "background": {"colour": stage.target.background.colour, "style": stage.target.background.style},
            "split": self.split,
            "attempts": stage.attempts,
            "description": description,
        }
        common: dict[str, Any] = {
            "key": f"{self.split}-{seed}-{index:09d}",
            "kind": stage.kind,
            "target": target.pixels,
            "objects": labels,
            "relations": read_relations(labels),
            "details": details,
            "licences": self._licences_of(stage),
            "seed": seed,
            "index": index,
        }
        if isinstance(stage.plan, TextToImagePlan):
            prompt = write_prompt(stage.plan, stage.target.background, say_background, words)
            details.update(_expect_prompt(stage.plan))
            return TrainingSample(
                task="text_to_image",
                images=(),
                mask=None,
                instruction=prompt,
                caption=prompt,
                source_objects=(),
                **common,
            )
        details.update(_expect_edit(stage.plan, stage.target.placed))
        return TrainingSample(
            task="edit",
            images=(source.pixels,),
            mask=changed(source.pixels, target.pixels),
            instruction=write_instruction(stage.plan, words),
            caption=description,
            source_objects=read_labels(source, stage.source.placed),
            **common,
        )

    def _pictures(self, stage: Stage) -> tuple[Picture, Picture]:
        if stage.source is stage.target:
            picture = self._renderer.picture(stage.target)
            return picture, picture
        return self._renderer.pair(stage.source, stage.target)

    def _licences_of(self, stage: Stage) -> tuple[str, ...]:
        found = {_LICENCE}
        for item in (*stage.source.placed, *stage.target.placed):
            if item.thing.kind == "sticker":
                found.add(self._licences[item.thing.name])
            elif item.thing.kind == "text":
                found.add(font_licence(item.look.font))
        return tuple(sorted(found))


def changed(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mark the pixels that differ.

    Returns:
        (H, W) uint8, 255 where any channel differs.
    """
    red, green, blue = cv2.split(cv2.absdiff(source, target))
    return np.asarray(cv2.compare(cv2.max(cv2.max(red, green), blue), 0, cv2.CMP_GT), dtype=np.uint8)


def _expect_prompt(plan: TextToImagePlan) -> dict[str, Any]:
    relation = None
    if plan.predicate is not None:
        names = [group.thing.name for group in plan.groups]
        relation = {"subject": names[0], "predicate": plan.predicate, "object": names[1]}
    include = [
        {
            "name": group.thing.name,
            "colour": group.thing.colour if group.say_colour else None,
            "count": group.count,
        }
        for group in plan.groups
    ]
    expect = {"include": include, "relation": relation}
    return {"expect": expect, "operation": None, "removed": None, "added": None, "location": None}


def _expect_edit(plan: EditPlan, placed: Sequence[Placed]) -> dict[str, Any]:
    counts = Counter(item.thing for item in placed)
    free_colour = None if plan.say_added_colour else plan.added
    include = [
        {"name": thing.name, "colour": None if thing == free_colour else thing.colour, "count": count}
        for thing, count in counts.items()
    ]
    relation = None
    if plan.predicate is not None and plan.added is not None:
        relation = {"subject": plan.added.name, "predicate": plan.predicate, "object": plan.others[0].name}
    return {
        "expect": {"include": include, "relation": relation},
        "operation": plan.operation,
        "removed": _as_dict(plan.removed),
        "added": _as_dict(plan.added),
        "location": plan.location,
    }


def _as_dict(thing: Thing | None) -> dict[str, str] | None:
    return None if thing is None else {"name": thing.name, "colour": thing.colour}

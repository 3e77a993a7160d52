"""Sample i of a collage recipe, as a pure function of (recipe, seed, i)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.backgrounds import draw_background
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.edit import EditFamily
from dreamomni.data.collage.families.family import Context, Draft, Family, Slot
from dreamomni.data.collage.families.text_to_image import TextToImageFamily
from dreamomni.data.collage.fonts import font_licence
from dreamomni.data.collage.labels import read_relations
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import BackgroundLook
from dreamomni.data.collage.words.coverage import coverage
from dreamomni.data.collage.world import Split, World
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.sample import TrainingSample

FAMILIES: tuple[Family, ...] = (TextToImageFamily(), EditFamily())
_FAMILY_OF = {kind: family for family in FAMILIES for kind in family.kinds}
KINDS: tuple[str, ...] = tuple(_FAMILY_OF)
"""Every kind of sample that the engine makes."""

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
        self._context = Context(recipe, self._world, self._renderer, split)

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
            RejectedSampleError: The recipe leaves no room for what this sample must show.
        """
        if kind is None:
            kind = self.kind_of(seed, index)
        elif kind not in _FAMILY_OF:
            raise ConfigError(f"there is no kind of sample {kind!r}; the kinds are {', '.join(KINDS)}")
        canvas = Draws(*self._path(seed, index), "canvas")
        size = canvas.pick(self.recipe.size)
        background = draw_backdrop(self.recipe, self._world, canvas)
        reasons: Counter[str] = Counter()
        for attempt in range(_ATTEMPTS):
            slot = Slot(kind, size, background, self._path(seed, index), attempt)
            draft = _FAMILY_OF[kind].draw(self._context, slot)
            if isinstance(draft, Draft):
                return self._finish(draft, slot, seed, index, reasons)
            reasons[draft.reason] += 1
        raise RejectedSampleError(seed, index, kind, str(size), reasons)

    def kind_of(self, seed: int, index: int) -> str:
        """Which kind the recipe's mixture gives a sample."""
        return Draws(*self._path(seed, index), "kind").weighted(self.recipe.mixture)

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

    def _finish(
        self, draft: Draft, slot: Slot, seed: int, index: int, reasons: Counter[str]
    ) -> TrainingSample:
        details: dict[str, Any] = {
            "background": {"colour": slot.background.colour, "style": slot.background.style},
            "split": self.split,
            "attempts": slot.attempt + 1,
            "rejected": dict(sorted(reasons.items())),
        }
        return TrainingSample(
            key=f"{self.split}-{seed}-{index:09d}",
            task=draft.task,
            kind=slot.kind,
            target=draft.target,
            images=draft.images,
            mask=draft.mask,
            instruction=draft.instruction,
            caption=draft.caption,
            objects=draft.objects,
            image_objects=draft.image_objects,
            relations=read_relations(draft.objects),
            details=details | dict(draft.details),
            licences=self._licences_of(draft.assets),
            seed=seed,
            index=index,
            drags=draft.drags,
            ids=draft.ids,
            image_ids=draft.image_ids,
            assets=draft.assets,
        )

    def _licences_of(self, assets: tuple[str, ...]) -> tuple[str, ...]:
        found = {_LICENCE}
        for asset in assets:
            kind, _, name = asset.partition(":")
            if kind == "sticker":
                found.add(self._licences[name])
            elif kind == "font":
                found.add(font_licence(name))
        return tuple(sorted(found))


def draw_backdrop(recipe: CollageRecipe, world: World, draws: Draws) -> BackgroundLook:
    """Draw the background of a canvas."""
    colour = draws.pick(tuple(world.backgrounds))
    style = draws.weighted(recipe.background_styles)
    return draw_background(style, colour, world.backgrounds[colour], draws)


class RejectedSampleError(DataError):
    """No attempt at a sample succeeded.

    Attributes:
        index: Number of the sample.
        kind: Its kind.
        reasons: Attempts by the reason of their failure.
    """

    def __init__(self, seed: int, index: int, kind: str, size: str, reasons: Mapping[str, int]) -> None:
        self.index, self.kind, self.reasons = index, kind, dict(reasons)
        counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        super().__init__(
            f"sample {index} of seed {seed} ({kind}, {size}) found no layout in "
            f"{sum(reasons.values())} attempts ({counts}): lower object_sizes, gap or held_out.fraction"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_rejected, (self.index, self.kind, self.reasons, str(self))


def _rebuild_rejected(index: int, kind: str, reasons: dict[str, int], message: str) -> RejectedSampleError:
    error = RejectedSampleError.__new__(RejectedSampleError)
    error.index, error.kind, error.reasons, error.args = index, kind, reasons, (message,)
    return error

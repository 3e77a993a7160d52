"""Sample i of a collage recipe, as a pure function of (recipe, seed, i)."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from dreamomni.data.collage.assets import AssetCatalogue, AssetInfo, StickerPack
from dreamomni.data.collage.blending import draw_blend
from dreamomni.data.collage.clarity import UnclearError
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.combined import CombinedFamily
from dreamomni.data.collage.families.control import ControlFamily
from dreamomni.data.collage.families.drag import DragFamily
from dreamomni.data.collage.families.edit import EditFamily
from dreamomni.data.collage.families.family import Context, Draft, Family, Rejected, Slot
from dreamomni.data.collage.families.inpaint import InpaintFamily
from dreamomni.data.collage.families.multi_reference import MultiReferenceFamily
from dreamomni.data.collage.families.perception import PerceptionFamily
from dreamomni.data.collage.families.reference_subjects import ReferenceSubjectFamily
from dreamomni.data.collage.families.subject import SubjectFamily, source_sizes
from dreamomni.data.collage.families.text_to_image import TextToImageFamily
from dreamomni.data.collage.feasibility import check_feasible
from dreamomni.data.collage.fonts import FONTS, font_licence
from dreamomni.data.collage.labels import read_relations
from dreamomni.data.collage.maps import Annotator, check_annotators
from dreamomni.data.collage.multi_reference_plans import reference_sizes, subject_reference_sizes
from dreamomni.data.collage.recipe import (
    REFERENCE_EDIT_KINDS,
    REFERENCE_SUBJECT_KINDS,
    TEXT_TO_IMAGE_KINDS,
    CollageRecipe,
)
from dreamomni.data.collage.render import Renderer
from dreamomni.data.collage.scene import BackgroundLook, BlendLook
from dreamomni.data.collage.staging import draw_backdrop
from dreamomni.data.collage.words.coverage import coverage
from dreamomni.data.collage.world import Split, World
from dreamomni.data.sample_set import SampleShape
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.sample import TrainingSample

FAMILIES: tuple[Family, ...] = (
    TextToImageFamily(),
    EditFamily(),
    DragFamily(),
    InpaintFamily(),
    ControlFamily(),
    SubjectFamily(),
    PerceptionFamily(),
    CombinedFamily(),
    MultiReferenceFamily(),
    ReferenceSubjectFamily(),
)
_FAMILY_OF = {kind: family for family in FAMILIES for kind in family.kinds}
KINDS: tuple[str, ...] = tuple(_FAMILY_OF)
"""Every kind of sample that the engine makes."""

_ATTEMPTS = 40
_REMEDIES = {
    "no room": "lower object_sizes or gap",
    "no combination": "lower held_out.fraction, or add names or colours",
    "hidden": "lower max_overlap",
    "unclear": "lower object_sizes or max_overlap",
    "contrast": "lower min_contrast, or add colours",
    "enlarged": "lower object_sizes, raise max_enlargement, or build the library of larger pictures",
    "ambiguous": "lower object_sizes or edit.equal_twins",
}
"""What helps against the commonest reason of a rejected sample."""
_LICENCE = "Apache-2.0"


class CollageEngine:
    """Draws exactly labelled samples of all six families of tasks (DreamOmni, section 3.2).

    Args:
        recipe: What to draw.
        split: "train" never shows a held-out combination, in source or target; "held_out" shows one wherever
            its kind can.
        pack: Where stickers come from, the shipped pack by default; or everything to draw from, instead of
            the libraries that the recipe names.
        annotators: The models that the recipe names for maps, as `data.annotators.load_annotators` gives
            them.

    Raises:
        ConfigError: The recipe names something that does not exist or can never be drawn, a split has nothing
            to draw, or the annotators are not those of the recipe.
        DataError: A library of the recipe is missing, damaged or of another version.
    """

    def __init__(
        self,
        recipe: CollageRecipe,
        split: Split = "train",
        pack: StickerPack | AssetCatalogue | None = None,
        annotators: Mapping[str, Annotator] | None = None,
    ) -> None:
        if split not in get_args(Split):
            raise ConfigError(f"there is no split {split!r}; the splits are {', '.join(get_args(Split))}")
        self.recipe = recipe
        self.split = split
        self._annotators = dict(annotators or {})
        check_annotators(recipe.reference, self._annotators)
        self._assets = pack if isinstance(pack, AssetCatalogue) else AssetCatalogue.open(recipe.assets, pack)
        self._world = World(recipe, self._assets, split)
        self._world.check_split(split)
        self._blends = any(weight > 0 for style, weight in recipe.blending.weights.items() if style != "none")
        self._licences: dict[str, str] = {}
        self._renderer = Renderer(self._assets, self._world.clarity)
        check_feasible(recipe, self._world, self._renderer)
        self._context = Context(recipe, self._world, self._renderer, split, self._annotators)

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers rebuild their caches; drawn sprites are not worth sending.
        return type(self), (self.recipe, self.split, self._assets, self._annotators)

    @property
    def names(self) -> tuple[str, ...]:
        """Every thing of the world."""
        return self._world.names

    @property
    def asset_digest(self) -> str:
        """Hash (hex) of all assets; with the recipe, the seed and the split it says what a data set is.

        The weights of models that draw maps count as assets: a path does not say what lies under it.
        """
        models = {control: model.digest for control, model in sorted(self._annotators.items())}
        if not models:
            return self._assets.digest
        return hashlib.sha256(json.dumps([self._assets.digest, models]).encode()).hexdigest()

    @property
    def asset_infos(self) -> tuple[AssetInfo, ...]:
        """Every asset at hand, with the ids that samples carry."""
        shown = [
            replace(info, id=info.id if ":" in info.id else f"sticker:{info.id}")
            for info in self._assets.assets()
        ]
        fonts = [AssetInfo(f"font:{font}", font, "font", font_licence(font)) for font in FONTS]
        return (*shown, *fonts)

    @property
    def colours(self) -> Mapping[str, tuple[int, int, int]]:
        """Every colour of things, with its sRGB value."""
        return self._world.colours

    @property
    def backgrounds(self) -> Mapping[str, tuple[int, int, int]]:
        """Every background colour, with its sRGB value."""
        return self._world.backgrounds

    def sample(self, seed: int, index: int, kind: str | None = None, variant: str = "") -> TrainingSample:
        """Make one sample.

        Args:
            seed: Seed of the data set.
            index: Number of the sample.
            kind: One of the kinds, to force it; by default the recipe's mixture decides. A forced kind gives
                what the mixture would have given for this index had it drawn that kind.
            variant: For kinds with references, another sample of the same words: "swapped" has two references
                exchanged (`details.reference.swap` says which), "=VALUE" has a target that took another value
                than that of the reference.

        Raises:
            ConfigError: There is no such kind.
            RejectedSampleError: The recipe leaves no room for what this sample must show.
        """
        if kind is None:
            kind = self.kind_of(seed, index)
        elif kind not in _FAMILY_OF:
            raise ConfigError(f"there is no kind of sample {kind!r}; the kinds are {', '.join(KINDS)}")
        path = self._path(seed, index)
        canvas = Draws(*path, "canvas")
        size = canvas.pick(self.recipe.size)  # the first draw: `shape` makes it again
        background = draw_backdrop(self.recipe, self._world, canvas)
        blend = draw_blend(self.recipe.blending, Draws(*path, "blend")) if self._blends else BlendLook()
        reasons: dict[str, int] = {}
        for attempt in range(_ATTEMPTS):
            slot = Slot(kind, size, background, path, attempt, blend, variant)
            try:
                draft = _FAMILY_OF[kind].draw(self._context, slot)
            except UnclearError as error:
                draft = Rejected(error.reason)
            if isinstance(draft, Draft):
                return self._finish(draft, slot, seed, index, reasons)
            reasons[draft.reason] = reasons.get(draft.reason, 0) + 1
        raise RejectedSampleError(seed, index, kind, str(size), reasons)

    def kind_of(self, seed: int, index: int) -> str:
        """Which kind the recipe's mixture gives a sample."""
        return Draws(*self._path(seed, index), "kind").weighted(self.recipe.mixture)

    def shape(self, seed: int, index: int) -> SampleShape:
        """Sizes of a sample without drawing it, in some twenty microseconds.

        A sample that `sample` rejects has a shape too: that it is impossible shows only when it is drawn.
        """
        kind = self.kind_of(seed, index)
        path = self._path(seed, index)
        size = Draws(*path, "canvas").pick(self.recipe.size)
        if kind in TEXT_TO_IMAGE_KINDS:
            return SampleShape(kind, size, ())
        if kind in REFERENCE_EDIT_KINDS:
            return SampleShape(kind, size, (size, *reference_sizes(self.recipe, path, size)))
        if kind in REFERENCE_SUBJECT_KINDS:
            return SampleShape(kind, size, subject_reference_sizes(self.recipe, path, size))
        if kind != "subject":
            return SampleShape(kind, size, (size,))
        return SampleShape(kind, size, source_sizes(self.recipe, path, size))

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
            yield from sample.details.get("standard", {}).values()

    def _path(self, seed: int, index: int) -> tuple[int, str, int]:
        # The splits must not be near copies of each other under one seed.
        return seed, "sample" if self.split == "train" else f"sample/{self.split}", index

    def _finish(
        self, draft: Draft, slot: Slot, seed: int, index: int, reasons: dict[str, int]
    ) -> TrainingSample:
        details: dict[str, Any] = {
            "background": _background_details(slot.background),
            "blend": _as_details(slot.blend),
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
            known = self._licences.get(asset)
            if known is None:
                kind, _, name = asset.partition(":")
                known = font_licence(name) if kind == "font" else self._assets.info(asset).licence
                self._licences[asset] = known
            found.add(known)
        return tuple(sorted(found))


_BLEND_FIELDS = tuple(field.name for field in fields(BlendLook))


def _as_details(blend: BlendLook) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which takes longer than drawing a small thing.
    return {name: getattr(blend, name) for name in _BLEND_FIELDS}


def _background_details(look: BackgroundLook) -> dict[str, str]:
    details = {"colour": look.colour, "style": look.style}
    return details | {"caption": look.caption} if look.style == "photo" else details


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
        worst = max(sorted(reasons), key=lambda reason: reasons[reason])
        super().__init__(
            f"sample {index} of seed {seed} ({kind}, {size}) found no layout in "
            f"{sum(reasons.values())} attempts ({counts}): {_REMEDIES.get(worst, _REMEDIES['no room'])}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_rejected, (self.index, self.kind, self.reasons, str(self))


def _rebuild_rejected(index: int, kind: str, reasons: dict[str, int], message: str) -> RejectedSampleError:
    error = RejectedSampleError.__new__(RejectedSampleError)
    error.index, error.kind, error.reasons, error.args = index, kind, reasons, (message,)
    return error

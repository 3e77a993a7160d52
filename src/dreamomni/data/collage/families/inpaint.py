"""Holes to fill: smears, blocks and image edges in a picture that is known whole (section 3.2)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.families.text_to_image import TextToImageFamily
from dreamomni.data.collage.held_out import count_combination
from dreamomni.data.collage.holes import HOLES, Mask
from dreamomni.data.collage.recipe import INPAINT_KINDS
from dreamomni.tasks.conditioning import fill_hole
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import ObjectLabel

_HOLES_A_SCENE = 8
_SHOWS_NOTHING_HELD_OUT = frozenset({"single", "text"})


@dataclass(frozen=True, slots=True)
class _Hole:
    """A hole, and what it leaves of a picture.

    Attributes:
        mask: (H, W) uint8, 255 in the hole.
        ids: The id map without what the hole hides.
        labels: What is left of each thing.
        hidden: By instance, the part of its visible pixels that the hole hides.
    """

    mask: Mask
    ids: npt.NDArray[np.int16]
    labels: tuple[ObjectLabel, ...]
    hidden: dict[str, float]


class InpaintFamily:
    """Draws a text-to-image scene and takes a part of it away."""

    kinds: ClassVar[tuple[str, ...]] = INPAINT_KINDS

    def __init__(self) -> None:
        self._scenes = TextToImageFamily()

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        options = context.recipe.inpaint
        bases = {
            base: weight
            for base, weight in options.bases.items()
            if context.split == "train" or base not in _SHOWS_NOTHING_HELD_OUT
        }
        # Not redrawn with the attempt, so that crowded scenes and hidden things come as often as asked.
        decisions = slot.words("inpaint")
        base = decisions.weighted(bases)
        hide = decisions.chance(options.hide_thing)
        say_caption = decisions.chance(options.say_caption)
        style: str = "edges" if slot.kind == "outpaint" else decisions.weighted(options.styles)
        whole = self._scenes.draw(context, replace(slot, kind=base))
        if isinstance(whole, Rejected):
            return whole
        assert whole.ids is not None
        found = self._hole(style, hide, whole, context, slot)
        if found is None:
            return Rejected("no hole")
        return replace(
            whole,
            task=slot.kind,
            images=(fill_hole(whole.target, found.mask, options.fill),),
            mask=found.mask,
            instruction=whole.caption if say_caption else "",
            image_ids=(found.ids,),
            image_objects=(found.labels,),
            details={
                **whole.details,
                "operation": slot.kind,
                "base": base,
                "hole": style,
                "fill": list(options.fill),
                "share": round(cv2.countNonZero(found.mask) / found.mask.size, 4),
                "hidden": found.hidden,
            },
        )

    def _hole(self, style: str, hide: bool, whole: Draft, context: Context, slot: Slot) -> _Hole | None:
        """Draw holes until one hides what it should."""
        options, draws = context.recipe.inpaint, slot.draws("hole")
        assert whole.ids is not None
        if hide and not whole.objects:
            return None
        for _ in range(_HOLES_A_SCENE):
            aim = draws.pick(whole.objects).box.centre if hide else None
            mask = HOLES[style](slot.size, aim, options, draws)
            if mask is None:
                continue
            hidden = _hidden(whole.objects, mask, whole.ids)
            if hide and max(hidden.values(), default=0.0) < options.hidden_part:
                continue
            ids = whole.ids.copy()
            cv2.copyTo(np.zeros_like(ids), mask, ids)
            left = relabel(ids, whole.objects)
            # Two of five things hidden: image 1 shows three, and training may not show three of every thing.
            if context.split == "train" and any(
                context.world.is_out(count_combination(count, name))
                for name, count in Counter(label.name for label in left).items()
                if count > 1
            ):
                continue
            return _Hole(mask, ids, left, hidden)
        return None


def relabel(ids: npt.NDArray[np.int16], labels: Sequence[ObjectLabel]) -> tuple[ObjectLabel, ...]:
    """Read labels of known things off another id map, in which some of their pixels are gone.

    Args:
        ids: (H, W) id map in which no thing has more pixels than in the one that `labels` were read from.
        labels: What the things are.
    """
    found = []
    for label in labels:
        old = label.box
        here = (ids[old.y0 : old.y1, old.x0 : old.x1] == label.instance_id).view(np.uint8)
        area = cv2.countNonZero(here)
        if area == 0:
            continue
        x, y, width, height = cv2.boundingRect(here)
        left, top = x + old.x0, y + old.y0
        box = Box(left, top, left + width, top + height)
        footprint = round(label.area / label.visibility)
        found.append(replace(label, box=box, area=area, visibility=area / footprint))
    return tuple(found)


def _hidden(
    labels: Sequence[ObjectLabel], mask: npt.NDArray[np.uint8], ids: npt.NDArray[np.int16]
) -> dict[str, float]:
    """By instance, the part of its visible pixels that lies in the hole, where there is any."""
    hidden: dict[str, float] = {}
    for label in labels:
        here = np.s_[label.box.y0 : label.box.y1, label.box.x0 : label.box.x1]
        on_it = (ids[here] == label.instance_id).view(np.uint8)
        lost = cv2.countNonZero(cv2.bitwise_and(on_it, mask[here]))
        if lost:
            hidden[str(label.instance_id)] = round(lost / label.area, 4)
    return hidden

"""Segmentation and detection as pictures: a filled region, or a box, in a named colour (section 3.2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, assert_never

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.arrange import all_seen, arrange_free, draw_things, in_order
from dreamomni.data.collage.backgrounds import flat
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.held_out import colour_combination
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.options.perception import Ask
from dreamomni.data.collage.palette import RGB
from dreamomni.data.collage.recipe import PERCEPTION_KINDS
from dreamomni.data.collage.render import Picture, changed
from dreamomni.data.collage.scene import assets_of
from dreamomni.data.collage.words.captions import describe
from dreamomni.data.collage.words.perception import describe_marked, write_perception
from dreamomni.data.collage.words.references import (
    Reference,
    pick_reference,
    refer,
    refer_to_colour,
    refer_to_name,
)
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.marks import unused_colours
from dreamomni.tasks.sample import ObjectLabel

Pixels = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the words ask for: the things, and every phrase that means exactly them."""

    labels: tuple[ObjectLabel, ...]
    references: tuple[Reference, ...]


class PerceptionFamily:
    """Draws a scene, picks what to ask for, and marks it."""

    kinds: ClassVar[tuple[str, ...]] = PERCEPTION_KINDS

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        options = context.recipe.perception
        choices = slot.draws("things")
        count = choices.weighted(in_order(options.num_objects))
        things = draw_things(
            context,
            (slot.background.colour,),
            count,
            choices,
            twins=options.twins,
            same_colour=options.same_colour,
        )
        if things is None:
            return Rejected("no combination")
        placed = arrange_free(context, things, slot.size, slot.draws("looks"), slot.draws("layout"))
        if placed is None:
            return Rejected("no room")
        scene = slot.scene(placed)
        picture = context.renderer.picture(scene)
        labels = read_labels(picture, scene.placed)
        if not all_seen(labels, placed, options.min_visibility):
            return Rejected("hidden")
        marks = slot.draws("marks")
        asked = draw_asked(labels, slot.size, marks.weighted(dict(sorted(options.ask.items()))), marks)
        if asked is None:
            return Rejected("ambiguous")
        colours = free_colours(context, picture.pixels, labels, scene.background.colour)
        colours = [c for c in colours if not _is_out(context, asked.labels, c)]
        if not colours:
            return Rejected("no colour")
        colour = marks.pick(colours)
        stroke = max(1, round(marks.uniform(*options.stroke) * min(slot.size)))
        marked = mark(slot.kind, picture, asked.labels, context.world.colours[colour], stroke)
        target_labels = read_labels(marked, scene.placed)
        if len(target_labels) < len(labels):
            return Rejected("hidden")
        numbers = [label.instance_id for label in asked.labels]
        if slot.kind == "segment":
            target_labels = tuple(
                replace(label, colour=colour) if label.instance_id in numbers else label
                for label in target_labels
            )
        words, caption_words = slot.words(), slot.words("caption")
        say_background = caption_words.chance(context.recipe.say_background)
        content = _without_period(describe(scene, caption_words, say_background=say_background))
        reference = pick_reference(asked.references, words)
        several = reference.many or len(numbers) > 1
        description = describe_marked(slot.kind, content, reference, colour, several, caption_words)
        return Draft(
            task=slot.kind,
            target=marked.pixels,
            images=(picture.pixels,),
            mask=changed(picture.pixels, marked.pixels),
            instruction=write_perception(slot.kind, reference, colour, several, words),
            caption=description,
            assets=assets_of(scene),
            ids=marked.ids,
            image_ids=(picture.ids,),
            objects=target_labels,
            image_objects=(labels,),
            details={
                "description": description,
                "operation": slot.kind,
                "instances": numbers,
                "reference": {"text": reference.text, "by": reference.by},
                **_mark_details(slot.kind, asked.labels, colour, context.world.colours[colour], stroke),
            },
        )


def draw_asked(labels: Sequence[ObjectLabel], size: Size, ask: Ask, draws: Draws) -> Asked | None:
    """Choose what to ask for.

    Args:
        labels: Everything in the picture.
        size: Canvas.
        ask: One thing, all of a name, or all of a colour.
        draws: Stream of the choice.

    Returns:
        The choice, or None when no phrase would mean exactly that.
    """
    chosen = draws.pick(labels)
    if ask == "one":
        asked = Asked((chosen,), refer(chosen, labels, size))
    elif ask == "name":
        # More than one where there is more than one, or "all" would say nothing.
        names = [label.name for label in labels if sum(o.name == label.name for o in labels) > 1]
        name = draws.pick(names) if names else chosen.name
        same = tuple(label for label in labels if label.name == name)
        asked = Asked(same, refer_to_name(name, labels) if names else ())
    elif ask == "colour":
        same = tuple(label for label in labels if label.colour == chosen.colour)
        asked = Asked(same, refer_to_colour(chosen.colour, labels) if chosen.colour else ())
    else:
        assert_never(ask)
    return asked if asked.references else None


def free_colours(
    context: Context, pixels: Pixels, labels: Iterable[ObjectLabel], background: str
) -> list[str]:
    """Names of the recipe's colours that cannot be mixed up with anything in a picture.

    No pixel has such a colour exactly and hardly any nearly, and it is far from the colours that the things
    and the background are named by.
    """
    world = context.world
    named = [world.colours[label.colour] for label in labels if label.colour in world.colours]
    if background in world.backgrounds:
        named.append(world.backgrounds[background])
    return unused_colours(
        pixels, world.colours, named=named, least_distance=context.recipe.perception.min_contrast
    )


def mark(kind: str, picture: Picture, labels: Sequence[ObjectLabel], rgb: RGB, stroke: int) -> Picture:
    """Fill the regions of things ("segment"), or draw boxes around them ("detect").

    Args:
        kind: "segment" or "detect".
        picture: The picture, which stays as it is.
        labels: The things, as read off that picture.
        rgb: Colour of the mark.
        stroke: Width of box outlines in pixels.

    Returns:
        The marked picture; pixels of an outline belong to no instance any more.
    """
    if kind == "segment":
        numbers = [label.instance_id for label in labels]
        return replace(picture, pixels=fill_region(picture.pixels, picture.ids, numbers, rgb))
    pixels, ids = picture.pixels, picture.ids.copy()
    for label in labels:
        pixels = draw_box(pixels, label.box, rgb, stroke)
        for strip in box_strips(label.box, Size(ids.shape[1], ids.shape[0]), stroke):
            ids[strip] = 0
    return replace(picture, pixels=pixels, ids=ids, whole={})


def fill_region(pixels: Pixels, ids: Ids, instances: Iterable[int], rgb: RGB) -> Pixels:
    """Fill the visible region of instances with one flat colour.

    Args:
        pixels: (H, W, 3) uint8; not changed.
        ids: (H, W) instance of each pixel.
        instances: Whose pixels to fill.
        rgb: The colour.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    filled = pixels.copy()
    for number in instances:
        mask = (ids == number).view(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        if width and height:
            here = np.s_[y : y + height, x : x + width]
            # Copying one colour through the mask takes a tenth of the time of indexing by it.
            cv2.copyTo(flat(rgb, Size(width, height)), mask[here], dst=filled[here])
    return filled


def draw_box(pixels: Pixels, box: Box, rgb: RGB, stroke: int) -> Pixels:
    """Draw the outline of a box around it: the inner edge of the outline is the box.

    At the border of the canvas, where there is no room outside, the outline lies inside.

    Args:
        pixels: (H, W, 3) uint8; not changed.
        box: What to draw around, inside the canvas.
        rgb: Colour of the outline.
        stroke: Its width in pixels.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    drawn = pixels.copy()
    for strip in box_strips(box, Size(pixels.shape[1], pixels.shape[0]), stroke):
        drawn[strip] = rgb
    return drawn


def box_strips(box: Box, size: Size, stroke: int) -> tuple[tuple[slice, slice], ...]:
    """The rows and columns of the four sides that `draw_box` paints."""
    if stroke < 1 or box.x0 < 0 or box.y0 < 0 or box.x1 > size.width or box.y1 > size.height:
        raise ValueError(f"cannot outline {box} with {stroke} pixels on a canvas of {size}")
    x0, y0 = max(box.x0 - stroke, 0), max(box.y0 - stroke, 0)
    x1, y1 = min(box.x1 + stroke, size.width), min(box.y1 + stroke, size.height)
    inner_x0, inner_y0 = min(x0 + stroke, x1), min(y0 + stroke, y1)
    inner_x1, inner_y1 = max(x1 - stroke, x0), max(y1 - stroke, y0)
    return (
        np.s_[y0:inner_y0, x0:x1],
        np.s_[inner_y1:y1, x0:x1],
        np.s_[y0:y1, x0:inner_x0],
        np.s_[y0:y1, inner_x1:x1],
    )


def _mark_details(
    kind: str, labels: Sequence[ObjectLabel], colour: str, rgb: RGB, stroke: int
) -> dict[str, Any]:
    if kind == "segment":
        return {"fill": list(rgb), "fill_colour": colour}
    boxes = [list(label.box) for label in labels]
    return {"boxes": boxes, "stroke": stroke, "box_colour": colour, "box_rgb": list(rgb)}


def _is_out(context: Context, labels: Sequence[ObjectLabel], colour: str) -> bool:
    """Say whether a filled region would show a combination of thing and colour kept for evaluation."""
    return any(context.world.is_out(colour_combination(label.name, colour)) for label in labels)


def _without_period(text: str) -> str:
    """Take a sentence back to a phrase, so that more words can follow."""
    if text.endswith("."):
        text = text[:-1]
        return text[0].lower() + text[1:]
    return text

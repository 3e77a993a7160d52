"""Pictures from words and a map: edges, depth or regions (section 3.2, image-conditioned generation)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import cv2
import numpy as np

from dreamomni.data.collage.arrange import all_seen, arrange_free, draw_things, in_order
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.families.family import Context, Draft, Rejected, Slot
from dreamomni.data.collage.labels import read_labels
from dreamomni.data.collage.maps import Ids, Pixels, depth_levels, edge_map, paint_ids, region_colours
from dreamomni.data.collage.render import Picture
from dreamomni.data.collage.scene import Scene, assets_of
from dreamomni.data.collage.words.captions import background_phrase
from dreamomni.data.collage.words.control import describe_content, write_content, write_control
from dreamomni.tasks.sample import ObjectLabel

_EDGE_SHARE = 0.5
_SMOOTH = frozenset({"plain", "gradient"})
_SMOOTHER_THAN = 20
"""No gradient (L1) of such a background comes near, even where it is steepest and rounded, on 32 pixels."""


@dataclass(frozen=True, slots=True)
class _Map:
    """The map of a picture as image 1, with its labels where it shows instances."""

    pixels: Pixels
    details: dict[str, Any]
    ids: Ids | None = None
    labels: tuple[ObjectLabel, ...] = field(default=())


class ControlFamily:
    """Draws a scene, its map, and words that describe the scene fully."""

    kinds: ClassVar[tuple[str, ...]] = ("canny", "depth", "segmentation")

    def draw(self, context: Context, slot: Slot) -> Draft | Rejected:
        """Make one attempt."""
        options = context.recipe.reference
        choices = slot.draws("things")
        count = choices.weighted(in_order(options.num_objects))
        things = draw_things(
            context,
            (slot.background.colour,),
            count,
            choices,
            kind="shape" if choices.chance(options.shapes) else "sticker",
            twins=options.twins,
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
        made = _make_map(slot.kind, context, scene, picture, labels, slot.draws("map"))
        if isinstance(made, Rejected):
            return made
        words, caption_words = slot.words(), slot.words("caption")
        content = write_content(labels, slot.size, words)
        if content is None:
            return Rejected("ambiguous")
        # The map has no colours, so only the words can say what is behind.
        description = describe_content(
            content + background_phrase(scene.background, caption_words), caption_words
        )
        return Draft(
            task="control",
            target=picture.pixels,
            images=(made.pixels,),
            instruction=write_control(slot.kind, content + background_phrase(scene.background, words), words),
            caption=description,
            assets=assets_of(scene),
            ids=picture.ids,
            image_ids=(made.ids,),
            objects=labels,
            image_objects=(made.labels,),
            details={
                "description": description,
                "control": slot.kind,
                "expect": expect_labels(labels),
                **made.details,
            },
        )


def expect_labels(labels: Sequence[ObjectLabel]) -> dict[str, Any]:
    """What a checker must see: each thing with its colour and number."""
    counts = Counter((label.name, label.colour) for label in labels)
    include = [{"name": name, "colour": colour, "count": count} for (name, colour), count in counts.items()]
    return {"include": include, "relation": None}


def _make_map(
    control: str,
    context: Context,
    scene: Scene,
    picture: Picture,
    labels: tuple[ObjectLabel, ...],
    draws: Draws,
) -> _Map | Rejected:
    options = context.recipe.reference
    annotator = context.annotators.get(control)
    if annotator is not None:
        annotation = annotator.annotate(picture.pixels)
        return _Map(annotation.pixels, {"model": annotator.source, **annotation.details})
    if control == "canny":
        low = draws.integer(*options.canny_low)
        high = round(low * draws.uniform(*options.canny_ratio))
        smooth = scene.background.style in _SMOOTH and low > _SMOOTHER_THAN
        edges = edge_map(picture.pixels, low, high, tuple(picture.touched.values()) if smooth else None)
        if not all(_has_edges(edges, label) for label in labels):
            return Rejected("no edges")
        return _Map(cv2.merge([edges, edges, edges]), {"low": low, "high": high})
    # What a map shows has no colour of its own that words could name.
    bare = tuple(replace(label, colour=None) for label in labels)
    if control == "depth":
        levels = depth_levels([item.instance_id for item in scene.placed], options.farthest_level)
        details: dict[str, Any] = {"levels": {str(number): level for number, level in levels.items()}}
        return _Map(paint_ids(picture.ids, levels), details, picture.ids, bare)
    by_name = options.palette == "name"
    keys = {label.instance_id: label.name if by_name else str(label.instance_id) for label in labels}
    distinct = sorted(set(keys.values()))
    palette = dict(zip(distinct, region_colours(len(distinct), draws), strict=True))
    colours = {number: palette[key] for number, key in keys.items()}
    details = {"palette": {key: list(rgb) for key, rgb in palette.items()}, "palette_of": options.palette}
    return _Map(paint_ids(picture.ids, colours), details, picture.ids, bare)


def _has_edges(edges: Pixels, label: ObjectLabel) -> bool:
    """Say whether the edge map shows about half of the outline of a thing, or more."""
    box = label.box
    found = int(np.count_nonzero(edges[max(box.y0 - 1, 0) : box.y1 + 1, max(box.x0 - 1, 0) : box.x1 + 1]))
    return found >= _EDGE_SHARE * (box.width + box.height)

"""What a finished picture shows: boxes, visibility and relations, read off the id map."""

import math
from typing import Literal, get_args

import cv2
import numpy as np

from dreamomni.data.collage.render import Picture
from dreamomni.data.collage.scene import Placed
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.sample import ObjectLabel, Relation

Predicate = Literal["left of", "right of", "above", "below"]

_SHRINK = 0.1
_MIN_COSINE = 0.5
PREDICATES: tuple[Predicate, ...] = get_args(Predicate)
OPPOSITE: dict[Predicate, Predicate] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}


def read_labels(picture: Picture, placed: tuple[Placed, ...]) -> tuple[ObjectLabel, ...]:
    """Label every instance that can still be seen; a fully covered one has no label."""
    labels = []
    everywhere = Box(0, 0, picture.ids.shape[1], picture.ids.shape[0])
    for item in placed:
        number = item.instance_id
        box = picture.whole.get(number)
        if box is not None:
            area = picture.footprints[number]
        else:
            # All that can be seen of an instance lies where it was drawn.
            x0, y0, x1, y1 = picture.windows.get(number, everywhere)
            mask = (picture.ids[y0:y1, x0:x1] == number).view(np.uint8)
            area = cv2.countNonZero(mask)
            if area == 0:
                continue
            x, y, width, height = cv2.boundingRect(mask)
            box = Box(x0 + x, y0 + y, x0 + x + width, y0 + y + height)
        labels.append(
            ObjectLabel(
                instance_id=number,
                name=item.thing.name,
                colour=item.thing.colour,
                box=box,
                visibility=area / picture.footprints[number],
                kind=item.thing.kind,
                area=area,
            )
        )
    return tuple(labels)


def cosines(subject: Box, other: Box) -> dict[Predicate, float]:
    """Say how clearly `subject` lies in each direction from `other`.

    The rule is GenEval's: the offset between the centres, shortened on each axis by a tenth of the summed
    sides, is compared with the directions.

    Returns:
        Cosine between the shortened offset and each direction; -1 for all when nothing is left of the offset.
    """
    # An axis between centres that nearly coincide carries no direction, hence the shortening.
    dx = _shorten((subject.x0 + subject.x1 - other.x0 - other.x1) / 2, subject.width + other.width)
    dy = _shorten((subject.y0 + subject.y1 - other.y0 - other.y1) / 2, subject.height + other.height)
    length = math.hypot(dx, dy)
    if length < 1e-3:
        return dict.fromkeys(PREDICATES, -1.0)
    return {"left of": -dx / length, "right of": dx / length, "above": -dy / length, "below": dy / length}


def read_relations(labels: tuple[ObjectLabel, ...]) -> tuple[Relation, ...]:
    """List every relation that holds between two labels, in both directions."""
    relations = []
    for index, first in enumerate(labels):
        for second in labels[index + 1 :]:
            for predicate, value in cosines(first.box, second.box).items():
                if value > _MIN_COSINE:
                    relations.append(Relation(first.instance_id, predicate, second.instance_id))
                    relations.append(Relation(second.instance_id, OPPOSITE[predicate], first.instance_id))
    return tuple(relations)


def _shorten(offset: float, sides: int) -> float:
    kept = max(abs(offset) - _SHRINK * sides, 0.0)
    return kept if offset > 0 else -kept

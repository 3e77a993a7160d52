"""A sample as the request that a user would make for its target."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from dreamomni.data.collage.words.drag import JOINTS, LAYOUTS, ONLY_POINTS
from dreamomni.tasks.conditioning import drag_text
from dreamomni.tasks.geometry import Box, Size
from dreamomni.tasks.request import Drag, Margins, Request, parse_request
from dreamomni.tasks.sample import DragLabel, TrainingSample


def request_of(sample: TrainingSample, *, seed: int = 0, keep_outside: bool = True) -> Request:
    """Say a sample as the request that a user would make for its target.

    Structure is given as structure: points as drags, holes as masks, borders as margins, maps as control
    images. A hole has its caption as words, also where the sample leaves them out, as without them nobody can
    know what it hides. Words of drags come without their points.

    Args:
        sample: Of any kind of the collage engine.
        seed: Of the noise.
        keep_outside: False for inpaint and outpaint leaves what is known as the model made it, so that it can
            be seen whether the model keeps it.
    """
    height, width = sample.target.shape[:2]
    asked: dict[str, Any] = {"task": sample.task, "prompt": sample.instruction, "seed": seed}
    images = tuple(Image.fromarray(image) for image in sample.images)
    match sample.task:
        case "text_to_image":
            asked["size"] = Size(width, height)
        case "inpaint":
            assert sample.mask is not None
            mask = Image.fromarray(sample.mask)
            asked |= {"images": images, "mask": mask, "prompt": sample.caption}
            asked["keep_outside"] = keep_outside
        case "outpaint":
            known = _known_box(sample)
            crop = np.ascontiguousarray(sample.images[0][known.y0 : known.y1, known.x0 : known.x1])
            margins = Margins(known.x0, known.y0, width - known.x1, height - known.y1)
            asked |= {"images": (Image.fromarray(crop),), "margins": margins, "prompt": sample.caption}
            asked["keep_outside"] = keep_outside
        case "drag":
            drags = tuple(Drag(p.x, p.y, p.dx, p.dy) for p in sample.drags)
            asked |= {"images": images, "drags": drags, "prompt": words_of_drag(sample)}
        case "control":
            asked |= {
                "images": images,
                "control": sample.details["control"],
                "size": Size(width, height),
            }
        case "subject":
            asked |= {"images": images, "size": Size(width, height)}
        case _:
            asked["images"] = images
    return parse_request(asked)


def words_of_drag(sample: TrainingSample) -> str:
    """The instruction of a drag without its points; empty when it was points alone."""
    blocks = [drag_text(own) for own in _points_by_thing(sample.drags)]
    text = sample.instruction
    if text in [template.format(p=drag_text(sample.drags)) for template in ONLY_POINTS]:
        return ""
    # Placeholders first: the text of one block of points may contain that of another.
    for number, block in enumerate(blocks):
        text = text.replace(block, f"<{number}>", 1)
    clauses = [text] if len(blocks) == 1 else _split_joint(text)
    words = [_without_points(clause, f"<{number}>") for number, clause in enumerate(clauses)]
    return ", and ".join(words)


def _points_by_thing(drags: Sequence[DragLabel]) -> list[list[DragLabel]]:
    """Points of each thing that moves, in the order of the words."""
    found: dict[int, list[DragLabel]] = {}
    for label in drags:
        found.setdefault(label.instance_id, []).append(label)
    return list(found.values())


def _split_joint(text: str) -> list[str]:
    """Undo the joining of two clauses: a cut is right when each side has its own points."""
    for joint in sorted((joint.format(x="", y="") for joint in JOINTS), key=len, reverse=True):
        for at in _positions(text, joint):
            first, second = text[:at], text[at + len(joint) :]
            if "<0>" in first and "<1>" in second and "<1>" not in first:
                return [first, second]
    raise ValueError(f"the clauses of {text!r} cannot be told apart")


def _positions(text: str, part: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(part, at)]


def _without_points(clause: str, block: str) -> str:
    # Longest frames first: "{s} {p}" fits everything that "{s} with the points {p}" does.
    for layout in sorted(LAYOUTS, key=len, reverse=True):
        before, _, after = layout.format(p=block, s="\0").partition("\0")
        if clause.startswith(before) and clause.endswith(after) and len(clause) > len(before) + len(after):
            return clause[len(before) : len(clause) - len(after)]
    raise ValueError(f"the words of {clause!r} cannot be told from its points")


def _known_box(sample: TrainingSample) -> Box:
    """The rectangle of an outpainting that is not to be made."""
    assert sample.mask is not None
    rows, columns = np.nonzero(sample.mask == 0)
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)

"""What a segmentation or detection marked, read off the picture that the model painted."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamomni.inference.plan import Plan
from dreamomni.tasks.colours import PALETTE
from dreamomni.tasks.conditioning import asks_many
from dreamomni.tasks.marks import read_boxes, read_mask, region_boxes
from dreamomni.tasks.result import Marks


def read_marks(plan: Plan, painted: npt.NDArray[np.uint8]) -> Marks | None:
    """Read the marks of one result; None for tasks that paint none.

    Args:
        plan: What was asked; image 1 is as large as the result.
        painted: (H, W, 3) uint8, the result.
    """
    if plan.colour is None:
        return None
    mask = read_mask(np.asarray(plan.images[0]), painted, PALETTE[plan.colour])
    if plan.task == "segment":
        return Marks(plan.colour, region_boxes(mask), Image.fromarray(mask))
    return Marks(plan.colour, read_boxes(mask, many=asks_many(plan.words)))

"""A control map of any picture, by the code that makes the maps of training samples."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

from dreamomni.data.annotators import DepthAnnotator, SegmentationAnnotator
from dreamomni.data.collage.maps import Annotator, edge_map
from dreamomni.data.collage.options.reference import ReferenceOptions
from dreamomni.errors import RequestError

CONTROL_KEY = "dreamomni.control"
"""The text key under which the PNG of a map says how it was made."""

_ANNOTATORS: dict[str, Callable[[str, str], Annotator]] = {
    "depth": DepthAnnotator,
    "segmentation": SegmentationAnnotator,
}


def make_control_map(
    image: Image.Image,
    kind: str,
    *,
    low: int | None = None,
    high: int | None = None,
    annotator: str | None = None,
    device: str = "cpu",
) -> tuple[Image.Image, dict[str, Any]]:
    """Make the map of a picture.

    Args:
        image: RGB.
        kind: "canny", "depth" or "segmentation".
        low: For canny, the gradient from which an edge goes on; the middle of the range in training if None.
        high: For canny, the gradient from which an edge starts.
        annotator: For depth and segmentation, a transformers model as a folder or hub id.
        device: Where the annotator runs, as torch names it.

    Returns:
        The map, RGB and as large as the picture, and JSON-able facts on how it was made.

    Raises:
        RequestError: The options do not suit the kind.
        ModelError: The annotator cannot be loaded.
    """
    pixels = np.asarray(image)
    if kind == "canny":
        if annotator is not None:
            raise RequestError("canny maps are made by program: leave out the annotator")
        low, high = _thresholds(low, high)
        edges = edge_map(pixels, low, high)
        return Image.fromarray(cv2.merge([edges, edges, edges])), {"kind": kind, "low": low, "high": high}
    if kind not in _ANNOTATORS:
        raise RequestError(f"a map of {kind!r} cannot be made: say canny, {' or '.join(_ANNOTATORS)}")
    if low is not None or high is not None:
        raise RequestError(f"low and high are thresholds of canny maps: a map of {kind} has none")
    if annotator is None:
        raise RequestError(
            f"a {kind} map needs a model that makes it: name a transformers {kind} model, a folder or a hub "
            "id, as annotator"
        )
    found = _ANNOTATORS[kind](annotator, device).annotate(pixels)
    return Image.fromarray(found.pixels), {"kind": kind, "model": annotator, **found.details}


def _thresholds(low: int | None, high: int | None) -> tuple[int, int]:
    """Fill in what is not given from the middle of the ranges in training."""
    options = ReferenceOptions()
    ratio = sum(options.canny_ratio) / 2
    if low is None:
        low = sum(options.canny_low) // 2 if high is None else max(1, round(high / ratio))
    high = round(low * ratio) if high is None else high
    if not 1 <= low <= high:
        raise RequestError(f"canny thresholds must be 1 or more, low before high: not {low} and {high}")
    return low, high

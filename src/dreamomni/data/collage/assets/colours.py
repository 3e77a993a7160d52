"""Which colour word fits a picture, measured from its pixels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.palette import PALETTE, RGB, lab

_MAX_DISTANCE = 32.0
"""A pixel farther than this (CIE76) from every colour of the palette has no name."""
_TWO_SHARE = 0.8
"""Two colours name the whole when they have so much of it together ..."""
_SECOND_SHARE = 0.25
"""... and the second has so much alone."""
_ONE_SHARE = 0.6
"""Else one names the whole that has so much."""
_SOLID = 128


@dataclass(frozen=True, slots=True)
class MeasuredColour:
    """The colour of a picture.

    Attributes:
        name: A word of the palette, two as "red and white" (the larger part first), or None.
        rgb: Mean sRGB of the pixels of the first word, or of all where there is no word.
    """

    name: str | None
    rgb: RGB


def measure_colour(pixels: npt.NDArray[np.uint8]) -> MeasuredColour:
    """Name the colour of a picture, if one or two words fit nearly all of it.

    Args:
        pixels: (H, W, 4) uint8 premultiplied RGBA; pixels with less than half alpha do not count.
    """
    solid = pixels[pixels[..., 3] >= _SOLID]
    if not len(solid):
        return MeasuredColour(None, (128, 128, 128))
    colours = np.minimum(solid[:, :3] * (255.0 / solid[:, 3:]), 255.0)
    words = list(PALETTE)
    references = lab(np.array([PALETTE[word] for word in words]))
    distances = np.linalg.norm(lab(colours)[:, None] - references[None], axis=-1)
    nearest = distances.argmin(axis=1)
    named = distances.min(axis=1) <= _MAX_DISTANCE
    shares = np.bincount(nearest[named], minlength=len(words)) / len(solid)
    # The order of the palette decides between equal shares.
    first, second = (int(index) for index in np.argsort(-shares, kind="stable")[:2])
    name = None
    if shares[second] >= _SECOND_SHARE and shares[first] + shares[second] >= _TWO_SHARE:
        name = f"{words[first]} and {words[second]}"
    elif shares[first] >= _ONE_SHARE:
        name = words[first]
    of_first = named & (nearest == first)
    mean = colours[of_first].mean(axis=0) if name else colours.mean(axis=0)
    red, green, blue = (int(value) for value in np.rint(mean))
    return MeasuredColour(name, (red, green, blue))

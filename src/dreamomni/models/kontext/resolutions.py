"""The sizes that FLUX.1-Kontext was trained on, and how the published DreamOmni2 release rounds to them.

Our own pipeline pads and crops instead; these rules serve its `official` switch. Sizes are width first.
"""

from dreamomni.tasks.geometry import Size

GRID_PX = 16
"""Pixels of a token on each axis: 8 to a latent cell, 2 cells to a token."""
BASE_AREA = 1024 * 1024
"""Area that pictures are made at, in pixels."""

_PORTRAITS = (
    Size(672, 1568),
    Size(688, 1504),
    Size(720, 1456),
    Size(752, 1392),
    Size(800, 1328),
    Size(832, 1248),
    Size(880, 1184),
    Size(944, 1104),
)
KONTEXT_SIZES = (
    *_PORTRAITS,
    Size(1024, 1024),
    *(Size(size.height, size.width) for size in reversed(_PORTRAITS)),
)
"""The 17 training sizes, from tall to wide."""


def nearest_kontext_size(size: Size) -> Size:
    """Return the training size whose aspect ratio is nearest; of two equally near ones, the narrower."""
    ratio = size.width / size.height
    return min(KONTEXT_SIZES, key=lambda known: (abs(ratio - known.width / known.height), known))


def official_result_size(size: Size) -> Size:
    """Return what the published release makes of an output size: the base area, rounded down to the grid.

    It is a second rounding: 4 of the 17 training sizes do not survive it, so that the grid of the result is
    a row and a column smaller than that of image 1.
    """
    ratio = size.width / size.height
    sides = (round((BASE_AREA * ratio) ** 0.5), round((BASE_AREA / ratio) ** 0.5))
    return Size(*(side // GRID_PX * GRID_PX for side in sides))


def fit_area(size: Size, max_area: int = BASE_AREA) -> Size:
    """Return `size` scaled down to at most `max_area` pixels with its aspect ratio; smaller ones stay."""
    if size.num_pixels <= max_area:
        return size
    scale = (max_area / size.num_pixels) ** 0.5
    return Size(*(max(GRID_PX, int(side * scale)) for side in size))


def on_grid(size: Size) -> Size:
    """Return the smallest size on the token grid that holds `size`."""
    return Size(*(-(-side // GRID_PX) * GRID_PX for side in size))

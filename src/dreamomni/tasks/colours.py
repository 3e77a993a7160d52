"""Named colours: what words call a colour, and the sRGB value that is painted for it.

Requests name them (the colour of a mark), samples carry them, and results are read by them. Distances are
CIE76 (Euclidean distance in CIE L*a*b*, D65), where about 2.3 is just noticeable.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "red": (222, 28, 36),
    "orange": (255, 130, 0),
    "yellow": (252, 214, 20),
    "green": (30, 160, 60),
    "blue": (28, 92, 224),
    "purple": (132, 40, 176),
    "pink": (255, 120, 180),
    "brown": (120, 72, 36),
    "black": (28, 28, 32),
    "white": (252, 252, 252),
    "gray": (128, 132, 138),
    "cyan": (0, 190, 214),
}
"""Every colour word with its sRGB value (0-255)."""


def lab(rgb: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Convert sRGB to CIE L*a*b* (D65, 2 degree observer).

    Args:
        rgb: values 0-255, any shape whose last axis is 3.

    Returns:
        float64 array of the same shape: L* in 0-100, a* and b*.
    """
    encoded = np.asarray(rgb, dtype=np.float64) / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    # Rows normalised by the white point they produce, so that a gray has exactly a* = b* = 0.
    # Summed by hand: a matrix product may round differently for one colour than for many.
    rows = _XYZ_FROM_LINEAR / _XYZ_FROM_LINEAR.sum(axis=1, keepdims=True)
    red, green, blue = linear[..., 0:1], linear[..., 1:2], linear[..., 2:3]
    scaled = red * rows[:, 0] + green * rows[:, 1] + blue * rows[:, 2]
    delta = 6.0 / 29.0
    response = np.where(scaled > delta**3, np.cbrt(scaled), scaled / (3.0 * delta**2) + 4.0 / 29.0)
    x, y, z = response[..., 0], response[..., 1], response[..., 2]
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def delta_e(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """CIE76 distance of two sRGB colours (0-255, last axis 3, broadcast against each other)."""
    return np.asarray(np.linalg.norm(lab(first) - lab(second), axis=-1))


def nearest_colour(
    rgb: npt.ArrayLike, names: Iterable[str] | Mapping[str, RGB] = PALETTE
) -> tuple[str, float]:
    """Name the colour that is closest to ``rgb``.

    Args:
        rgb: one sRGB colour, 0-255.
        names: candidate names out of `PALETTE`, or a mapping of names to sRGB values.

    Returns:
        The name and its CIE76 distance. The first of equally near names wins.
    """
    candidates = dict(names) if isinstance(names, Mapping) else {name: PALETTE[name] for name in names}
    distances = delta_e(np.asarray(rgb), np.array(list(candidates.values())))
    index = int(np.argmin(distances))
    return list(candidates)[index], float(distances[index])


_XYZ_FROM_LINEAR = np.array(
    [
        [0.4123907993, 0.3575843394, 0.1804807884],
        [0.2126390059, 0.7151686788, 0.0721923154],
        [0.0193308187, 0.1191947798, 0.9505321522],
    ]
)

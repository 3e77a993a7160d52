"""Affine maps of the plane in pixels, on the continuous axes where pixel i covers i to i + 1."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
"""(2, 3): a point (x, y) goes to ``matrix[:, :2] @ (x, y) + matrix[:, 2]``."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a drawing lies in the array of pixels that shows it.

    Attributes:
        matrix: From the drawing's own axes, which no look changes, to pixels of the array.
        width: Width of the array in pixels.
        height: Height of the array in pixels.
    """

    matrix: Affine
    width: int
    height: int

    def at(self, x: int, y: int) -> Affine:
        """From the drawing's own axes to the canvas, for an array whose upper left pixel is (x, y)."""
        return moved(self.matrix, x, y)


def moved(matrix: Affine, dx: float, dy: float) -> Affine:
    """Do `matrix`, then move by (dx, dy)."""
    return matrix + np.array([[0.0, 0.0, dx], [0.0, 0.0, dy]])


def between(first: Affine, second: Affine) -> Affine:
    """The map that takes what `first` gives to what `second` gives for the same point.

    `first` must be invertible, as every drawing of at least one pixel is.
    """
    linear = second[:, :2] @ np.linalg.inv(first[:, :2])
    return np.concatenate([linear, (second[:, 2] - linear @ first[:, 2])[:, None]], axis=1)


def applied(matrix: Affine, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Points (N, 2) as x and y, after the map."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]

"""Ways in which a generated picture is worse than a rendered one, to prove a checker against.

Amounts are in pixels and in 0-255 levels, so they mean what they say at 64 pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Degradation:
    """A recipe of damage, applied in the order of the attributes.

    Attributes:
        wobble: standard deviation in pixels of a smooth random displacement (shapes drawn by an unsure hand).
        fade: how much of the contrast to the top left pixel remains (washed out colours).
        blur: standard deviation of a Gaussian in pixels.
        noise: standard deviation of white noise in levels.
        jpeg: quality, or 0 for none.
    """

    wobble: float = 0.0
    fade: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0

    def apply(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Damage a picture (H, W, 3)."""
        damaged = image.astype(np.float32)
        if self.wobble:
            damaged = _wobbled(damaged, self.wobble, rng)
        if self.fade != 1:
            damaged = self.fade * damaged + (1 - self.fade) * damaged[0, 0]
        if self.blur:
            damaged = np.asarray(cv2.GaussianBlur(damaged, (0, 0), self.blur))
        if self.noise:
            damaged = damaged + rng.normal(0, self.noise, damaged.shape).astype(np.float32)
        pixels = np.clip(np.rint(damaged), 0, 255).astype(np.uint8)
        if self.jpeg:
            _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])
            decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
            pixels = np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)
        return pixels

    def __str__(self) -> str:
        words = [
            f"{name} {value:g}"
            for name, value, none in (
                ("wobble", self.wobble, 0),
                ("fade", self.fade, 1),
                ("blur", self.blur, 0),
                ("noise", self.noise, 0),
                ("JPEG", self.jpeg, 0),
            )
            if value != none
        ]
        return " + ".join(words) or "none"


def _wobbled(
    image: npt.NDArray[np.float32], amount: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    height, width = image.shape[:2]
    smoothness = 0.1 * min(height, width)
    raw = np.asarray(cv2.GaussianBlur(rng.normal(size=(height, width, 2)), (0, 0), smoothness))
    field = raw * (amount / raw.std())
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(
        cv2.remap(
            image,
            (columns + field[..., 0]).astype(np.float32),
            (rows + field[..., 1]).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )

"""How things meet what is behind them: five cheap styles, one drawn for each sample.

A model that saw only hard edges learns to look for edges (Cut-Paste-Learn, ICCV 2017: a mixture of blends
helps, Poisson blending alone hurts, and it costs more than the rest of a sample). Softening works inwards, on
alpha, so that no pixel outside a thing needs a colour; a shadow changes pixels but belongs to no thing.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.options.blending import BlendingOptions
from dreamomni.data.collage.scene import BlendLook, Look

# Beyond this an orange thing would be brown, and its words wrong.
_GAIN_RANGE = (0.86, 1.14)
# A softer edge than this would eat thin parts of a small thing.
_SOFTEST = 1 / 48
_SHADOW_CELL_PX = 4

Gain = tuple[float, float, float]


def draw_blend(options: BlendingOptions, draws: Draws) -> BlendLook:
    """Draw how the things of a sample are blended.

    Args:
        options: What the recipe says about blending.
        draws: Stream of the blending; always used up equally, so that changed weights move nothing else.
    """
    style = draws.weighted(options.weights)
    sigma = draws.uniform(*options.gaussian_px)
    gain = draws.uniform(*options.gain_strength)
    offset, turn = draws.uniform(*options.shadow_offset), draws.uniform(0.0, math.pi)
    softness, darkness = draws.uniform(*options.shadow_softness), draws.uniform(*options.shadow_strength)
    if style == "gaussian":
        return BlendLook(style, softness=round(sigma, 3))
    if style == "gain":
        return BlendLook(style, strength=round(gain, 3))
    if style == "shadow":
        # Light comes from above: a shadow falls to the left, to the right or down, never up.
        dx, dy = offset * math.cos(turn), offset * math.sin(turn)
        return BlendLook(style, round(softness, 4), round(darkness, 3), round(dx, 4), round(dy, 4))
    return BlendLook(style)


def gain_of(blend: BlendLook, background: npt.NDArray[np.uint8]) -> Gain:
    """Say by what a thing's channels are multiplied to stand in the light of a background.

    It is read off the whole background and not off what happens to lie behind a thing: a thing that is
    dragged keeps its colour, and one that stays while another goes keeps its pixels.

    Args:
        blend: A blend of style "gain".
        background: (H, W, 3) uint8, nothing drawn on it yet.
    """
    small = cv2.resize(background, (16, 16), interpolation=cv2.INTER_NEAREST)
    mean = np.asarray(cv2.mean(small)[:3])
    # 160 is the middle of what stickers show: darker scenes darken a thing, warm ones warm it.
    full = np.clip(mean / 160.0, 0.4, 1.6)
    red, green, blue = np.clip(1.0 + blend.strength * (full - 1.0), *_GAIN_RANGE).round(4).tolist()
    return red, green, blue


def finish(image: npt.NDArray[np.uint8], look: Look, blend: BlendLook, gain: Gain) -> npt.NDArray[np.uint8]:
    """Give the pixels of a thing the edge and the light of a blend.

    Written words keep their edges: letters are too thin to lose a pixel.

    Args:
        image: (H, W, 4) uint8 premultiplied RGBA.
        look: What the pixels show.
        blend: How it is blended.
        gain: From `gain_of`, for style "gain".

    Returns:
        (H, W, 4) uint8 premultiplied RGBA of the same size; `image` itself when nothing changes.
    """
    if blend.style == "gain":
        return _lit(image, gain)
    if blend.style in ("feather", "gaussian") and look.kind != "text":
        alpha = cv2.extractChannel(image, 3)
        # Outside the array there is nothing, so the border counts as clear.
        if blend.style == "feather":
            soft = cv2.blur(alpha, (3, 3), borderType=cv2.BORDER_CONSTANT)
        else:
            soft = _gaussian(alpha, min(blend.softness, look.size * _SOFTEST))
        return np.asarray(cv2.multiply(image, cv2.merge((soft, soft, soft, soft)), scale=1 / 255), np.uint8)
    return image


def _lit(image: npt.NDArray[np.uint8], gain: Gain) -> npt.NDArray[np.uint8]:
    red, green, blue, alpha = cv2.split(image)
    # Premultiplied colour may not exceed alpha.
    channels = [
        cv2.min(cv2.convertScaleAbs(channel, alpha=factor), alpha)
        for channel, factor in zip((red, green, blue), gain, strict=True)
    ]
    return np.asarray(cv2.merge((*channels, alpha)), np.uint8)


def shadow(
    alpha: npt.NDArray[np.uint8], blend: BlendLook, shorter_px: int
) -> tuple[npt.NDArray[np.uint8], int, int]:
    """Draw the shadow of a thing, at a quarter of the resolution and then enlarged.

    Args:
        alpha: (H, W) uint8, where the thing is.
        blend: A blend of style "shadow".
        shorter_px: Shorter side of the canvas in pixels.

    Returns:
        (H', W', 3) uint8, what remains of the light (255 is all of it), the same in all channels, and the
        position of its upper left corner relative to that of `alpha`.
    """
    cell = _SHADOW_CELL_PX if shorter_px >= 256 else 1
    sigma = max(blend.softness * shorter_px / cell, 0.3)
    border = math.ceil(2.5 * sigma)
    height, width = alpha.shape
    columns, rows = math.ceil(width / cell), math.ceil(height / cell)
    # Linear skips pixels here, which the blur that follows hides.
    small = cv2.resize(alpha, (columns, rows), interpolation=cv2.INTER_LINEAR)
    small = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_CONSTANT, value=0)
    small = _gaussian(small, sigma)
    # 255 minus the darkness; what is outside stays exactly as light as it was.
    small = cv2.addWeighted(small, -blend.strength, small, 0.0, 255.0)
    small = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
    side = (small.shape[1] * cell, small.shape[0] * cell)
    large = cv2.resize(small, side, interpolation=cv2.INTER_LINEAR) if cell > 1 else small
    x, y = round(blend.dx * shorter_px) - border * cell, round(blend.dy * shorter_px) - border * cell
    return np.asarray(large, np.uint8), x, y


def _gaussian(image: npt.NDArray[np.uint8], sigma: float) -> npt.NDArray[np.uint8]:
    side = 2 * math.ceil(2.5 * sigma) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.uint8)

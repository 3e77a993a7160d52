"""Classifier-free guidance: go further in the direction in which a condition moves the prediction."""

from torch import Tensor


def guide(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Return uncond + scale * (cond - uncond).

    Args:
        cond: Velocity with the condition.
        uncond: Velocity without it, same shape.
        scale: 1 gives `cond` exactly, 0 gives `uncond` up to rounding.
    """
    return cond + (scale - 1) * (cond - uncond)


def guide_twice(
    full: Tensor, image_only: Tensor, neither: Tensor, *, guidance_scale: float, image_guidance_scale: float
) -> Tensor:
    """Guide towards the words and towards the images, each with its own strength.

    neither + image_guidance_scale * (image_only - neither) + guidance_scale * (full - image_only), as in
    InstructPix2Pix, equation 3. Both scales 1 give `full` exactly.

    Args:
        full: Velocity with words and images.
        image_only: Velocity with the images and no words.
        neither: Velocity without both.
        guidance_scale: Strength of the words.
        image_guidance_scale: Strength of the images.
    """
    towards_words = (guidance_scale - 1) * (full - image_only)
    return full + towards_words + (image_guidance_scale - 1) * (image_only - neither)

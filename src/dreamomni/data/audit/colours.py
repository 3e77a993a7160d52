"""Check of colour words: what a thing is called is what its pixels show."""

from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from dreamomni.data.audit.check import Check
from dreamomni.data.audit.facts import Facts
from dreamomni.data.audit.labels import seen_labels

_EXACT = 2
"""Largest difference of a channel that still counts as the painted colour."""
_MIN_PIXELS = 24
_MIN_SOFT_PIXELS = 200
"""Pixels that a thing without pure colours needs: soft edges eat the thin parts of small ones."""
_ENOUGH_PIXELS = 2000
_PURE_SHARE = 0.15
"""Part of the pixels that must be of pure colours before they alone decide."""
_NEUTRAL = frozenset({"black", "white", "gray"})
_GAIN = (0.84, 1.16)
"""Light on a thing that was matched to its background, for each channel."""
_SHADE = (0.3, 1.02)
"""Light on a thing on which a shadow falls, for all channels together."""
_LEAST_SHARE = 0.1
_MIN_VISIBILITY, _MIN_HOLED_VISIBILITY = 0.6, 0.95


def colours(facts: Facts) -> Iterator[str]:
    """The colour word is that of the palette which most pixels have, but for the details of a drawing."""
    palette = facts.vocabulary.colours
    style = str((facts.sample.details.get("blend") or {}).get("style", "none"))
    for view, label in seen_labels(facts):
        words = [] if label.colour is None else label.colour.split(" and ")
        unknown = [word for word in words if word not in palette]
        if unknown:
            yield f"{view.title}: {label.name!r} has the unknown colour {label.colour!r}"
        pixels = view.pixels[view.mask(label.instance_id)]
        # What a hole or another thing leaves of it need not have its colour: a stem, an eye.
        hidden = label.visibility < (_MIN_VISIBILITY if view.covered is None else _MIN_HOLED_VISIBILITY)
        if unknown or not words or hidden or len(pixels) < _MIN_PIXELS:
            continue
        pixels = pixels[:: 1 + len(pixels) // _ENOUGH_PIXELS]
        painted = label.kind != "sticker" or f"sticker:{label.name}" in facts.sample.assets
        # Small letters are thinner than a pixel: no pixel has their colour, in whatever light.
        sure = _lit(pixels, palette, style) if style == "gain" else _pure(pixels, palette)
        thin = label.kind == "text" and sum(sure.values()) < _PURE_SHARE * len(pixels)
        message = _painted_fault(pixels, palette, words[0], style) if painted and not thin else None
        if not painted:
            votes = _nearest(pixels, palette)
            low = [word for word in words if votes[word] < _LEAST_SHARE * len(pixels)]
            message = f"{len(pixels)} pixels are {_top(votes)}" if low else None
        if message is not None:
            yield (
                f"{view.title}: {label.name!r} (instance {label.instance_id}) is called {label.colour}, "
                f"but {message}"
            )


def _painted_fault(
    pixels: np.ndarray, palette: Mapping[str, tuple[int, int, int]], word: str, style: str
) -> str | None:
    """What speaks against a colour word for a thing that was painted in a palette colour, or None."""
    votes = _pure(pixels, palette)
    if style not in ("gain", "shadow") and sum(votes.values()) >= _PURE_SHARE * len(pixels):
        return None if votes[word] == max(votes.values()) else f"{len(pixels)} pixels are {_top(votes)}"
    # Without light that changes them, only thin strokes have hardly a pixel of pure colour.
    lit = style in ("gain", "shadow")
    if len(pixels) < _MIN_SOFT_PIXELS:
        return None
    votes = _lit(pixels, palette, style) if lit else _nearest(pixels, palette)
    if word not in _NEUTRAL:
        # Outlines and details are mostly black, white or gray.
        votes = {name: count for name, count in votes.items() if name not in _NEUTRAL}
        fits = votes[word] >= 0.5 * max(votes.values())
    else:
        fits = votes[word] >= _LEAST_SHARE * len(pixels)
    return None if fits else f"of {len(pixels)} pixels {votes[word]} look {word}, they look {_top(votes)}"


def _pure(pixels: np.ndarray, palette: Mapping[str, tuple[int, int, int]]) -> dict[str, int]:
    """Pixels that have a colour of the palette exactly."""
    table = np.array(list(palette.values()), np.int16)
    gaps = np.abs(pixels[:, None, :].astype(np.int16) - table[None]).max(axis=2)
    return dict(zip(palette, (gaps <= _EXACT).sum(axis=0).tolist(), strict=True))


def _lit(pixels: np.ndarray, palette: Mapping[str, tuple[int, int, int]], style: str) -> dict[str, int]:
    """Pixels that a colour of the palette may give in another light; several may explain one pixel."""
    found = {}
    values = pixels.astype(np.float32)
    for name, rgb in palette.items():
        colour = np.array(rgb, np.float32)
        if style == "gain":
            low, high = colour * _GAIN[0] - 4, colour * _GAIN[1] + 4
            fits = ((values >= low) & (values <= high)).all(axis=1)
        else:
            light = np.clip(values @ colour / float(colour @ colour), *_SHADE)
            fits = np.abs(values - light[:, None] * colour).max(axis=1) <= 4
        found[name] = int(fits.sum())
    return found


def _nearest(pixels: np.ndarray, palette: Mapping[str, tuple[int, int, int]]) -> dict[str, int]:
    """Pixels by the colour of the palette that is nearest in CIE L*a*b*."""
    table = _lab(np.array(list(palette.values()), np.uint8))
    gaps = ((_lab(pixels)[:, None] - table[None]) ** 2).sum(axis=2)
    counts = np.bincount(gaps.argmin(axis=1), minlength=len(palette))
    return dict(zip(palette, counts.tolist(), strict=True))


def _lab(rgb: np.ndarray) -> np.ndarray:
    scaled = (rgb.astype(np.float32) / 255.0)[None]
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB))[0]


def _top(votes: Mapping[str, int]) -> str:
    ordered = sorted(votes.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ordered[:3] if count)


CHECKS = (Check("colours", colours, exact=True),)

"""SVG files as they are read: their licence, their canvas, and whether they can take a colour."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from dreamomni.errors import DataError

_MAX_ASPECT = 8.0
_LICENCE = re.compile(r"SPDX-License-Identifier:\s*([\w.+-]+(?:\s+(?:AND|OR|WITH)\s+[\w.+-]+)*)")


@dataclass(frozen=True, slots=True)
class SvgFile:
    """One SVG file as read.

    Attributes:
        path: Where it came from.
        svg: Its text.
        licence: SPDX expression, the file's own or the one said of its folder.
        recolourable: Whether it uses `currentColor`.
    """

    path: Path
    svg: str
    licence: str
    recolourable: bool


def read_svg(file: Path, licence: str) -> SvgFile:
    """Read an SVG file.

    Args:
        file: The file.
        licence: SPDX expression, for a file that says nothing of its own licence.

    Raises:
        DataError: It is no SVG, or its canvas is far too long for its width.
    """
    try:
        svg = file.read_text(encoding="utf-8")
        root = ElementTree.fromstring(svg)
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise DataError(f"Sticker {file} cannot be read as SVG ({error}); mend or remove it.") from error
    if root.tag.rpartition("}")[2] != "svg":
        raise DataError(f"Sticker {file} has root <{root.tag}> where <svg> belongs; mend or remove it.")
    width, height = _canvas(root)
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise DataError(
            f"Sticker {file} has a canvas of {width:g} x {height:g}; "
            f"keep the longer side within {_MAX_ASPECT:g} times the shorter."
        )
    stated = _LICENCE.search(svg)
    return SvgFile(
        path=file,
        svg=svg,
        licence=stated.group(1) if stated else licence,
        recolourable="currentcolor" in svg.lower(),
    )


def _canvas(root: ElementTree.Element) -> tuple[float, float]:
    """Width and height in user units; square when the file does not say."""
    box = root.get("viewBox", "").replace(",", " ").split()
    sides = box[2:] if len(box) == 4 else [root.get("width", ""), root.get("height", "")]
    numbers = [re.match(r"\d+(\.\d+)?", side) for side in sides]
    if not all(numbers):
        return 1.0, 1.0
    width, height = (float(number.group()) for number in numbers if number)
    return width, height

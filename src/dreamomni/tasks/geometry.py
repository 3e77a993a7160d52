"""Sizes, boxes and aspect-ratio buckets. Sizes are width first; boxes are half-open, in pixels."""

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from dreamomni.errors import RequestError

MAX_ASPECT_RATIO = 4
NUM_BUCKETS = 31


class Size(NamedTuple):
    """Width and height in pixels. In a recipe or request it may be written `512x768` or `[512, 768]`."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `WxH`, for example `512x768`.

        Raises:
            RequestError: The text has another form, or a side is zero.
        """
        match = re.fullmatch(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*", text, re.ASCII)
        if match is None:
            raise RequestError(f"size {text!r} must look like WIDTHxHEIGHT, for example 512x768")
        return cls(int(match[1]), int(match[2]))._positive()

    @property
    def num_pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    def _positive(self) -> Self:
        if self.width < 1 or self.height < 1:
            raise RequestError(f"size {self} is impossible: both sides must be at least 1 pixel")
        return self

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def coerce(value: Any) -> Size:
            try:
                if isinstance(value, str):
                    return cls.parse(value)
                if isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int for v in value):
                    return cls(*value)._positive()
            except RequestError as error:  # pydantic collects ValueErrors and adds the field's name
                raise ValueError(str(error)) from None
            raise ValueError(f"a size is written WIDTHxHEIGHT or [WIDTH, HEIGHT], not {value!r}")

        return core_schema.no_info_plain_validator_function(
            coerce, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )


class Box(NamedTuple):
    """A half-open rectangle in pixels: columns x0 to x1 - 1, rows y0 to y1 - 1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """The middle as (x, y), on the continuous axes where pixel i covers i to i + 1."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def meets(self, other: "Box") -> bool:
        """Whether the two have a pixel in common."""
        return self[0] < other[2] and other[0] < self[2] and self[1] < other[3] and other[1] < self[3]

    @classmethod
    def around(cls, boxes: Iterable["Box"]) -> Self:
        """The smallest box that holds all of these, of which there must be one at least."""
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return cls(min(lefts), min(tops), max(rights), max(bottoms))


def aspect_buckets(base: int, multiple: int = 16) -> tuple[Size, ...]:
    """Return the training sizes of one resolution, from 4:1 to 1:4, each with an area near base * base.

    The aspect ratios are spaced evenly on a log scale. There are 31 of them from a base of 16 multiples on; a
    smaller base cannot tell all of them apart on its coarse grid and gives fewer.

    Args:
        base: The side of the square bucket in pixels; at least two multiples.
        multiple: What both sides are multiples of.

    Raises:
        RequestError: The base is too small for the multiple.
    """
    if multiple < 1 or base < 2 * multiple:
        raise RequestError(
            f"base size {base} is too small for buckets: it must be at least {2 * max(multiple, 1)}"
        )
    half = NUM_BUCKETS // 2
    buckets: dict[Size, None] = {}
    for step in range(half, -half - 1, -1):
        side_ratio = MAX_ASPECT_RATIO ** (step / half / 2)
        columns = max(1, round(base * side_ratio / multiple))
        rows = max(1, round(base / side_ratio / multiple))
        columns, rows = min(columns, MAX_ASPECT_RATIO * rows), min(rows, MAX_ASPECT_RATIO * columns)
        buckets[Size(columns * multiple, rows * multiple)] = None
    return tuple(buckets)


def nearest_bucket(size: Size, buckets: Iterable[Size]) -> Size:
    """Return the bucket whose aspect ratio is nearest to that of `size` on a log scale."""

    def distance(bucket: Size) -> tuple[float, int]:
        ratio = math.log(bucket.width / bucket.height) - math.log(size.width / size.height)
        return round(abs(ratio), 9), abs(bucket.num_pixels - size.num_pixels)

    return min(buckets, key=distance)


def check_size(size: Size, multiple: int, max_pixels: int) -> Size:
    """Return `size` if a model can make it.

    Raises:
        RequestError: A side is no positive multiple of `multiple` (the nearest size that is gets named), or
            there are more than `max_pixels` pixels.
    """
    if size.width < 1 or size.height < 1 or size.width % multiple or size.height % multiple:
        nearest = Size(*(max(1, round(side / multiple)) * multiple for side in size))
        raise RequestError(f"size {size} is not in multiples of {multiple}; the nearest is {nearest}")
    if size.num_pixels > max_pixels:
        raise RequestError(f"size {size} has {size.num_pixels:,} pixels; the limit is {max_pixels:,}")
    return size

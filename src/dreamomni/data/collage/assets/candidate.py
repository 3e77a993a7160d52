"""What builders find: an asset before its pixels are read, and those pixels."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets.asset import AssetKind
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.naming import article, resolve_alias
from dreamomni.data.collage.raster import Layers
from dreamomni.errors import DataError

_NUMBER = re.compile(r"[ ]*\(?\d+\)?$")
_ASIDE = re.compile(r"\s*\([^)]*\)")
_SINGULAR = frozenset({"lens", "gas", "canvas", "atlas", "christmas", "swiss", "news"})
_LETTER = re.compile(r"[^\W\d_]")


class SkippedAsset(Exception):  # noqa: N818 - no error: a filter left it out
    """A filter leaves an asset out; the reason is counted."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an asset is made of.

    Attributes:
        source: Bytes that the pixels were made from; the split is a hash of them.
        pixels: Premultiplied RGBA of a thing with colours of its own, (H, W, 4) uint8; RGB of a background.
        layers: A thing whose main colour can be chosen.
    """

    source: bytes
    pixels: npt.NDArray[np.uint8] | None = None
    layers: Layers | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One asset that a source has.

    Attributes:
        id: Unique in the library.
        name: What the words call it.
        kind: What it is.
        rights: Its licence and whom to name, as far as the source says.
        origin: File (and annotation) that it comes from, for messages.
        load: Reads it; raises `SkippedAsset` when a filter leaves it out and `DataError` when it is broken.
        caption: What a background shows.
    """

    id: str
    name: str
    kind: AssetKind
    rights: Rights
    origin: str
    load: Callable[[], Content]
    caption: str = ""


class Source(Protocol):
    """Where candidates come from."""

    def __len__(self) -> int:
        """How many candidates to expect, for a progress bar."""
        ...

    def __iter__(self) -> Iterator[Candidate]:
        """Yield candidates, always in the same order."""
        ...


def name_from(text: str) -> str:
    """Make a noun from a file stem or a category: "Red_Apple-02" is "red apple", "bow_(ribbon)" is "bow".

    A thing that our stickers know by another word has theirs ("automobile" is "car").
    """
    words = " ".join(_ASIDE.sub("", text.replace("_", " ").replace("-", " ")).lower().split())
    return resolve_alias(_NUMBER.sub("", words).strip())


def looks_plural(name: str) -> bool:
    """Whether a name already means several things ("shopping bags"); no rule makes one thing of them."""
    last = name.rpartition(" ")[2]
    is_singular = last.endswith(("ss", "us", "is", "os")) or last in _SINGULAR
    return last.endswith("s") and not is_singular and article(name) != "a pair of"


def check_name(name: str, origin: str) -> str:
    """Return a name that words can use.

    Raises:
        DataError: It has no letter.
    """
    if not _LETTER.search(name):
        raise DataError(
            f"{origin} has no name: call the file by what it shows, put it into a folder of that name, or "
            "list it in names.json beside it"
        )
    return name

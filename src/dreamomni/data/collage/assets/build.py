"""From candidates to one library file."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.assets.asset import THING_KINDS
from dreamomni.data.collage.assets.candidate import Candidate, Content, SkippedAsset, Source
from dreamomni.data.collage.assets.colours import measure_colour
from dreamomni.data.collage.assets.format import LibraryWriter, write_library
from dreamomni.data.collage.assets.licences import check_licence
from dreamomni.data.collage.assets.pyramid import build_levels, fitted, level_sizes, outline_of
from dreamomni.data.collage.palette import PALETTE, colour_words, delta_e
from dreamomni.data.collage.raster import Layers
from dreamomni.errors import ConfigError, DataError

RESERVED_NAMES = ("sticker", "font", "shape")
_SMALLEST_BACKGROUND_PX = 64
_MEASURED_PX = 96
_BORNE_OUT = 45.0
"""So near (CIE76) to the mean of its pixels, a colour in a name is believed."""
_GREY = [128, 128, 128]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a library is built.

    Attributes:
        held_out: Part of the assets kept for evaluation.
        max_px: Longest side of a thing at its largest.
        min_px: Things with a shorter longest side are left out.
        max_background_px: Longest side of a background at its largest.
        allowed: Licences to take, or none to take all.
        skip_damaged: Whether broken assets are left out and counted instead of ending the work.
    """

    held_out: float = 0.1
    max_px: int = 512
    min_px: int = 32
    max_background_px: int = 1024
    allowed: frozenset[str] = frozenset()
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.held_out <= 1.0:
            raise ConfigError(f"the held-out part of a library must be 0 to 1, not {self.held_out:g}")
        if not 16 <= self.max_px <= 4096 or not 64 <= self.max_background_px <= 8192:
            raise ConfigError(
                f"sizes of a library must be 16 to 4096 px for things and 64 to 8192 px for backgrounds, not "
                f"{self.max_px} and {self.max_background_px}"
            )
        if not 1 <= self.min_px <= self.max_px:
            raise ConfigError(f"the smallest size of things must be 1 to {self.max_px} px, not {self.min_px}")


@dataclass(slots=True)
class BuildReport:
    """What came of it.

    Attributes:
        path: The library.
        digest: Its digest.
        kinds: Assets by kind.
        splits: Assets by split.
        skipped: Candidates left out, by reason.
    """

    path: Path
    digest: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def build_library(
    sources: Sequence[Source],
    path: str | Path,
    name: str,
    options: BuildOptions | None = None,
    *,
    advance: Callable[[], None] = lambda: None,
) -> BuildReport:
    """Write a library.

    Args:
        sources: Where its assets come from.
        path: The file.
        name: What ids of its assets begin with in recipes and samples.
        options: How it is built.
        advance: Called after each candidate.

    Raises:
        ConfigError: The name cannot be part of an id.
        DataError: An asset is broken, has no licence or no name, two mean one id, or nothing is left.
        OutputError: The file cannot be written.
    """
    options = options or BuildOptions()
    if not name or name in RESERVED_NAMES or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(
            f"a library cannot be named {name!r}: use letters, digits, - and _, and none of "
            f"{', '.join(RESERVED_NAMES)}"
        )
    report = BuildReport(Path(path))
    entries: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    with write_library(path) as writer:
        for candidate in _each(sources):
            other = origins.setdefault(candidate.id, candidate.origin)
            if other != candidate.origin:
                raise DataError(
                    f"{other} and {candidate.origin} both mean the asset {candidate.id!r}; rename one of them"
                )
            try:
                entries[candidate.id] = _pack(candidate, writer, options)
            except SkippedAsset as reason:
                report.skipped[str(reason)] += 1
            except DataError:
                if not options.skip_damaged:
                    raise
                report.skipped["damaged"] += 1
            advance()
        if not entries:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(report.skipped.items()))
            raise DataError(f"no asset is left for {path} ({reasons or 'the sources are empty'})")
        for entry in entries.values():
            report.kinds[entry["kind"]] += 1
            report.splits[entry["split"]] += 1
        index = {"name": name, "assets": [entries[asset_id] for asset_id in sorted(entries)]}
        report.digest = writer.finish(index)
    return report


def _each(sources: Iterable[Source]) -> Iterable[Candidate]:
    for source in sources:
        yield from source


def _pack(candidate: Candidate, writer: LibraryWriter, options: BuildOptions) -> dict[str, Any]:
    licence = check_licence(candidate.rights.licence, candidate.origin)
    if options.allowed and licence not in options.allowed:
        raise SkippedAsset(f"licence {licence}")
    content = candidate.load()
    entry: dict[str, Any] = {
        "id": candidate.id,
        "name": candidate.name,
        "kind": candidate.kind,
        "licence": licence,
        "attribution": candidate.rights.attribution,
        "caption": candidate.caption,
        "split": _split(content.source, options.held_out),
        "recolourable": content.layers is not None,
        "colour": None,
        "rgb": _GREY,
        "levels": [],
    }
    if candidate.kind == "font":
        return entry | writer.blob(content.source)
    if candidate.kind == "background":
        return entry | _pack_background(content, writer, options)
    assert candidate.kind in THING_KINDS
    entry |= _pack_thing(content, writer, options)
    entry["name"], entry["colour"] = _apart(entry)
    return entry


def _pack_thing(content: Content, writer: LibraryWriter, options: BuildOptions) -> dict[str, Any]:
    layers = content.layers
    if layers is None:
        assert content.pixels is not None
        # One path for both: a thing with colours of its own has no weight for another.
        layers = Layers(content.pixels, np.zeros(content.pixels.shape[:2], np.uint8))
    if layers.longest < options.min_px:
        raise SkippedAsset("too small")
    if layers.longest > options.max_px:
        layers = layers.resized(fitted(layers.width, layers.height, options.max_px))
    levels = build_levels(layers)
    parts: list[bytes] = []
    for level in levels:
        parts.append(level.detail.tobytes())
        if content.layers is not None:
            parts.append(level.weight.tobytes())
    parts.append(outline_of(layers.detail[..., 3]).astype("<f4").tobytes())
    facts: dict[str, Any] = {"levels": [[level.width, level.height] for level in levels]}
    if content.layers is None:
        small = next((level for level in levels if level.longest <= _MEASURED_PX), levels[-1])
        colour = measure_colour(small.detail)
        facts |= {"colour": colour.name, "rgb": list(colour.rgb)}
    return facts | writer.blob(b"".join(parts))


def _apart(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    """Name and colour, where the name begins with a colour that the pixels bear out: "black cat"."""
    name, colour = entry["name"], entry["colour"]
    word, _, rest = name.partition(" ")
    if not rest or word not in PALETTE or entry["recolourable"]:
        return name, colour
    near = float(delta_e(entry["rgb"], PALETTE[word])) < _BORNE_OUT
    return (rest, word) if near or word in colour_words(colour or "") else (name, colour)


def _pack_background(content: Content, writer: LibraryWriter, options: BuildOptions) -> dict[str, Any]:
    pixels = content.pixels
    assert pixels is not None
    height, width = pixels.shape[:2]
    if min(width, height) < _SMALLEST_BACKGROUND_PX:
        raise SkippedAsset("too small")
    if max(width, height) > options.max_background_px:
        pixels = _smaller(pixels, fitted(width, height, options.max_background_px))
        height, width = pixels.shape[:2]
    levels = [pixels]
    sizes = level_sizes(width, height, _SMALLEST_BACKGROUND_PX)
    for step, size in enumerate(sizes[1:], start=1):
        levels.append(_smaller(levels[max(0, step - 2)], size))
    mean = np.rint(levels[-1].reshape(-1, 3).mean(axis=0)).astype(int).tolist()
    blob = writer.blob(b"".join(level.tobytes() for level in levels))
    return {"levels": [list(size) for size in sizes], "rgb": mean} | blob


def _smaller(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _split(source: bytes, held_out: float) -> str:
    """A pure function of the content: whatever else is in the library, and whatever its name is."""
    digest = hashlib.sha256(source).digest()
    return "held_out" if int.from_bytes(digest[:8], "big") < held_out * 2**64 else "train"

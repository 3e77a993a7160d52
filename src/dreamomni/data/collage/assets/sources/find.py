"""From what a user names to sources: which kind of thing lies there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from dreamomni.data.collage.assets.asset import AssetKind
from dreamomni.data.collage.assets.candidate import Source
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.assets.sources.annotations import CocoSource, InstanceFilter
from dreamomni.data.collage.assets.sources.folders import MASK_SUFFIX, SUFFIXES, FolderSource, read_json
from dreamomni.data.collage.assets.sources.icons import IconSource
from dreamomni.data.collage.assets.sources.open_images import OpenImagesSource
from dreamomni.errors import ConfigError, DataError

SourceKind = Literal["sticker", "cutout", "background", "font", "coco", "lvis", "open-images", "icons"]
SOURCE_KINDS: tuple[SourceKind, ...] = get_args(SourceKind)
_FOLDERS: dict[str, AssetKind] = {
    "stickers": "sticker",
    "cutouts": "cutout",
    "backgrounds": "background",
    "fonts": "font",
}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How sources are read.

    Attributes:
        kind: What they are; None looks at them.
        rights: Licence and attribution of what says none itself.
        images: Folder of the photographs of annotations; None looks beside the file.
        names: Icons to take.
        categories: Categories of icons to take.
        instances: Which instances of annotated photographs to take.
        raster_px: Longest side at which SVG is drawn.
    """

    kind: SourceKind | None = None
    rights: Rights = field(default_factory=Rights)
    images: Path | None = None
    names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    instances: InstanceFilter = field(default_factory=InstanceFilter)
    raster_px: int = 512


def find_sources(paths: Sequence[Path], options: SourceOptions) -> list[Source]:
    """Open every source.

    A folder that holds folders named stickers, cutouts, backgrounds or fonts is read as these.

    Raises:
        ConfigError: An option does not fit any source.
        DataError: A source is missing, empty, damaged, or its kind cannot be told.
    """
    sources: list[Source] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file or folder {path} to build assets from")
        inside = {name: path / name for name in _FOLDERS if path.is_dir() and (path / name).is_dir()}
        if options.kind is None and inside:
            sources += [_open(folder, _FOLDERS[name], options) for name, folder in inside.items()]
        else:
            sources.append(_open(path, options.kind or _kind_of(path), options))
    if (options.names or options.categories) and not any(isinstance(s, IconSource) for s in sources):
        raise ConfigError("--names and --categories choose icons, but no source is an icon set")
    if options.images is not None and not any(isinstance(s, CocoSource) for s in sources):
        raise ConfigError(
            "--images is the folder of annotated photographs, but no source is a COCO or LVIS file"
        )
    return sources


def _open(path: Path, kind: SourceKind, options: SourceOptions) -> Source:
    if kind == "coco" or kind == "lvis":
        return CocoSource(path, options.images or _images_beside(path), options.rights, options.instances)
    if kind == "open-images":
        return OpenImagesSource(path, options.rights, options.instances)
    if kind == "icons":
        return IconSource(
            path,
            options.rights,
            names=options.names,
            categories=options.categories,
            raster_px=options.raster_px,
        )
    return FolderSource(path, kind, options.rights, options.raster_px)


def _images_beside(path: Path) -> Path:
    """Where photographs usually lie: `images` beside the file or beside its folder, else with the file."""
    for folder in (path.parent / "images", path.parent.parent / "images"):
        if folder.is_dir():
            return folder
    return path.parent


def _kind_of(path: Path) -> SourceKind:
    if path.is_file():
        if path.suffix.lower() != ".json":
            raise DataError(f"{path} is one file; name the folder that it lies in, or a JSON file")
        tree = read_json(path)
        if isinstance(tree, dict) and "icons" in tree:
            return "icons"
        if isinstance(tree, dict) and "annotations" in tree:
            return "coco"
        raise DataError(f"{path} is neither an icon set (icons) nor an annotation file (annotations)")
    if (path / "icons.json").is_file():
        return "icons"
    if any(path.rglob("*segmentation*.csv")):
        return "open-images"
    files = [file for file in path.rglob("*") if file.is_file()]
    suffixes = {file.suffix.lower() for file in files}
    if any(file.name.lower().endswith(MASK_SUFFIX) for file in files):
        return "cutout"
    if suffixes & set(SUFFIXES["font"]):
        return "font"
    if suffixes & {".jpg", ".jpeg", ".bmp"}:
        raise DataError(
            f"{path} holds photographs without masks: say --kind background, or put NAME{MASK_SUFFIX} "
            "beside each and say --kind cutout"
        )
    return "sticker"

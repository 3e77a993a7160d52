"""Folders of stickers, cut-outs, backgrounds and fonts."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dreamomni.data.collage.assets.asset import AssetKind
from dreamomni.data.collage.assets.candidate import Candidate, Content, check_name, name_from
from dreamomni.data.collage.assets.licences import Rights, sidecar_rights, tagged_rights
from dreamomni.data.collage.assets.sources.pixels import (
    cut_out,
    read_bytes,
    read_mask,
    read_photo,
    read_transparent,
)
from dreamomni.data.collage.assets.svg import SvgFile, read_svg
from dreamomni.data.collage.fonts import open_face
from dreamomni.data.collage.raster import rasterise
from dreamomni.errors import DataError

_PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SUFFIXES: Mapping[AssetKind, tuple[str, ...]] = {
    "sticker": (".svg", ".png", ".webp"),
    "cutout": _PHOTOS,
    "background": _PHOTOS,
    "font": (".ttf", ".otf"),
}
MASK_SUFFIX = ".mask.png"
NAMES_FILE = "names.json"
_CAPTION_FILES = ("captions.jsonl", "metadata.jsonl")


class FolderSource:
    """The assets of one kind in a folder and the folders below it.

    The name is what `names.json` says, else the name of the folder that the file lies in when that is not the
    folder given, else the stem of the file. The licence is that of a file `<file>.license` or of a tag in an
    SVG, else the one given.

    Args:
        folder: Where the files are.
        kind: What they are.
        rights: Licence and attribution of files that say nothing themselves.
        raster_px: Longest side at which SVG is drawn.

    Raises:
        DataError: The folder is missing or holds no such file, or two files mean one asset.
    """

    def __init__(self, folder: Path, kind: AssetKind, rights: Rights, raster_px: int = 512) -> None:
        self.folder, self.kind, self._rights, self._raster_px = folder, kind, rights, raster_px
        if not folder.is_dir():
            raise DataError(
                f"there is no folder {folder}; name one that holds {', '.join(SUFFIXES[kind])} files"
            )
        files = sorted(
            file
            for file in folder.rglob("*")
            if file.suffix.lower() in SUFFIXES[kind]
            and not file.name.lower().endswith(MASK_SUFFIX)
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
            and file.is_file()
        )
        if not files:
            raise DataError(
                f"the folder {folder} holds nothing to build {kind}s from: put {', '.join(SUFFIXES[kind])} "
                "files there, or give another --kind"
            )
        self._files: dict[str, Path] = {}
        for file in files:
            other = self._files.setdefault(self._id(file), file)
            if other is not file:
                raise DataError(
                    f"{other} and {file} both mean the asset {self._id(file)!r}; rename or remove one of them"
                )
        self._names = self._read_names()
        self._captions = self._read_captions() if kind == "background" else {}

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Candidate]:
        for asset_id, file in self._files.items():
            record = self._captions.get(file.relative_to(self.folder).as_posix(), {})
            stated = Rights(record.get("licence", ""), record.get("attribution", ""))
            svg = read_svg(file, "") if file.suffix.lower() == ".svg" else None
            tagged = tagged_rights(svg.svg) if svg else Rights()
            yield Candidate(
                id=asset_id,
                name=self._name(asset_id, file),
                kind=self.kind,
                rights=stated.over(sidecar_rights(file)).over(tagged).over(self._rights),
                origin=str(file),
                load=self._loader(file, svg),
                caption=as_caption(record.get("caption", "") or _text_beside(file))
                if self.kind == "background"
                else "",
            )

    def _loader(self, file: Path, svg: SvgFile | None) -> Callable[[], Content]:
        if svg is not None:
            return partial(load_svg, svg, self._raster_px)
        return partial(
            {"sticker": _load_sticker, "cutout": _load_cutout, "font": _load_font}.get(
                self.kind, _load_background
            ),
            file,
        )

    def _id(self, file: Path) -> str:
        parts = file.relative_to(self.folder).with_suffix("").parts
        return "/".join("_".join(part.lower().replace("_", " ").split()) for part in parts)

    def _name(self, asset_id: str, file: Path) -> str:
        relative = file.relative_to(self.folder)
        for key in (relative.as_posix(), relative.with_suffix("").as_posix(), asset_id):
            if key in self._names:
                return check_name(name_from(self._names[key]), str(file))
        if self.kind == "font":
            return file.stem
        return check_name(name_from(relative.parent.name or file.stem), str(file))

    def _read_names(self) -> dict[str, str]:
        path = self.folder / NAMES_FILE
        if not path.is_file():
            return {}
        names = read_json(path)
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise DataError(f'{path} must map files to names, such as {{"img_01.png": "red apple"}}')
        lost = [key for key in names if not (self.folder / key).is_file() and key not in self._stems()]
        if lost:
            raise DataError(f"{path} names {lost[0]!r}, which is not in {self.folder}")
        return names

    def _stems(self) -> set[str]:
        stems = {file.relative_to(self.folder).with_suffix("").as_posix() for file in self._files.values()}
        return stems | set(self._files)

    def _read_captions(self) -> dict[str, dict[str, str]]:
        """Records of the JSONL file beside the pictures, by file name."""
        records: dict[str, dict[str, str]] = {}
        for path in (self.folder / name for name in _CAPTION_FILES):
            if not path.is_file():
                continue
            for number, line in enumerate(read_bytes(path).decode("utf-8", "replace").splitlines(), start=1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                    file = record.get("file") or record["file_name"]
                    caption = record.get("caption", record.get("text", ""))
                    fields = {
                        "caption": caption,
                        **{k: record.get(k, "") for k in ("licence", "attribution")},
                    }
                    fields["licence"] = fields["licence"] or record.get("license", "")
                except (ValueError, KeyError, AttributeError, TypeError):
                    raise DataError(
                        f'line {number} of {path} is no record; write {{"file": "a.jpg", "caption": "..."}}'
                    ) from None
                if not (self.folder / file).is_file():
                    raise DataError(f"line {number} of {path} names {file!r}, which is not in {self.folder}")
                if not all(isinstance(value, str) for value in fields.values()):
                    raise DataError(f"line {number} of {path} must have texts as values")
                records[Path(file).as_posix()] = fields
        return records


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: It is missing or no JSON.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def as_caption(text: str) -> str:
    """A caption as the middle of a sentence: one line, no final period, "a" and "the" not capital."""
    line = " ".join(text.split()).rstrip(". ")
    first, space, rest = line.partition(" ")
    return first.lower() + space + rest if first in ("A", "An", "The", "Some", "Two", "Three") else line


def load_svg(svg: SvgFile, raster_px: int) -> Content:
    """Draw an SVG; one that uses `currentColor` can take any colour.

    Raises:
        DataError: It cannot be drawn, or draws nothing.
    """
    layers = rasterise(svg.path, svg.svg, raster_px, recolourable=svg.recolourable)
    source = svg.svg.encode()
    return Content(source, layers=layers) if svg.recolourable else Content(source, pixels=layers.detail)


def _load_sticker(file: Path) -> Content:
    return Content(read_bytes(file), pixels=read_transparent(file))


def _load_cutout(file: Path) -> Content:
    beside = file.with_name(file.stem + MASK_SUFFIX)
    if not beside.is_file():
        raise DataError(f"{file} has no mask: put {beside.name} beside it, white where the thing is")
    photo = read_photo(file)
    mask = read_mask(beside, file, *photo.shape[:2])
    return Content(read_bytes(file) + read_bytes(beside), pixels=cut_out(photo, mask))


def _load_background(file: Path) -> Content:
    return Content(read_bytes(file), pixels=read_photo(file))


def _load_font(file: Path) -> Content:
    content = read_bytes(file)
    try:
        face = open_face(content, 32)
        width = face.getlength("Ag")
    except OSError as error:
        raise DataError(f"{file} is not a TrueType or OpenType font: {error}") from error
    if width <= 0:
        raise DataError(f"the font {file} has no Latin letters; leave it out")
    return Content(content)


def _text_beside(file: Path) -> str:
    path = file.with_suffix(".txt")
    return read_bytes(path).decode("utf-8", "replace") if path.is_file() else ""

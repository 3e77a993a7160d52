"""A gallery on the disk: one picture of everything, a page, and every picture in its own size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamomni.inference.gallery.exhibits import Exhibit
from dreamomni.inference.gallery.page import file_name, render_page
from dreamomni.inference.gallery.picture import draw_gallery
from dreamomni.inference.output import save_result
from dreamomni.storage import atomic_path, write_text
from dreamomni.tasks.images import save_png


@dataclass(frozen=True, slots=True)
class Gallery:
    """Where a gallery lies."""

    picture: Path
    page: Path


def write_gallery(exhibits: Sequence[Exhibit], folder: Path, title: str) -> Gallery:
    """Write `gallery.png`, `index.html` and every picture in its own size; the page comes last.

    Raises:
        OutputError: The folder cannot be written.
    """
    gallery = Gallery(picture=folder / "gallery.png", page=folder / "index.html")
    for exhibit in exhibits:
        for label, picture in exhibit.pictures:
            path = folder / file_name(exhibit, label)
            if label == "result":
                save_result(exhibit.result, exhibit.request, [path])
            else:
                save_png(picture, path, {})
    with atomic_path(gallery.picture) as part:
        draw_gallery(exhibits, title).save(part, format="PNG", optimize=True)
    write_text(gallery.page, render_page(exhibits, title))
    return gallery

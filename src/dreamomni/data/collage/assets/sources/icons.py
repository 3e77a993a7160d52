"""Icon sets in the JSON format of iconify: each icon a sticker named by its id."""

import html
import re
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dreamomni.data.collage.assets.candidate import Candidate, check_name, looks_plural, name_from
from dreamomni.data.collage.assets.licences import Rights
from dreamomni.data.collage.assets.sources.folders import load_svg, read_json
from dreamomni.data.collage.assets.svg import SvgFile
from dreamomni.errors import DataError

_VARIANT = re.compile(
    r"skin-tone|^keycap-|^regional-indicator|^input-|-button$|-(light|medium|dark)$|-(outline|bold|solid|fill)$"
)
_UNNAMEABLE = frozenset({"People & Body", "Smileys & Emotion", "Symbols", "Flags"})
"""Categories of emoji sets that hold no things; left out unless they are asked for."""


class IconSource:
    """The icons of a set.

    Skin tones, keycaps, style variants, names with digits and of several things ("shopping bags") are left
    out, and so are hidden icons, aliases, and in emoji sets the categories that hold no things. `names` takes
    what it names, `categories` takes such categories too.

    Args:
        path: `icons.json`, or the folder that holds it; `info.json` and `metadata.json` beside it say the
            licence and the categories where the file itself does not.
        rights: Licence and attribution of a set that says none.
        names: Icons or aliases to take, by id or name; none takes all.
        categories: Categories to take; none takes all that hold things.
        raster_px: Longest side at which icons are drawn.

    Raises:
        DataError: The file is missing or no icon set, or a name or category does not exist.
    """

    def __init__(
        self,
        path: Path,
        rights: Rights,
        *,
        names: Collection[str] = (),
        categories: Collection[str] = (),
        raster_px: int = 512,
    ) -> None:
        self.path = path / "icons.json" if path.is_dir() else path
        self._raster_px = raster_px
        tree = read_json(self.path)
        if not isinstance(tree, dict) or not isinstance(tree.get("icons"), dict):
            raise DataError(f"{self.path} is not an icon set of iconify: it has no icons")
        self._tree: dict[str, Any] = tree
        self._icons: dict[str, dict[str, Any]] = tree["icons"]
        self._aliases: dict[str, dict[str, Any]] = tree.get("aliases") or {}
        self._rights = self._own_rights().over(rights)
        self._chosen = self._choose(names, categories)

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Candidate]:
        prefix = self._tree.get("prefix", "icon")
        for icon in self._chosen:
            origin = f"icon {icon} of {self.path}"
            yield Candidate(
                id=f"{prefix}/{icon}",
                name=check_name(name_from(icon), origin),
                kind="sticker",
                rights=self._rights,
                origin=origin,
                load=partial(self._load, icon, origin),
            )

    def _load(self, icon: str, origin: str) -> Any:
        svg = self.svg(icon)
        return load_svg(SvgFile(Path(origin), svg, "", "currentcolor" in svg.lower()), self._raster_px)

    def svg(self, icon: str) -> str:
        """An icon as an SVG file, with the turns and flips of its aliases.

        Raises:
            DataError: There is no such icon, or its aliases run in a circle.
        """
        record: dict[str, Any] = {}
        turns, flip_x, flip_y, name, seen = 0, False, False, icon, set()
        while name not in self._icons:
            if name in seen or name not in self._aliases:
                raise DataError(
                    f"the icon {icon!r} of {self.path} stands for {name!r}, which is no icon of it"
                )
            seen.add(name)
            alias = self._aliases[name]
            # Sizes of the alias nearest to the name win; turns and flips add up.
            record = {**alias, **record}
            name = str(alias.get("parent"))
        base = self._icons[name]
        for step in (base, *(self._aliases[name] for name in seen)):
            turns += int(step.get("rotate", 0))
            flip_x ^= bool(step.get("hFlip"))
            flip_y ^= bool(step.get("vFlip"))
        merged = {**self._tree, **base, **record}
        left, top = float(merged.get("left", 0)), float(merged.get("top", 0))
        width, height = float(merged.get("width", 16)), float(merged.get("height", 16))
        body = base.get("body")
        if not isinstance(body, str) or min(width, height) <= 0:
            raise DataError(f"the icon {name!r} of {self.path} has no body or no size")
        x, y = left + width / 2, top + height / 2
        mirror = f"scale({-1 if flip_x else 1} {-1 if flip_y else 1})"
        flips = f"translate({x:g} {y:g}) {mirror} translate({-x:g} {-y:g})"
        turned = f"rotate({turns % 4 * 90} {x:g} {y:g})"
        if turns % 2 and width != height:
            side = max(width, height)
            left, top, width, height = left + (width - side) / 2, top + (height - side) / 2, side, side
        note = html.escape(name)
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left:g} {top:g} {width:g} {height:g}" aria-label="{note}">'
            f'<g transform="{turned} {flips}">{body}</g></svg>'
        )

    def _own_rights(self) -> Rights:
        beside = self.path.with_name("info.json")
        info = self._tree.get("info") or (read_json(beside) if beside.is_file() else {})
        licence, author = info.get("license") or {}, info.get("author") or {}
        if not isinstance(licence, dict) or not isinstance(author, dict):
            raise DataError(
                f"the info of the icon set {self.path} has no license and author as iconify writes them"
            )
        parts = [info.get("name"), author.get("name") and f"by {author['name']}", author.get("url")]
        return Rights(str(licence.get("spdx") or ""), ", ".join(str(part) for part in parts if part))

    def _categories(self) -> dict[str, list[str]]:
        beside = self.path.with_name("metadata.json")
        found = self._tree.get("categories") or (
            read_json(beside).get("categories") if beside.is_file() else None
        )
        return found or {}

    def _choose(self, names: Collection[str], categories: Collection[str]) -> list[str]:
        known = self._categories()
        if names:
            wanted = {"-".join(name.lower().replace("_", " ").split()): name for name in names}
            for icon, name in wanted.items():
                if icon not in self._icons and icon not in self._aliases:
                    raise DataError(f"the icon set {self.path} has no icon {name!r}")
            return sorted(wanted)
        for category in categories:
            if category not in known:
                has = f"it has {', '.join(known)}" if known else "it has no categories"
                raise DataError(f"the icon set {self.path} has no category {category!r}; {has}")
        left_out = set() if categories else {icon for c in _UNNAMEABLE & set(known) for icon in known[c]}
        inside = {icon for category in categories for icon in known[category]}
        return sorted(
            icon
            for icon, record in self._icons.items()
            if not record.get("hidden")
            and not _VARIANT.search(icon)
            and icon not in left_out
            and (not categories or icon in inside)
            and name_from(icon)
            and not looks_plural(name_from(icon))
            and not any(letter.isdigit() for letter in icon)
        )

"""Whom the pictures in a data set or a library belong to: the list that their licences ask for."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamomni.data.collage.assets import AssetCatalogue, AssetInfo, AssetLibrary, StickerPack
from dreamomni.data.collage.fonts import FONTS, font_licence
from dreamomni.data.shards.reader import ShardFolder, is_shard_folder
from dreamomni.errors import DataError


@dataclass(frozen=True, slots=True)
class Credit:
    """One asset and its owner.

    Attributes:
        id: As samples carry it.
        name: What it shows.
        licence: SPDX expression.
        attribution: Whom to name, empty when nobody said.
        num_samples: In how many samples of the data set it shows; None for a library.
    """

    id: str
    name: str
    licence: str
    attribution: str
    num_samples: int | None = None


def library_credits(library: AssetLibrary) -> list[Credit]:
    """List every asset of a library."""
    return [
        Credit(f"{library.name}:{info.id}", info.name, info.licence, info.attribution)
        for info in library.assets()
    ]


def dataset_credits(folder: str | Path, libraries: Sequence[AssetLibrary] = ()) -> list[Credit]:
    """List every asset that shows in a data set, of shards or of loose samples.

    Args:
        folder: The data set.
        libraries: What its recipe named as `assets`; shards know this themselves.

    Raises:
        DataError: The folder holds no data set, or a library that it drew from is not given.
    """
    folder = Path(folder)
    if is_shard_folder(folder):
        shards = ShardFolder(folder)
        shown = sum((Counter(stats["assets"]) for stats in shards.stats), Counter[str]())
        about = {
            asset["id"]: Credit(
                asset["id"], asset["name"], asset["licence"], asset.get("attribution", ""), shown[asset["id"]]
            )
            for asset in shards.dataset["assets"]
        }
        return _known(shown, about, folder)
    shown = _shown_in(folder)
    catalogue = AssetCatalogue(StickerPack.default(), libraries)
    infos = [
        *(AssetInfo(f"font:{font}", font, "font", font_licence(font)) for font in FONTS),
        *catalogue.assets(),
    ]
    about = {}
    for info in infos:
        asset_id = info.id if ":" in info.id else f"sticker:{info.id}"
        about[asset_id] = Credit(asset_id, info.name, info.licence, info.attribution, shown[asset_id])
    return _known(shown, about, folder)


def format_credits(credits: Sequence[Credit]) -> str:
    """Write credits as text, by licence and owner."""
    groups: dict[tuple[str, str], list[Credit]] = {}
    for credit in credits:
        groups.setdefault((credit.licence, credit.attribution), []).append(credit)
    lines: list[str] = []
    for (licence, attribution), members in sorted(groups.items()):
        lines.append(f"{licence}, {attribution or 'nobody named'}:")
        lines += [f"  {credit.id} ({credit.name})" for credit in members]
    return "\n".join(lines)


def _known(shown: Mapping[str, int], about: Mapping[str, Credit], folder: Path) -> list[Credit]:
    for asset_id in sorted(shown):
        if asset_id not in about:
            library = asset_id.partition(":")[0]
            raise DataError(
                f"{folder} shows {asset_id!r}, of which nothing is known here; name the file of the library "
                f"{library!r} with --library"
            )
    return [about[asset_id] for asset_id in sorted(shown)]


def _shown_in(folder: Path) -> Counter[str]:
    """Assets by the number of loose samples that show them."""
    shown: Counter[str] = Counter()
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not paths:
        raise DataError(f"{folder} is neither an asset library nor a folder of samples or shards")
    for path in paths:
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            shown.update(record["assets"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is not the record of a sample: {error!r}") from None
    return shown

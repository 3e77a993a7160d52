"""Everything that a recipe may draw from under one set of ids: the sticker pack and the user's libraries."""

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.affine import Fit
from dreamomni.data.collage.assets.asset import AssetInfo, AssetSource, Crop
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.assets.pack import StickerPack
from dreamomni.data.collage.palette import RGB
from dreamomni.errors import ConfigError, DataError
from dreamomni.tasks.geometry import Size


class AssetCatalogue:
    """The sticker pack, whose ids are names, and libraries, whose ids are `<library>:<id>`.

    Args:
        pack: Where stickers come from.
        libraries: What else there is.

    Raises:
        ConfigError: Two libraries have one name.
    """

    def __init__(self, pack: StickerPack, libraries: Sequence[AssetLibrary] = ()) -> None:
        self.pack = pack
        self.libraries: dict[str, AssetLibrary] = {}
        for library in libraries:
            twin = self.libraries.setdefault(library.name, library)
            if twin is not library:
                raise ConfigError(
                    f"the libraries {twin.path} and {library.path} are both named {library.name!r}; build "
                    "one of them again with another --name"
                )

    @classmethod
    def open(cls, paths: Sequence[str], pack: StickerPack | None = None) -> "AssetCatalogue":
        """Open the libraries of a recipe beside the sticker pack (the shipped one by default).

        Raises:
            ConfigError: Two libraries have one name.
            DataError: A library is missing, damaged or of another version.
        """
        return cls(pack or StickerPack.default(), [AssetLibrary.open(path) for path in paths])

    @property
    def digest(self) -> str:
        """Hash (hex) of the pack and of all libraries; part of the identity of a data set."""
        parts = [self.pack.digest]
        parts += [f"{name} {library.digest}" for name, library in sorted(self.libraries.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def assets(self) -> tuple[AssetInfo, ...]:
        """Every asset: the pack's first, then the libraries' in the order of their names."""
        found = list(self.pack.assets())
        for name, library in sorted(self.libraries.items()):
            found += [replace(asset, id=f"{name}:{asset.id}") for asset in library.assets()]
        return tuple(found)

    def info(self, asset_id: str) -> AssetInfo:
        """What is known about an asset; `sticker:` may stand before a name of the pack.

        Raises:
            DataError: There is no such asset.
        """
        source, inner = self._find(asset_id)
        return replace(source.info(inner), id=asset_id)

    def render(
        self,
        asset_id: str,
        colour: RGB,
        size_px: int,
        *,
        angle: float = 0.0,
        flip: bool = False,
        premultiplied: bool = False,
    ) -> npt.NDArray[np.uint8]:
        """Draw a thing (see `AssetSource.render`)."""
        source, inner = self._find(asset_id)
        return source.render(inner, colour, size_px, angle=angle, flip=flip, premultiplied=premultiplied)

    def fit(self, asset_id: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Fit:
        """Say where `render` puts each point of a drawing."""
        source, inner = self._find(asset_id)
        return source.fit(inner, size_px, angle=angle, flip=flip)

    def measure(self, asset_id: str, size_px: int, *, angle: float = 0.0, flip: bool = False) -> Size:
        """Say how large an array `render` gives, without drawing."""
        source, inner = self._find(asset_id)
        return source.measure(inner, size_px, angle=angle, flip=flip)

    def background(self, asset_id: str, width: int, height: int, crop: Crop) -> npt.NDArray[np.uint8]:
        """Cut a background to a canvas (see `AssetSource.background`)."""
        source, inner = self._find(asset_id)
        return source.background(inner, width, height, crop)

    def font(self, asset_id: str) -> bytes:
        """The file of a font."""
        source, inner = self._find(asset_id)
        return source.font(inner)

    def _find(self, asset_id: str) -> tuple[AssetSource, str]:
        library, colon, inner = asset_id.partition(":")
        if not colon:
            return self.pack, asset_id
        if library == "sticker":
            return self.pack, inner
        if library not in self.libraries:
            near = difflib.get_close_matches(library, self.libraries, n=1)
            known = ", ".join(self.libraries) or "none"
            hint = f"did you mean {near[0]!r}?" if near else f"the libraries at hand are: {known}"
            raise DataError(f"asset {asset_id!r} is of a library that is not at hand; {hint}")
        return self.libraries[library], inner

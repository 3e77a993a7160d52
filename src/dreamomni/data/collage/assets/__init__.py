"""Pictures that go into collages: our own sticker pack, and libraries built from what users have."""

from dreamomni.data.collage.assets.asset import AssetInfo, AssetSource, Crop
from dreamomni.data.collage.assets.catalogue import AssetCatalogue
from dreamomni.data.collage.assets.library import AssetLibrary
from dreamomni.data.collage.assets.pack import STICKER_FOLDER, StickerPack

__all__ = [
    "STICKER_FOLDER",
    "AssetCatalogue",
    "AssetInfo",
    "AssetLibrary",
    "AssetSource",
    "Crop",
    "StickerPack",
]

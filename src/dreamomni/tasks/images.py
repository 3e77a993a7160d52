"""The one image loader, for every network and every door, and the one PNG writer.

Whatever comes in (rotated, transparent, 16-bit, with a palette or a colour profile) goes out as upright 8-bit
sRGB. What cannot be read exactly is refused with one sentence; nothing is resized or cropped here.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from dreamomni.errors import OutputError, RequestError
from dreamomni.storage import atomic_path
from dreamomni.tasks.geometry import Size

ImageInput = str | Path | Image.Image
"""What a request takes as an image: a path, or an image already in memory."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
_FORMAT_NAMES = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# What Pillow's decoders raise on damaged files, beside OSError.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


def load_image(
    source: ImageInput,
    *,
    max_pixels: int = 16_777_216,
    min_side: int = 16,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Image.Image:
    """Read an image as upright 8-bit sRGB, mode "RGB", without metadata.

    EXIF orientation is applied, transparency is laid over `background`, 16-bit grey is scaled to 8 bits, and
    an embedded colour profile is converted to sRGB. The size is checked from the header, before any pixel is
    decoded. An animation is refused; of a JPEG with several pictures (as phones write them) the first is the
    image.

    Args:
        source: A path to a PNG, JPEG, WEBP or BMP file, or a Pillow image.
        max_pixels: Largest number of pixels.
        min_side: Smallest width and height in pixels.
        background: Colour behind transparent pixels.

    Raises:
        RequestError: The file is missing, not an image, damaged, animated, too small or too large.
    """
    rgb, alpha = _read(source, max_pixels, min_side)
    return rgb if alpha is None else _over(rgb, alpha, background)


def load_images(sources: Sequence[ImageInput]) -> tuple[Image.Image, ...]:
    """As `load_image` for each; a mistake says which of several images it is in.

    Raises:
        RequestError: One of them cannot be read.
    """
    images = []
    for number, source in enumerate(sources, start=1):
        try:
            images.append(load_image(source))
        except RequestError as error:
            if len(sources) == 1:
                raise
            raise RequestError(f"of {len(sources)} input images, number {number}: {error}") from None
    return tuple(images)


def load_rgba(source: ImageInput, *, max_pixels: int = 16_777_216, min_side: int = 16) -> Image.Image:
    """Read an image that has transparency as upright 8-bit sRGB, mode "RGBA" (straight alpha).

    Args:
        source: A path to a PNG or WEBP file, or a Pillow image.
        max_pixels: Largest number of pixels.
        min_side: Smallest width and height in pixels.

    Raises:
        RequestError: It cannot be read (see `load_image`), has no transparent pixel, or no other.
    """
    rgb, alpha = _read(source, max_pixels, min_side)
    low, high = alpha.getextrema() if alpha is not None else (255, 255)
    given = isinstance(source, Image.Image)
    name = f"the given image ({rgb.width}x{rgb.height})" if given else f"image {str(source)!r}"
    if low == 255:
        raise RequestError(f"{name} has no transparent pixel, so nothing says where its subject ends")
    if high == 0:
        raise RequestError(f"{name} is transparent everywhere, so it shows nothing")
    assert alpha is not None
    rgb.putalpha(alpha)
    return rgb


def decode_layers(
    content: bytes, name: str, *, max_pixels: int = 16_777_216, min_side: int = 16
) -> tuple[Image.Image, Image.Image | None]:
    """Decode the bytes of an image file, as `load_image` does.

    Args:
        content: A whole PNG, JPEG, WEBP or BMP file.
        name: Of the image, for messages.
        max_pixels: Largest number of pixels.
        min_side: Smallest width and height in pixels.

    Returns:
        Colours (mode "RGB") and alpha (mode "L", None where the image has none).

    Raises:
        RequestError: It is no image, damaged, animated, too small or too large.
    """
    if not content:
        raise RequestError(f"{name} is an empty file")
    with _quiet(), _open(BytesIO(content), name, max_pixels) as image:
        return _standard(image, name, max_pixels, min_side)


def decode_image(
    content: bytes,
    name: str,
    *,
    max_pixels: int = 16_777_216,
    min_side: int = 16,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Image.Image:
    """As `load_image`, from the bytes of a file. `name` is for messages.

    Raises:
        RequestError: It is no image, damaged, animated, too small or too large.
    """
    rgb, alpha = decode_layers(content, name, max_pixels=max_pixels, min_side=min_side)
    return rgb if alpha is None else _over(rgb, alpha, background)


def read_size(file: BinaryIO, name: str, *, max_pixels: int = 16_777_216, min_side: int = 16) -> Size:
    """Tell the size that an image will have once it is loaded, upright, from its header alone.

    Args:
        file: Open at the beginning of a PNG, JPEG, WEBP or BMP file.
        name: Of the image, for messages.
        max_pixels: Largest number of pixels.
        min_side: Smallest width and height in pixels.

    Raises:
        RequestError: It is no image, its header is damaged, or it is animated, too small or too large.
    """
    with _quiet(), _open(file, name, max_pixels) as image:
        _check_header(image, name, max_pixels, min_side)
        turned = False
        # Pillow decodes a whole PNG to look for an orientation that is not in front of the pixels.
        if image.format != "PNG" or {"exif", "Raw profile type exif", "xmp"} & set(image.info):
            try:
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
            except _DAMAGE as error:
                raise RequestError(f"{name} has a damaged header: {error}") from error
        width, height = image.size
        return Size(height, width) if turned else Size(width, height)


def _read(source: ImageInput, max_pixels: int, min_side: int) -> tuple[Image.Image, Image.Image | None]:
    """Colours (mode "RGB") and alpha (mode "L", None where the image has none)."""
    if isinstance(source, Image.Image):
        return _standard(source, f"the given image ({source.width}x{source.height})", max_pixels, min_side)
    name = f"image {str(source)!r}"
    try:
        content = Path(source).read_bytes()
    except FileNotFoundError:
        raise RequestError(f"{name} does not exist") from None
    except IsADirectoryError:
        raise RequestError(f"{name} is a folder; name an image file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise RequestError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return decode_layers(content, name, max_pixels=max_pixels, min_side=min_side)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Pillow warns of large headers, which are judged here, and of damaged EXIF, which is not needed.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def load_mask(source: ImageInput, size: Size) -> Image.Image:
    """Read a mask: mode "L", white (255) is where the image may change, black (0) elsewhere.

    Grey is split at the middle and transparent counts as black.

    Args:
        source: A path or a Pillow image.
        size: The size it must have, that of the image it belongs to.

    Raises:
        RequestError: It cannot be read (see `load_image`), has another size, or marks nothing.
    """
    grey = np.asarray(load_image(source, min_side=1, background=(0, 0, 0)).convert("L"))
    found = Size(grey.shape[1], grey.shape[0])
    if found != size:
        turned = "; it seems to lie on its side" if found == (size.height, size.width) else ""
        raise RequestError(
            f"the mask is {found}, but its image is {size}{turned}: scale it to {size}, or paint it "
            "on a copy of the image"
        )
    mask = np.where(grey >= 128, np.uint8(255), np.uint8(0))
    if not mask.any():
        raise RequestError("the mask is black everywhere; paint white where the image may change")
    return Image.fromarray(mask)


def save_png(image: Image.Image, path: str | Path, metadata: Mapping[str, str]) -> None:
    """Write a PNG with text metadata, a whole file or none.

    Raises:
        OutputError: The name does not end in .png, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError(
            f"cannot write {path}: results are PNG files, so name it {path.with_suffix('.png').name}"
        )
    info = PngImagePlugin.PngInfo()
    for key, text in metadata.items():
        info.add_text(key, text)
    with atomic_path(path) as part:
        image.save(part, format="PNG", pnginfo=info)


def _open(file: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError:
        assert Image.MAX_IMAGE_PIXELS is not None
        raise RequestError(
            f"{name} is too large: it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels and the limit is "
            f"{max_pixels:,}; scale it down"
        ) from None
    except UnidentifiedImageError:
        raise RequestError(f"{name} is not a {_FORMAT_NAMES} image, or its header is damaged") from None
    except _DAMAGE as error:
        raise RequestError(f"{name} has a damaged header: {error}") from error


def _check_header(image: Image.Image, name: str, max_pixels: int, min_side: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise RequestError(
            f"{name} is too large: {width}x{height} is {width * height:,} pixels and the limit is "
            f"{max_pixels:,}; scale it down"
        )
    if min(width, height) < min_side:
        raise RequestError(
            f"{name} is too small: {width}x{height}, but each side needs at least {min_side} pixels"
        )
    num_frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    if num_frames > 1:
        raise RequestError(
            f"{name} is an animation of {num_frames} frames; save the frame you mean as a still image"
        )


def _standard(
    image: Image.Image, name: str, max_pixels: int, min_side: int
) -> tuple[Image.Image, Image.Image | None]:
    _check_header(image, name, max_pixels, min_side)
    try:
        image.load()
        profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image)
        colour, alpha = _split_alpha(_eight_bits(upright, name))
        rgb = _to_srgb(colour, profile, name) if profile else colour.convert("RGB")
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{name} is damaged or cut short and cannot be decoded: {reason}") from error
    return Image.fromarray(np.array(rgb)), alpha  # a fresh image: no profile, no EXIF, no open file


def _over(rgb: Image.Image, alpha: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    laid = Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)
    return Image.fromarray(np.array(laid))


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Bring 16-bit grey to 8 bits with 65535 as white (Pillow's own conversion clips at 255)."""
    if image.mode == "F":
        raise RequestError(
            f"{name} holds floating-point pixels without a known range; save it with 8 or 16 bits"
        )
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise RequestError(f"{name} has grey values outside 0 to 65535; save it with 8 or 16 bits")
    grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, np.uint8(0), np.uint8(255))))
    return grey


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    return (image.convert("RGB") if image.mode in ("P", "1", "PA") else image), None


def _to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(source.profile.xcolor_space.strip())
        # Grey pictures with an RGB profile, and the reverse, are common and clear.
        if mode is None or (mode == "CMYK") != (image.mode == "CMYK"):
            raise RequestError(f"{name} has a colour profile that does not fit its pixels; save it as sRGB")
        fitted = image if image.mode == mode else image.convert(mode)
        converted = ImageCms.profileToProfile(
            fitted, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise RequestError(f"{name} has a damaged colour profile ({error}); save it as sRGB") from error
    assert converted is not None
    return converted

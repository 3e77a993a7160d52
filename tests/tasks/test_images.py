import contextlib
import functools
import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from dreamomni.errors import OutputError, RequestError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.images import decode_image, load_image, load_mask, read_size, save_png

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(PIXELS[:3, :4]).resize((32, 24), Image.Resampling.BICUBIC))


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    assert not image.info
    return np.asarray(image)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, raw: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = (
        png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def put(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(content: bytes, name: str = "x.png") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "WEBP", "JPEG"])
def test_formats(put, file_format: str) -> None:  # type: ignore[no-untyped-def]
    path = put(
        encoded(Image.fromarray(SMOOTH), file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    )
    loaded = pixels(load_image(path))
    if file_format == "JPEG":
        assert np.abs(loaded.astype(int) - SMOOTH).mean() < 6
    else:
        np.testing.assert_array_equal(loaded, SMOOTH)
    np.testing.assert_array_equal(pixels(load_image(str(path))), loaded)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_every_exif_orientation_comes_out_upright(put, orientation: int, file_format: str) -> None:  # type: ignore[no-untyped-def]
    # Where row 0 and column 0 of the stored picture are when it is shown, per the EXIF specification.
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    stored = Image.fromarray(np.ascontiguousarray(undo(SMOOTH)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, file_format, exif=exif.tobytes(), quality=95)
    loaded = pixels(load_image(put(content)))
    assert loaded.shape == SMOOTH.shape
    assert read_size(BytesIO(content), "it") == Size(32, 24)
    np.testing.assert_array_equal(pixels(decode_image(content, "it")), loaded)
    assert np.abs(loaded.astype(int) - SMOOTH).mean() < 8


def test_transparency_is_laid_over_the_background(put) -> None:  # type: ignore[no-untyped-def]
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[:, :10] = (255, 0, 0, 255)
    rgba[:, 10:15] = (0, 0, 255, 0)
    rgba[:, 15:] = (0, 0, 0, 128)
    path = put(encoded(Image.fromarray(rgba), "PNG"))
    loaded = pixels(load_image(path))
    assert loaded[0, [0, 12, 17]].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]
    assert pixels(load_image(path, background=(0, 255, 0)))[0, 12].tolist() == [0, 255, 0]
    assert pixels(load_image(Image.fromarray(rgba)))[0, 12].tolist() == [255, 255, 255]


def test_grey_with_alpha_and_premultiplied_alpha() -> None:
    grey = Image.new("LA", (20, 20), (0, 0))
    assert pixels(load_image(grey))[0, 0].tolist() == [255, 255, 255]
    rgba = Image.new("RGBA", (20, 20), (200, 100, 50, 128))
    expected = pixels(load_image(rgba))[0, 0].astype(int)
    assert np.abs(pixels(load_image(rgba.convert("RGBa")))[0, 0] - expected).max() <= 1


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_palette_with_transparency(put, transparency: int | bytes) -> None:  # type: ignore[no-untyped-def]
    image = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8)[None], 16, axis=0).repeat(8, axis=1))
    image.putpalette([255, 0, 0, 0, 0, 255, 0, 255, 0])
    loaded = pixels(load_image(put(encoded(image, "PNG", transparency=transparency))))
    assert loaded[0, [0, 15]].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_one_bit_and_colour_key(put) -> None:  # type: ignore[no-untyped-def]
    black = Image.new("1", (16, 16), 0)
    assert pixels(load_image(put(encoded(black, "PNG"))))[0, 0].tolist() == [0, 0, 0]
    keyed = Image.new("RGB", (16, 16), (9, 8, 7))
    assert pixels(load_image(put(encoded(keyed, "PNG", transparency=(9, 8, 7)))))[0, 0].tolist() == [255] * 3
    grey = Image.new("L", (16, 16), 9)
    assert pixels(load_image(put(encoded(grey, "PNG", transparency=9))))[0, 0].tolist() == [255] * 3


def test_sixteen_bits_are_scaled(put) -> None:  # type: ignore[no-untyped-def]
    values = np.linspace(0, 65535, 16 * 16).reshape(16, 16).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    expected = np.round(values / 257)
    loaded = pixels(load_image(put(png(16, 16, 16, 0, rows))))
    np.testing.assert_array_equal(loaded[..., 0], expected)
    assert (loaded == loaded[..., :1]).all()
    key = png_chunk(b"tRNS", b"\0\0")
    assert pixels(load_image(put(png(16, 16, 16, 0, rows, key))))[0, 0].tolist() == [255, 255, 255]
    in_memory = Image.fromarray(values.astype(np.int32))
    np.testing.assert_array_equal(pixels(load_image(in_memory))[..., 0], expected)


def test_sixteen_bit_colour_and_alpha(put) -> None:  # type: ignore[no-untyped-def]
    pixel = np.array([65535, 32896, 0], ">u2").tobytes()
    assert pixels(load_image(put(png(16, 16, 16, 2, (b"\0" + pixel * 16) * 16))))[0, 0].tolist() == [
        255,
        128,
        0,
    ]
    pixel = np.array([65535, 0, 0, 0], ">u2").tobytes()
    assert pixels(load_image(put(png(16, 16, 16, 6, (b"\0" + pixel * 16) * 16))))[0, 0].tolist() == [255] * 3


def test_floating_point_and_out_of_range_pixels_are_refused() -> None:
    with pytest.raises(RequestError, match="floating-point"):
        load_image(Image.new("F", (16, 16)))
    with pytest.raises(RequestError, match="0 to 65535"):
        load_image(Image.new("I", (16, 16), 70_000))


def test_cmyk(put) -> None:  # type: ignore[no-untyped-def]
    path = put(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), "x.jpg")
    red = pixels(load_image(path))[0, 0].astype(int)
    assert np.abs(red - [255, 0, 0]).max() < 4


@functools.cache  # a profile carries the time of its making
def linear_profile() -> bytes:
    """An RGB profile with sRGB's primaries and no gamma: sRGB's own, with its three curves made straight."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack(">I", profile[128:132])[0]):
        entry = 132 + 12 * index
        name, offset, _ = struct.unpack(">4sII", profile[entry : entry + 12])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            profile[offset : offset + 12] = b"curv" + bytes(8)  # a curve without entries is the identity
            profile[entry + 8 : entry + 12] = struct.pack(">I", 12)
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_colour_profile_is_converted(put, mode: str) -> None:  # type: ignore[no-untyped-def]
    image = Image.new("RGB", (16, 16), (55, 55, 55)).convert(mode)
    path = put(encoded(image, "PNG", icc_profile=linear_profile()))
    assert np.abs(pixels(load_image(path))[0, 0].astype(int) - 128).max() <= 1
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = put(encoded(image, "PNG", icc_profile=srgb))
    assert np.abs(pixels(load_image(path))[0, 0].astype(int) - 55).max() <= 1


def test_bad_colour_profiles_are_refused(put) -> None:  # type: ignore[no-untyped-def]
    image = Image.fromarray(PIXELS)
    with pytest.raises(RequestError, match="damaged colour profile"):
        load_image(put(encoded(image, "PNG", icc_profile=b"nonsense" * 20)))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with pytest.raises(RequestError, match="does not fit"):
        load_image(put(encoded(image, "PNG", icc_profile=lab)))


def test_animations_are_refused_and_phone_jpegs_give_the_first_picture(put) -> None:  # type: ignore[no-untyped-def]
    frames = [Image.new("RGB", (16, 16), (i * 50, 0, 0)) for i in range(3)]
    for file_format in ("PNG", "WEBP"):
        path = put(encoded(frames[0], file_format, save_all=True, append_images=frames[1:]))
        with pytest.raises(RequestError, match="animation of 3 frames"):
            load_image(path)
    path = put(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    with pytest.raises(RequestError, match="is not a PNG, JPEG, WEBP or BMP image"):
        load_image(path)
    path = put(encoded(frames[2], "MPO", save_all=True, append_images=frames[:2]))
    assert abs(int(pixels(load_image(path))[0, 0, 0]) - 100) < 4


def test_what_is_no_image(put, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for source, words in [
        (tmp_path / "none.png", "does not exist"),
        (tmp_path / "x.png" / "y.png", "cannot be read|does not exist"),
        (tmp_path, "is a folder"),
        ("a\0b.png", "cannot be read"),
        (put(b"", "empty.png"), "empty file"),
        (put(b"hello" * 100, "text.png"), "is not a PNG"),
        (put(b"\x89PNG\r\n\x1a\n", "sign.png"), "is not a PNG"),
    ]:
        with pytest.raises(RequestError, match=words) as caught:
            load_image(source)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP"])
def test_cut_files_are_refused(put, file_format: str) -> None:  # type: ignore[no-untyped-def]
    content = encoded(Image.fromarray(PIXELS), file_format)
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(RequestError, match=r"cut short|damaged|is not a PNG"):
            load_image(put(content[: int(len(content) * part)]))


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]), st.data())
def test_damaged_bytes_give_an_image_or_our_error(tmp_path_factory, file_format: str, data) -> None:  # type: ignore[no-untyped-def]
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if file_format == "BMP" else {"exif": exif.tobytes(), "icc_profile": linear_profile()}
    content = bytearray(encoded(Image.fromarray(PIXELS), file_format, **options))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content) - 1, 900)))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with contextlib.suppress(RequestError):
        assert load_image(path).mode == "RGB"


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_too_small(put, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    path = put(encoded(Image.new("RGB", size), "PNG"))
    with pytest.raises(
        RequestError, match=f"too small: {size[0]}x{size[1]}, but each side needs at least 16"
    ):
        load_image(path)
    assert load_image(path, min_side=1).size == size


@pytest.mark.parametrize("side", [5_000, 12_000, 20_000])
def test_too_large_is_seen_in_the_header(put, side: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match=r"too large: .* the limit is 16,777,216; scale it down"):
        load_image(put(png(side, side, 8, 2, b"")))
    with pytest.raises(RequestError, match="too large"):
        load_image(Image.fromarray(PIXELS), max_pixels=500)


def test_the_given_image_is_not_touched() -> None:
    image = Image.fromarray(PIXELS)
    image.info["dpi"] = (1, 1)
    loaded = load_image(image)
    loaded.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(np.asarray(image), PIXELS)
    assert image.info == {"dpi": (1, 1)}


def test_masks(put) -> None:  # type: ignore[no-untyped-def]
    grey = np.zeros((24, 32), np.uint8)
    grey[5:9, 5:9] = 200
    grey[0, 0] = 127
    mask = load_mask(put(encoded(Image.fromarray(grey), "PNG")), Size(32, 24))
    assert mask.mode == "L"
    np.testing.assert_array_equal(np.asarray(mask), np.where(grey == 200, 255, 0))
    with pytest.raises(RequestError, match="the mask is 32x24, but its image is 24x32"):
        load_mask(Image.fromarray(grey), Size(24, 32))
    with pytest.raises(RequestError, match="black everywhere"):
        load_mask(Image.new("L", (32, 24)), Size(32, 24))
    with pytest.raises(RequestError, match="black everywhere"):
        load_mask(Image.new("RGBA", (32, 24), (255, 255, 255, 0)), Size(32, 24))


def test_png_metadata_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.png"
    save_png(Image.fromarray(PIXELS), path, {"dreamomni": '{"prompt": "gr\u00fcn \u661f"}', "plain": "text"})
    with Image.open(path) as image:
        assert image.text == {"dreamomni": '{"prompt": "gr\u00fcn \u661f"}', "plain": "text"}  # type: ignore[attr-defined]
    np.testing.assert_array_equal(pixels(load_image(path)), PIXELS)


def test_png_outputs_that_cannot_be(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    with pytest.raises(OutputError, match=r"so name it x\.png"):
        save_png(image, tmp_path / "x.jpg", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_png(image, tmp_path / "file" / "x.png", {})
    (tmp_path / f".x.{os.getpid()}.part.png").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space"):
        save_png(image, tmp_path / "x.png", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_header_tells_the_size_of_a_file_that_is_cut_short() -> None:
    whole = encoded(Image.fromarray(PIXELS), "JPEG")
    assert read_size(BytesIO(whole[:-300]), "it") == Size(32, 24)
    with pytest.raises(RequestError, match="it is damaged or cut short"):
        decode_image(whole[:-300], "it")


def test_what_the_header_alone_shows_to_be_wrong() -> None:
    content = encoded(Image.fromarray(PIXELS), "PNG")
    with pytest.raises(RequestError, match="it is too large: 32x24 is 768 pixels and the limit is 700"):
        read_size(BytesIO(content), "it", max_pixels=700)
    with pytest.raises(RequestError, match="it is too small: 32x24"):
        read_size(BytesIO(content), "it", min_side=30)
    with pytest.raises(RequestError, match="it is not a PNG"):
        read_size(BytesIO(b"GIF89a"), "it")
    with pytest.raises(RequestError, match="it is an empty file"):
        decode_image(b"", "it")

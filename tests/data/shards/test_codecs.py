import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from dreamomni.data.shards import codecs
from dreamomni.data.shards.codecs import (
    choose_codec,
    decode_grey,
    decode_picture,
    encode_ids,
    encode_mask,
    encode_pictures,
    encoder_versions,
)
from dreamomni.errors import DataError

sides = st.integers(1, 40)
pictures = st.tuples(sides, sides).flatmap(lambda size: arrays.arrays(np.uint8, (*size, 3)))
greys = st.tuples(sides, sides).flatmap(lambda size: arrays.arrays(np.uint8, size))


def encode_picture(pixels: np.ndarray, codec: codecs.PictureCodec) -> bytes:
    return encode_pictures([pixels], codec)[0]


def ramp(height: int = 64, width: int = 96) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2, y * 3, (x + y)], axis=2).astype(np.uint8)


@given(pictures)
def test_png_is_exact_in_our_reader_and_in_pillow(pixels: np.ndarray) -> None:
    content = encode_picture(pixels, "png")
    assert np.array_equal(decode_picture(content, "x"), pixels)
    assert np.array_equal(np.array(Image.open(io.BytesIO(content))), pixels)


@given(greys)
def test_ids_and_masks_are_exact(ids: np.ndarray) -> None:
    for encoded in encode_ids([ids.astype(np.int16), ids.astype(np.int32)]):
        assert np.array_equal(decode_grey(encoded, "x"), ids)
    mask = np.where(ids > 100, np.uint8(255), np.uint8(0))
    content = encode_mask(mask)
    assert np.array_equal(decode_grey(content, "x"), mask)
    image = Image.open(io.BytesIO(content))
    assert image.mode == "1"
    assert np.array_equal(np.array(image), mask > 0)


def test_jpeg_keeps_colour_edges_unless_chroma_is_halved() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::3] = (255, 0, 0)
    pixels[:, 1::3] = (0, 0, 255)
    errors = {
        codec: np.abs(decode_picture(encode_picture(pixels, codec), "x").astype(int) - pixels).mean()
        for codec in ("png", "jpeg", "jpeg420")
    }
    assert errors["png"] == 0
    assert 0 < errors["jpeg"] < 5 < errors["jpeg420"]


def test_what_one_bit_or_eight_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="0 and 255 only"):
        encode_mask(np.full((4, 4), 7, np.uint8))
    with pytest.raises(DataError, match="from 0 to 256"):
        encode_ids([np.array([[0, 256]], np.int16)])


def test_the_encoders_say_who_they_are() -> None:
    versions = encoder_versions()
    assert versions["png"].startswith("runs ")
    assert cv2.__version__ in versions["jpeg"]


def test_the_choice_of_a_codec() -> None:
    assert choose_codec("auto", photo=False) == "png"
    assert choose_codec("auto", photo=True) == "jpeg"
    assert choose_codec("png", photo=True) == "png"
    assert choose_codec("jpeg420", photo=False) == "jpeg420"


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-5], lambda content: content[:40], lambda _content: b"", lambda _c: b"text"],
)
@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_damaged_pictures_are_refused(damage: Callable[[bytes], bytes], codec: codecs.PictureCodec) -> None:
    content = damage(encode_picture(ramp(), codec))
    with pytest.raises(DataError, match=r"a\.png is damaged"):
        decode_picture(content, "a.png")


def test_bytes_do_not_depend_on_threads() -> None:
    threads = cv2.getNumThreads()
    try:
        found = []
        for count in (1, 2):
            cv2.setNumThreads(count)
            found.append([encode_picture(ramp(), codec) for codec in ("png", "jpeg", "jpeg420")])
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1]

import hashlib
import io
import json
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards import png
from dreamomni.data.shards.members import encode_pixels

sides = st.integers(1, 40)
levels = st.sampled_from([0, 0, 0, 0, 255, 7])
pictures = st.tuples(sides, sides).flatmap(
    lambda size: arrays.arrays(np.uint8, (*size, 3), elements=levels) | arrays.arrays(np.uint8, size)
)


def in_pillow(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    image.load()
    return np.array(image)


def in_opencv(content: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


@given(pictures, st.integers(1, 400))
def test_every_reader_gets_the_pixels_back(pixels: np.ndarray, band_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "BAND_BYTES", band_bytes)
        content = png.encode_png(pixels)
    assert np.array_equal(in_pillow(content), pixels)
    assert np.array_equal(in_opencv(content), pixels)


@given(st.tuples(sides, sides).flatmap(lambda size: arrays.arrays(np.uint8, size, elements=levels)))
def test_one_bit_a_pixel(bits: np.ndarray) -> None:
    content = png.encode_bits(bits)
    assert Image.open(io.BytesIO(content)).mode == "1"
    assert np.array_equal(in_pillow(content), bits > 0)


@given(pictures, st.integers(1, 400), st.data())
def test_what_pictures_have_in_common_changes_no_byte(
    first: np.ndarray, band_bytes: int, data: st.DataObject
) -> None:
    others = [first, first.copy(), data.draw(pictures)]
    top = data.draw(st.integers(0, len(first) - 1))
    others[1][top : data.draw(st.integers(top, len(first)))] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "BAND_BYTES", band_bytes)
        assert png.encode_pngs(others) == [png.encode_png(one) for one in others]


def test_bands_in_common_are_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "BAND_BYTES", 10 * 97)
    calls = []
    compressed = png._compressed
    monkeypatch.setattr(png, "_compressed", lambda part: calls.append(len(part)) or compressed(part))
    first = np.random.default_rng(0).integers(0, 256, (40, 32, 3), np.uint8)
    second = first.copy()
    second[12] = 0
    png.encode_pngs([first, second])
    assert calls == [10] * 5  # four bands of the first, and the one with row 12
    flat = np.full((40, 32, 3), 9, np.uint8)
    png._unchanged.cache_clear()
    png.encode_png(flat)
    assert calls[5:] == [10, 10]  # the first band, and one for all those in which nothing changes


@given(pictures)
def test_zlib_and_zlib_ng_write_the_same_bytes(pixels: np.ndarray) -> None:
    zlib_ng = pytest.importorskip("zlib_ng.zlib_ng")
    with pytest.MonkeyPatch.context() as patch:
        found = set()
        for deflate in (zlib, zlib_ng):
            patch.setattr(png, "_deflate", deflate)
            found.add(png.encode_png(pixels))
    assert len(found) == 1


@pytest.mark.parametrize("deflate", ["zlib", "zlib_ng.zlib_ng"])
def test_the_bytes_are_those_of_every_release(deflate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # If this fails, files have other bytes than before: data sets begun earlier cannot be completed.
    monkeypatch.setattr(png, "_deflate", pytest.importorskip(deflate))
    png.fingerprint.cache_clear()
    assert png.fingerprint() == "cd570cbec91f"


def digests(order: str, number: int, side: int, num_threads: int) -> list[str]:
    """Encode the samples 0 to `number - 1` in an order of one's own, and hash the files of each."""
    indices = np.random.default_rng(len(order)).permutation(number).tolist()
    indices = {"up": sorted(indices), "down": sorted(indices)[::-1], "mixed": indices}[order]
    recipe = load_recipe("dreamomni", CollageRecipe, ["buckets=null", f"size={side}x{side}"])
    engine = CollageEngine(recipe)
    encode = partial(encode_pixels, image_format="png")
    found = {}
    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, number, 32):
            some = indices[start : start + 32]
            for index, files in zip(
                some, pool.map(encode, [engine.sample(11, i) for i in some]), strict=True
            ):
                found[index] = hashlib.sha256(b"".join(files.values())).hexdigest()
    return [found[index] for index in range(number)]


@pytest.mark.parametrize(
    ("number", "side"), [(40, 96), pytest.param(1500, 512, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_the_bytes_do_not_depend_on_process_order_or_threads(
    number: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four to five files a sample; ISA-L, used before, passed 400 samples and failed at 2,400.
    command = [sys.executable, __file__, "down", str(number), str(side), "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        here = digests("up", number, side, 1)
        monkeypatch.setattr(png, "_deflate", zlib)
        assert digests("mixed", number, side, 4) == here
        output, _ = other.communicate()
    assert other.returncode == 0
    assert json.loads(output) == here
    assert len(set(here)) == number


if __name__ == "__main__":
    print(json.dumps(digests(sys.argv[1], *map(int, sys.argv[2:]))))  # noqa: T201

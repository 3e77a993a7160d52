import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.errors import RequestError
from dreamomni.tasks.geometry import Box, Size, aspect_buckets, check_size, nearest_bucket


@pytest.mark.parametrize("base", [256, 300, 320, 512, 768, 1000, 1024, 2048])
def test_there_are_31_buckets_from_4_to_1_to_1_to_4(base: int) -> None:
    buckets = aspect_buckets(base)
    assert len(buckets) == 31
    assert all(not b.width % 16 and not b.height % 16 for b in buckets)
    assert all(b.width <= 4 * b.height and b.height <= 4 * b.width for b in buckets)
    assert [Size(b.height, b.width) for b in reversed(buckets)] == list(buckets)


def test_the_ends_and_the_middle_are_exact() -> None:
    buckets = aspect_buckets(1024)
    assert (buckets[0], buckets[15], buckets[30]) == (Size(2048, 512), Size(1024, 1024), Size(512, 2048))
    assert max(abs(b.num_pixels / 1024**2 - 1) for b in buckets) < 0.02


@given(st.integers(1, 64), st.integers(2, 80), st.integers(0, 63))
def test_buckets_of_any_base_are_distinct_and_near_its_area(multiple: int, cells: int, extra: int) -> None:
    base = cells * multiple + extra % multiple
    buckets = aspect_buckets(base, multiple)
    assert 1 <= len(set(buckets)) == len(buckets) <= 31
    for bucket in buckets:
        assert bucket.width % multiple == bucket.height % multiple == 0
        assert abs(bucket.num_pixels / base**2 - 1) < 2.2 / cells + 1 / cells**2
        assert nearest_bucket(bucket, buckets) == bucket


def test_the_nearest_bucket_is_nearest_in_ratio() -> None:
    buckets = aspect_buckets(512)
    assert nearest_bucket(Size(4000, 4000), buckets) == Size(512, 512)
    assert nearest_bucket(Size(10_000, 10), buckets) == Size(1024, 256)
    wide = nearest_bucket(Size(1600, 900), buckets)
    assert abs(wide.width / wide.height - 16 / 9) < 0.08


@pytest.mark.parametrize(("base", "multiple"), [(16, 16), (0, 16), (64, 0)])
def test_impossible_buckets(base: int, multiple: int) -> None:
    with pytest.raises(RequestError, match="too small"):
        aspect_buckets(base, multiple)


@given(st.integers(1, 999_999), st.integers(1, 999_999))
def test_sizes_print_and_parse(width: int, height: int) -> None:
    assert Size.parse(str(Size(width, height))) == Size(width, height)


@pytest.mark.parametrize(
    "text", ["", "512", "x", "512x", "512x0", "-1x5", "1.5x2", "512*512", "9" * 9 + "x1", "٣x٣"]
)
def test_bad_sizes_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="size"):
        Size.parse(text)


def test_check_size() -> None:
    assert check_size(Size(64, 48), 16, 4096) == Size(64, 48)
    with pytest.raises(RequestError, match="multiples of 16; the nearest is 64x48"):
        check_size(Size(66, 50), 16, 4096)
    with pytest.raises(RequestError, match="the nearest is 16x16"):
        check_size(Size(0, 1), 16, 4096)
    with pytest.raises(RequestError, match="4,160 pixels; the limit is 4,096"):
        check_size(Size(65, 64), 1, 4096)


def test_boxes_are_half_open() -> None:
    box = Box(2, 3, 5, 9)
    assert (box.width, box.height, box.area, box.centre) == (3, 6, 18, (3.5, 6.0))


def test_boxes_meet_and_are_held_together() -> None:
    one, other = Box(0, 0, 4, 4), Box(3, 3, 5, 9)
    assert one.meets(other)
    assert other.meets(one)
    assert not one.meets(Box(4, 0, 6, 4))
    assert not one.meets(Box(0, 4, 4, 6))
    assert Box.around([one, other]) == Box(0, 0, 5, 9)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dreamomni.data.external.fit import crop_of, fit_mask, fit_picture, same_crop, same_shape
from dreamomni.tasks.geometry import Size, aspect_buckets, nearest_bucket

SIDES = st.integers(16, 300)
SIZES = st.builds(Size, SIDES, SIDES)


@given(SIZES, st.sampled_from(aspect_buckets(128)))
def test_the_crop_is_the_largest_in_the_middle(size: Size, bucket: Size) -> None:
    x0, y0, x1, y1 = crop_of(size, bucket)
    assert x0 >= 0
    assert y0 >= 0
    assert x1 <= size.width
    assert y1 <= size.height
    assert (x1 - x0) / (y1 - y0) == pytest.approx(bucket.width / bucket.height)
    assert x0 == pytest.approx(size.width - x1)
    assert y0 == pytest.approx(size.height - y1)
    assert min(x0, y0) == pytest.approx(0)


@given(st.sampled_from(aspect_buckets(64)), st.integers(0, 99))
def test_a_picture_of_the_size_of_its_bucket_is_not_touched(bucket: Size, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (bucket.height, bucket.width, 3), dtype=np.uint8)
    assert nearest_bucket(bucket, aspect_buckets(64)) == bucket
    crop = crop_of(bucket, bucket)
    np.testing.assert_array_equal(fit_picture(Image.fromarray(pixels), crop, bucket), pixels)
    mask = pixels[..., 0] > 128
    np.testing.assert_array_equal(fit_mask(mask, crop, bucket), mask * 255)


@given(st.data())
def test_source_target_and_mask_stay_on_each_other(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    scale = data.draw(st.sampled_from((1, 2, 3)))
    bucket = nearest_bucket(size, aspect_buckets(64))
    x0, x1 = sorted(data.draw(st.tuples(st.integers(0, size.width), st.integers(0, size.width))))
    y0, y1 = sorted(data.draw(st.tuples(st.integers(0, size.height), st.integers(0, size.height))))
    mask = np.zeros((size.height, size.width), bool)
    mask[y0:y1, x0:x1] = True
    target = np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    # The source is the same picture at another resolution, as data sets hold them.
    source = target.repeat(scale, axis=0).repeat(scale, axis=1)
    large = Size(size.width * scale, size.height * scale)
    assert same_shape(size, large)
    crop = crop_of(size, bucket)
    fitted = fit_mask(mask, crop, bucket) > 0
    for pixels, part in ((target, crop), (source, same_crop(crop, size, large))):
        shown = fit_picture(Image.fromarray(pixels), part, bucket)
        assert shown.shape == (bucket.height, bucket.width, 3)
        white = shown[..., 0].astype(int)
        # Where the picture is clearly white or black, the mask says the same.
        assert fitted[white > 250].all()
        assert not fitted[white < 5].any()


@given(SIZES, st.integers(1, 40))
def test_rounding_does_not_change_a_shape_but_cropping_does(size: Size, divisor: int) -> None:
    smaller = Size(max(1, round(size.width / divisor)), max(1, round(size.height / divisor)))
    if min(smaller) >= 16:
        assert same_shape(size, smaller)
        assert same_shape(smaller, size)
    assert not same_shape(size, Size(size.width, size.height + max(3, size.height // 20)))

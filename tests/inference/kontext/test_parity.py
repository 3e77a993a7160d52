"""With one image and no LoRA the result is that of diffusers' FluxKontextPipeline, bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from coloured import coloured
from diffusers import FluxKontextPipeline
from PIL import Image

from dreamomni.flow.noise import draw_noise
from dreamomni.inference.kontext.pipeline import KontextPipeline
from dreamomni.models.packing import pack_latents
from dreamomni.tasks.request import EditRequest, TextToImageRequest


@pytest.fixture(scope="module")
def theirs(tiny_kontext_dir: Path) -> FluxKontextPipeline:
    pipe = FluxKontextPipeline.from_pretrained(str(tiny_kontext_dir / "base"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def packed_noise(width: int, height: int, seed: int) -> torch.Tensor:
    return pack_latents(draw_noise((16, height // 8, width // 8), [seed]))


@pytest.mark.parametrize(
    ("width", "height", "steps", "seed", "guidance"),
    [(64, 64, 1, 0, 3.5), (96, 48, 3, 7, 3.5), (48, 112, 4, 2**40, 1.0), (160, 64, 2, 1, 7.25)],
)
def test_one_image_equals_diffusers_bit_for_bit(
    width: int,
    height: int,
    steps: int,
    seed: int,
    guidance: float,
    kontext: KontextPipeline,
    theirs: FluxKontextPipeline,
) -> None:
    image = coloured(width, height)
    options = {"num_inference_steps": steps, "guidance_scale": guidance}
    reference = theirs(
        image=image,
        prompt="replace the hat with the red flower",
        height=height,
        width=width,
        max_area=width * height,
        _auto_resize=False,
        latents=packed_noise(width, height, seed),
        output_type="np",
        **options,
    ).images[0]
    request = EditRequest(
        prompt="replace the hat with the red flower", images=(image,), seed=seed, adapter="none", **options
    )
    assert np.array_equal(
        kontext(request.prompt, image, seed=seed, output_type="np", **options).images[0], reference
    )
    levels = (reference * 255).round().astype("uint8")
    assert np.array_equal(np.asarray(kontext.run(request).images[0]), levels)


def test_words_alone_equal_diffusers_bit_for_bit(
    kontext: KontextPipeline, theirs: FluxKontextPipeline
) -> None:
    reference = theirs(
        prompt="a cat beside the red house",
        height=64,
        width=96,
        max_area=64 * 96,
        num_inference_steps=3,
        latents=packed_noise(96, 64, 5),
    ).images[0]
    request = TextToImageRequest(
        prompt="a cat beside the red house", size="96x64", num_inference_steps=3, seed=5
    )
    assert np.array_equal(np.asarray(kontext.run(request).images[0]), np.asarray(reference))


@pytest.mark.slow
def test_the_official_sizes_equal_the_defaults_of_diffusers(
    tiny_kontext_dir: Path, kontext: KontextPipeline, theirs: FluxKontextPipeline
) -> None:
    image = coloured(90, 210)
    parts = {name: getattr(kontext, name) for name in theirs.components if hasattr(kontext, name)}
    official = KontextPipeline(**parts, official=True)
    official.set_progress_bar_config(disable=True)
    result = official.run(EditRequest(prompt="add a tree", images=(image,), num_inference_steps=1, seed=3))
    reference = theirs(
        image=image.resize((672, 1568), Image.Resampling.LANCZOS),
        prompt="add a tree",
        width=672,
        height=1568,
        num_inference_steps=1,
        latents=packed_noise(656, 1552, 3),
    ).images[0]
    assert result.images[0].size == (656, 1552)
    assert np.array_equal(np.asarray(result.images[0]), np.asarray(reference))
    assert result.provenance.structure == {"official": True, "read_at": ["672x1568"]}

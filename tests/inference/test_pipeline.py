import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamomni import DreamOmniPipeline
from dreamomni.errors import ModelError, RequestError
from dreamomni.inference.plan import make_plan
from dreamomni.models.folder import ModelCard
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import EditRequest, TextToImageRequest

PROMPT = "two red stars above a blue house"


@pytest.fixture(scope="module")
def pipe(tiny_model_dir: Path) -> DreamOmniPipeline:
    pipe = DreamOmniPipeline.from_pretrained(tiny_model_dir)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def arrays(images: Sequence[Image.Image]) -> list[np.ndarray]:
    return [np.asarray(image).astype(int) for image in images]


def test_the_same_request_gives_the_same_pixels_and_another_seed_others(pipe: DreamOmniPipeline) -> None:
    first, again, other = (pipe(PROMPT, seed=seed).images[0] for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert first.size == (32, 32)
    assert first.tobytes() == pipe(PROMPT).images[0].tobytes()  # seed 0 is what no seed means


def test_an_image_does_not_depend_on_its_batch_mates(pipe: DreamOmniPipeline) -> None:
    alone = pipe("a red star", seed=5).images[0]
    mates = pipe(["remove the pink heart now", "a red star"], num_images_per_prompt=2, seed=4).images
    assert len(mates) == 4
    assert np.abs(arrays([alone])[0] - arrays(mates)[3]).max() <= 1
    assert np.abs(arrays([alone])[0] - arrays(mates)[2]).max() > 1


def test_requests_of_mixed_shapes_come_back_in_order(pipe: DreamOmniPipeline) -> None:
    source = picture(48, 40)
    requests = [
        TextToImageRequest(prompt=PROMPT, seed=1),
        EditRequest(prompt="remove the pink heart", images=(source,), seed=2),
        TextToImageRequest(prompt="a blue house", size=Size(48, 32), num_images=2),
        TextToImageRequest(prompt="a red star", seed=3),
    ]
    results = pipe.run_batch(requests)
    assert [[image.size for image in result.images] for result in results] == [
        [(32, 32)],
        [(48, 40)],
        [(48, 32)] * 2,
        [(32, 32)],
    ]
    for request, result in zip(requests, results, strict=True):
        alone = pipe.run(request)
        assert alone.provenance == result.provenance
        for a, b in zip(arrays(alone.images), arrays(result.images), strict=True):
            assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (64, 17), (100, 30)])
def test_an_edit_keeps_the_size_of_image_1(pipe: DreamOmniPipeline, size: tuple[int, int]) -> None:
    assert pipe("remove the pink heart", image=picture(*size)).images[0].size == size


def test_an_edit_may_ask_for_another_size_and_take_references(pipe: DreamOmniPipeline) -> None:
    images = [picture(60, 40), picture(33, 20, 1)]
    made = pipe("replace the car", image=images, height=32, width=64)
    assert made.images[0].size == (64, 32)
    assert [source.split()[0] for source in made.provenance[0].images] == ["60x40", "33x20"]


def test_both_guidances_change_the_picture_and_1_switches_them_off(pipe: DreamOmniPipeline) -> None:
    source = picture(32, 32)

    def edit(**options: float) -> bytes:
        return pipe("replace the car", image=source, **options).images[0].tobytes()

    plain = edit(guidance_scale=1.0)
    assert plain == edit(guidance_scale=1.0, image_guidance_scale=1.0)
    assert len({plain, edit(guidance_scale=4.0), edit(guidance_scale=4.0, image_guidance_scale=2.0)}) == 3
    # With all three predictions weighted by 1, guidance is the full prediction again.
    both = pipe("replace the car", image=source, guidance_scale=1.0, image_guidance_scale=1.0 + 1e-6)
    assert (
        np.abs(arrays([source, both.images[0]])[1] - np.frombuffer(plain, np.uint8).reshape(32, 32, 3)).max()
        <= 1
    )


def test_words_and_images_both_matter(pipe: DreamOmniPipeline) -> None:
    results = {
        pipe(prompt, image=image).images[0].tobytes()
        for prompt in ("remove the star", "add a blue boat")
        for image in (picture(32, 32, 0), picture(32, 32, 1))
    }
    assert len(results) == 4


def test_output_types_agree(pipe: DreamOmniPipeline) -> None:
    image = pipe(PROMPT).images[0]
    array = pipe(PROMPT, output_type="np").images
    tensor = pipe(PROMPT, output_type="pt").images
    latents = pipe(PROMPT, output_type="latent").images
    assert array.shape == (1, 32, 32, 3)
    assert tensor.shape == (1, 3, 32, 32)
    assert latents.shape == (1, 16, 4, 4)
    assert np.abs(array[0] * 255 - np.asarray(image)).max() <= 0.51
    assert torch.equal(tensor[0].permute(1, 2, 0), torch.from_numpy(array[0]))
    assert pipe(PROMPT, return_dict=False)[0][0].tobytes() == image.tobytes()


def test_the_callback_sees_every_step(pipe: DreamOmniPipeline) -> None:
    seen: list[tuple[int, float, torch.Size]] = []
    pipe(
        PROMPT,
        num_inference_steps=4,
        callback_on_step_end=lambda _, step, sigma, kept: seen.append((step, sigma, kept["latents"].shape)),
    )
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert seen[0][1] == 1.0
    assert [sigma for _, sigma, _ in seen] == sorted((sigma for _, sigma, _ in seen), reverse=True)


def test_a_generator_draws_the_seed(pipe: DreamOmniPipeline) -> None:
    made = [pipe(PROMPT, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert made[0].images[0].tobytes() == made[1].images[0].tobytes()
    seed = made[0].provenance[0].seed
    assert pipe(PROMPT, seed=seed).images[0].tobytes() == made[0].images[0].tobytes()


def test_provenance_says_everything(pipe: DreamOmniPipeline) -> None:
    provenance = pipe("remove the star", image=picture(20, 30), seed=9, guidance_scale=2).provenance[0]
    assert (provenance.model, provenance.task, provenance.seed) == ("tiny", "edit", 9)
    assert (provenance.size, provenance.num_inference_steps, provenance.guidance_scale) == (
        Size(20, 30),
        3,
        2.0,
    )
    assert len(provenance.model_hash) == 64
    assert provenance.licence == "Apache-2.0"
    assert "torch" in provenance.versions


def test_saving_and_loading_changes_nothing(pipe: DreamOmniPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "model")
    again = DreamOmniPipeline.from_pretrained(tmp_path / "model")
    again.set_progress_bar_config(disable=True)
    assert again(PROMPT).images[0].tobytes() == pipe(PROMPT).images[0].tobytes()
    assert again.card == pipe.card


def test_bfloat16_files_load_as_float32(pipe: DreamOmniPipeline, tmp_path: Path) -> None:
    stored = DreamOmniPipeline.from_pretrained(pipe.config._name_or_path, torch_dtype=torch.bfloat16)
    stored.save_pretrained(tmp_path / "model")
    again = DreamOmniPipeline.from_pretrained(tmp_path / "model")
    assert {again.transformer.dtype, again.vae.dtype, again.text_encoder.dtype} == {torch.float32}
    assert stored(PROMPT).images[0].size == (32, 32)


def test_damaged_weights_are_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))
    weights = next((folder / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="transformer cannot be loaded"):
        DreamOmniPipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"prompt": []}, "list of prompts is empty"),
        ({"height": 33, "width": 32}, "nearest is 32x32"),
        ({"height": 32}, "height and width go together"),
        ({"height": 512, "width": 512}, "limit is 65,536"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_images_per_prompt": 0}, "num_images"),
        ({"guidance_scale": -1}, "guidance_scale"),
        ({"output_type": "jpeg"}, "output_type"),
        ({"seed": -1}, "seed"),
        ({"seed": 1, "generator": torch.Generator()}, "not both"),
        ({"prompt": ["a", "b"], "image": picture(32, 32)}, "2 prompts need a list of 2 images"),
        ({"image": picture(8, 8)}, "too small"),
        ({"image": picture(300, 300)}, "ask for a smaller result, such as 256x256"),
        ({"image": [picture(32, 32), picture(320, 300)]}, "image 2 is 320x300"),
    ],
)
def test_wrong_arguments_get_a_sentence(
    pipe: DreamOmniPipeline, options: dict[str, object], words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        pipe(**{"prompt": PROMPT} | options)
    assert "\n" not in str(caught.value)


def test_a_picture_much_larger_than_the_training_size_is_served_with_a_warning(
    pipe: DreamOmniPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="dreamomni"):
        assert pipe("remove the star", image=picture(100, 90)).images[0].size == (100, 90)
    assert [record.message for record in caplog.records if "9 times the area" in record.message]


def test_the_card_decides_what_a_model_is_asked() -> None:
    card = ModelCard(name="words-only", tasks=("text_to_image",), base_size=64, max_images=0)
    with pytest.raises(RequestError, match="'words-only' did not learn edit; it learned text_to_image"):
        make_plan(EditRequest(prompt="remove it", images=(picture(32, 32),)), card, 16)
    card = ModelCard(name="all", tasks=("inpaint", "edit"), base_size=64, max_images=1)
    with pytest.raises(RequestError, match="takes 1 input images, and the request has 2"):
        make_plan(EditRequest(prompt="remove it", images=(picture(32, 32),) * 2), card, 16)

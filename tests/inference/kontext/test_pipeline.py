"""What the pipeline does with several images, LoRAs, seeds, batches, masks and a rewriter."""

from pathlib import Path

import numpy as np
import pytest
import torch
from coloured import coloured
from diffusers import FluxKontextPipeline
from PIL import Image

from dreamomni.errors import RequestError
from dreamomni.inference.kontext.pipeline import KontextPipeline
from dreamomni.inference.rewriting.rewriter import Job, Rewriting
from dreamomni.models.adapters import active
from dreamomni.tasks.request import EditRequest, Request, SubjectRequest, TextToImageRequest
from dreamomni.tasks.result import ImageResult

A, B, C = coloured(64, 48, 1), coloured(48, 64, 2), coloured(33, 70, 3)
STEPS = {"num_inference_steps": 2}


def edit(*images: Image.Image, **options: object) -> EditRequest:
    return EditRequest(prompt="put the hat of image 1 on the dog", images=images, **{**STEPS, **options})


def pixels(result: ImageResult, number: int = 0) -> np.ndarray:
    return np.asarray(result.images[number]).astype(int)


def differ(pipe: KontextPipeline, one: Request, other: Request) -> bool:
    return bool(np.abs(pixels(pipe.run(one)) - pixels(pipe.run(other))).max() > 0)


def test_every_image_and_its_place_counts(kontext: KontextPipeline) -> None:
    assert not differ(kontext, edit(A, B, C), edit(A, B, C))
    assert differ(kontext, edit(A, B, C), edit(A, C, B))
    assert differ(kontext, edit(A, B, C), edit(A, B))
    assert differ(kontext, edit(A, A), edit(A))


def test_loras_come_on_by_the_request_and_go_off_again(kontext: KontextPipeline) -> None:
    assert kontext.adapters == {"edit": True, "generate": True}
    before = pixels(kontext.run(edit(A)))
    results = {name: kontext.run(edit(A, B, adapter=name)) for name in ("auto", "edit", "generate", "none")}
    assert {name: result.provenance.adapter for name, result in results.items()} == {
        "auto": "edit",
        "edit": "edit",
        "generate": "generate",
        "none": None,
    }
    assert np.array_equal(pixels(results["auto"]), pixels(results["edit"]))
    assert np.abs(pixels(results["edit"]) - pixels(results["none"])).max() > 0
    assert np.abs(pixels(results["edit"]) - pixels(results["generate"])).max() > 0
    assert active(kontext.transformer) is None
    assert np.array_equal(pixels(kontext.run(edit(A))), before)


def test_a_lora_does_what_diffusers_makes_of_the_same_file(
    kontext: KontextPipeline, tiny_kontext_dir: Path
) -> None:
    theirs = FluxKontextPipeline.from_pretrained(str(tiny_kontext_dir / "base"))
    theirs.set_progress_bar_config(disable=True)
    theirs.load_lora_weights(str(tiny_kontext_dir / "edit_lora"), adapter_name="edit")
    from dreamomni.flow.noise import draw_noise
    from dreamomni.models.packing import pack_latents

    reference = theirs(
        image=A,
        prompt="make it red",
        height=48,
        width=64,
        max_area=48 * 64,
        _auto_resize=False,
        latents=pack_latents(draw_noise((16, 6, 8), [0])),
        output_type="np",
        **STEPS,
    ).images[0]
    made = kontext("make it red", A, adapter="edit", output_type="np", **STEPS).images[0]
    np.testing.assert_allclose(made, reference, atol=1e-5)


def test_a_batch_gives_what_each_request_gives_alone(kontext: KontextPipeline) -> None:
    requests = [
        edit(A, B, seed=4),
        TextToImageRequest(prompt="a cat", size="64x48", seed=9, **STEPS),
        edit(A, B, seed=5, num_images=2),
        SubjectRequest(prompt="the cat of image 1", images=(C,), size="48x48", **STEPS),
        edit(A),
    ]
    together = kontext.run_batch(requests)
    for request, result in zip(requests, together, strict=True):
        alone = kontext.run(request)
        assert len(result.images) == request.num_images
        for number in range(request.num_images):
            # Larger matrices round otherwise in the last bit, which a level of 255 may show.
            assert np.abs(pixels(alone, number) - pixels(result, number)).max() <= 1
        assert alone.provenance == result.provenance
    assert np.abs(pixels(together[2], 0) - pixels(together[2], 1)).max() > 0


def test_an_edit_comes_back_at_its_own_size(kontext: KontextPipeline) -> None:
    assert kontext.run(edit(C)).images[0].size == (33, 70)
    assert kontext.run(edit(C, size="64x32")).images[0].size == (64, 32)


def test_provenance_says_all_that_decides_the_picture(kontext: KontextPipeline) -> None:
    told = kontext.run(edit(A, B, seed=11, guidance_scale=2.5)).provenance
    assert (told.model, told.task, told.seed, told.size) == ("kontext", "edit", 11, (64, 48))
    assert (told.num_inference_steps, told.guidance_scale, told.image_guidance_scale) == (2, 2.5, None)
    assert told.licence == "FLUX.1 [dev] Non-Commercial License"
    assert len(told.images) == 2
    assert len(told.model_hash) == 64
    assert told.words is None


def test_what_a_mask_leaves_alone_stays(kontext: KontextPipeline) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[:, 32:] = 255
    result = pixels(kontext.run(edit(A, mask=Image.fromarray(mask))))
    assert np.array_equal(result[:, :32], np.asarray(A)[:, :32])
    assert not np.array_equal(result[:, 32:], np.asarray(A)[:, 32:])


def test_guidance_is_told_to_the_network(kontext: KontextPipeline) -> None:
    assert differ(kontext, edit(A, guidance_scale=1.0), edit(A, guidance_scale=8.0))


def test_the_callback_sees_every_step_as_latents(kontext: KontextPipeline) -> None:
    seen: list[tuple[int, float, torch.Size]] = []
    kontext.run(
        edit(A),
        callback_on_step_end=lambda pipe, step, sigma, told: seen.append(
            (step, sigma, told["latents"].shape)
        ),
    )
    assert [step for step, *_ in seen] == [0, 1]
    assert seen[0][1] == 1.0
    assert seen[0][2] == (1, 16, 6, 8)


def test_a_call_takes_lists_and_gives_arrays(kontext: KontextPipeline) -> None:
    made = kontext(
        ["a cat", "a dog"], [[A, B], [B, A]], width=48, height=48, seed=1, output_type="pt", **STEPS
    )
    assert made.images.shape == (2, 3, 48, 48)
    assert 0 <= float(made.images.min()) <= float(made.images.max()) <= 1
    assert [told.adapter for told in made.provenance] == ["edit", "edit"]
    latents = kontext("a cat", width=48, height=32, output_type="latent", return_dict=False, **STEPS)[0]
    assert latents.shape == (1, 16, 4, 6)
    with pytest.raises(RequestError, match="one size"):
        kontext(["a cat", "a dog"], [A, B], output_type="np", **STEPS)


class Scripted:
    """A rewriter that says what it is told to, and remembers what it saw."""

    def __init__(self, *found: Rewriting) -> None:
        self.found, self.jobs = list(found), []

    def rewrite_all(self, jobs: list[Job]) -> list[Rewriting]:
        self.jobs += jobs
        return [self.found.pop(0) for _ in jobs]


def test_the_rewriter_is_asked_where_there_are_references(
    kontext: KontextPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = "[instruction]: add the hat (image_2) to image_1, [caption]: a dog in a hat"
    scripted = Scripted(Rewriting(better, better), Rewriting("a cat", None, ("it said nothing",)))
    monkeypatch.setattr(kontext, "rewriter", scripted)
    subject = SubjectRequest(prompt="a cat", images=(B,), size="48x48", **STEPS)
    results = kontext.run_batch([edit(A), edit(A, B), subject, edit(A, B, rewrite=False)])
    assert [(job.prompt, len(job.images), job.task) for job in scripted.jobs] == [
        ("put the hat of image 1 on the dog", 2, "edit"),
        ("a cat", 1, "generate"),
    ]
    assert [result.provenance.revised_prompt for result in results] == [None, better, None, None]
    assert "it said nothing" in results[2].provenance.warnings
    monkeypatch.setattr(kontext, "rewriter", None)
    plain = kontext.run(EditRequest(prompt=better, images=(A, B), **STEPS))
    assert np.abs(pixels(plain) - pixels(results[1])).max() <= 1
    assert np.abs(pixels(results[1]) - pixels(results[3])).max() > 1


def test_words_that_are_cut_off_are_told_of(kontext: KontextPipeline) -> None:
    request = TextToImageRequest(prompt=" ".join(["dog"] * 700), size="32x32", **STEPS)
    assert any("701 tokens, and only the first 512" in w for w in kontext.run(request).provenance.warnings)


def test_what_is_saved_is_the_base_and_diffusers_loads_it(kontext: KontextPipeline, tmp_path: Path) -> None:
    kontext.save_pretrained(tmp_path / "base")
    again = FluxKontextPipeline.from_pretrained(str(tmp_path / "base"))
    weights = again.transformer.state_dict()
    assert not any("lora" in name for name in weights)
    assert kontext.adapters == {"edit": True, "generate": True}
    ours = KontextPipeline.from_pretrained(tmp_path / "base")
    ours.set_progress_bar_config(disable=True)
    assert np.array_equal(pixels(ours.run(edit(A))), pixels(kontext.run(edit(A))))

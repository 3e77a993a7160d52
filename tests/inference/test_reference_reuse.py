"""A model with isolated references runs them once a request; the picture is the same."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamomni import DreamOmniPipeline
from dreamomni.models.presets import build_transformer


def test_isolated_references_are_computed_once(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    width = DreamOmniPipeline.from_pretrained(tiny_model_dir).transformer.config.text_width
    torch.manual_seed(0)
    transformer = build_transformer("tiny", text_width=width, reference_attention="isolated").eval()
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pipe = DreamOmniPipeline.from_pretrained(tiny_model_dir, transformer=transformer)
    pipe.set_progress_bar_config(disable=True)
    images = [Image.new("RGB", (40, 32), colour) for colour in ("red", "teal")]
    call = {"image": images, "num_inference_steps": 3, "guidance_scale": 2.0, "output_type": "latent"}

    encoded: list[int] = []
    hook = transformer.patchify.register_forward_hook(lambda *_: encoded.append(1))
    reused = pipe("replace the car", **call).images
    assert len(encoded) == 3 + 2  # the noise of each step, each image once
    hook.remove()
    monkeypatch.setattr("dreamomni.inference.stages.ReferenceMemory", lambda: None)
    plain = pipe("replace the car", **call).images
    torch.testing.assert_close(reused, plain, rtol=1e-4, atol=1e-4)
    other = pipe("replace the car", **{**call, "image": images[:1]}).images
    assert not torch.allclose(other, plain, atol=1e-2)

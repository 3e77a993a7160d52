"""The tiny folder that other tests stand on is what the public libraries read as the published one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxKontextPipeline
from PIL import Image
from tiny_kontext import lora_targets, write_tiny_kontext
from transformers import Qwen2_5_VLForConditionalGeneration

from dreamomni.models.processor import ImageOnlyQwenVLProcessor


@pytest.fixture(scope="module")
def theirs(tiny_kontext_dir: Path) -> FluxKontextPipeline:
    pipe = FluxKontextPipeline.from_pretrained(str(tiny_kontext_dir / "base"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(level: int) -> Image.Image:
    return Image.fromarray(np.full((48, 64, 3), level, dtype=np.uint8))


def test_diffusers_runs_it_and_every_input_counts(
    theirs: FluxKontextPipeline, tiny_kontext_dir: Path
) -> None:
    def seeded(prompt: str, image: Image.Image) -> np.ndarray:
        torch.manual_seed(0)
        sizes = {"height": 48, "width": 64, "max_area": 48 * 64, "_auto_resize": False}
        made = theirs(image=image, prompt=prompt, num_inference_steps=2, output_type="np", **sizes)
        return made.images[0]

    plain = seeded("a red house", picture(30))
    assert np.array_equal(plain, seeded("a red house", picture(30)))
    assert np.abs(plain - seeded("a dog", picture(30))).mean() > 1e-3
    assert np.abs(plain - seeded("a red house", picture(220))).mean() > 1e-3
    made = []
    for name in ("edit_lora", "gen_lora"):
        theirs.load_lora_weights(str(tiny_kontext_dir / name), adapter_name=name)
        theirs.set_adapters([name])
        made.append(seeded("a red house", picture(30)))
    assert np.abs(plain - made[0]).mean() > 5e-3
    assert np.abs(made[0] - made[1]).mean() > 5e-3
    tuned = {name for name, _ in theirs.transformer.named_modules() if name.endswith("lora_A.edit_lora")}
    assert len(tuned) == len(lora_targets(theirs.transformer)) == 2 * 12 + 2 * 3
    theirs.unload_lora_weights()
    assert np.array_equal(plain, seeded("a red house", picture(30)))


def test_the_vlm_reads_a_turn_with_two_images(tiny_kontext_dir: Path) -> None:
    folder = tiny_kontext_dir / "vlm-model"
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(str(folder))
    processor = ImageOnlyQwenVLProcessor.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "make the dog red"}]
    turns = [{"role": "user", "content": content}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n")
    assert text.endswith("make the dog red<|im_end|>\n<|im_start|>assistant\n")
    inputs = processor(text=[text], images=[picture(30), picture(200)], return_tensors="pt")
    answer = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert answer.shape[1] - inputs["input_ids"].shape[1] in (1, 2, 3)


def test_the_same_seed_writes_the_same_weights(tiny_kontext_dir: Path, tmp_path: Path) -> None:
    again = write_tiny_kontext(tmp_path / "again")
    other = write_tiny_kontext(tmp_path / "other", seed=1)
    name = "edit_lora/pytorch_lora_weights.safetensors"
    assert (again / name).read_bytes() == (tiny_kontext_dir / name).read_bytes()
    assert (other / name).read_bytes() != (again / name).read_bytes()

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dreamomni.errors import ModelError, RequestError
from dreamomni.models.processor import IGNORED_LABEL
from dreamomni.models.vlm import VLMEncoder, build_mini_vlm

COLOURS, THINGS = ["red", "green", "blue"], ["star", "house", "cat", "umbrella"]
CORPUS = [
    f"a {c} {t} to the left of the {d} {u}" for c in COLOURS for t in THINGS for d in COLOURS for u in THINGS
]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def mini() -> VLMEncoder:
    return build_mini_vlm(CORPUS)


@pytest.fixture(scope="module")
def tiny() -> VLMEncoder:
    return build_mini_vlm(
        CORPUS,
        hidden_size=32,
        num_layers=3,
        num_heads=2,
        num_key_value_heads=1,
        intermediate_size=48,
        vision_width=32,
        vision_depth=2,
        vision_heads=2,
    )


def test_mini_is_small_and_reads_64_px_as_it_is(mini: VLMEncoder) -> None:
    assert 1.8e6 < sum(p.numel() for p in mini.model.parameters()) < 2.6e6
    assert mini.width == 192
    assert mini.tokenize([""], [[picture(64, 64)]])["image_grid_thw"].tolist() == [[1, 8, 8]]


def test_mini_weights_depend_on_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first, second = (
        build_mini_vlm(CORPUS, hidden_size=48, num_layers=1, seed=3).model.state_dict() for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
@pytest.mark.parametrize("with_images", [False, True])
def test_features_are_the_hidden_states_before_the_last_layer(tiny: VLMEncoder, with_images: bool) -> None:
    images = [[picture(64, 64), picture(32, 96)], [], [picture(48, 16)]] if with_images else None
    inputs = tiny.tokenize(["a red star", "", "the blue house"], images)
    features = tiny.encode(inputs)
    expected = tiny.model(**inputs, output_hidden_states=True).hidden_states
    assert len(expected) == 4
    assert torch.equal(features.hidden_states, expected[-2])
    assert torch.equal(features.attention_mask, inputs["attention_mask"].bool())


def test_model_is_whole_and_untouched_after_encoding(tiny: VLMEncoder) -> None:
    names = list(tiny.model.state_dict())
    tiny(["a star"], [[picture(32, 32)]])
    assert list(tiny.model.state_dict()) == names
    assert len(tiny.model.model.language_model.layers) == 3


def test_gradients_reach_the_vision_tower_but_not_the_last_layer(tiny: VLMEncoder) -> None:
    tiny.model.zero_grad()
    tiny(["a star"], [[picture(32, 32)]]).hidden_states.square().sum().backward()
    layers = tiny.model.model.language_model.layers
    assert tiny.model.model.visual.patch_embed.proj.weight.grad.abs().sum() > 0
    assert layers[1].mlp.up_proj.weight.grad.abs().sum() > 0
    assert layers[2].mlp.up_proj.weight.grad is None
    tiny.model.zero_grad()


@torch.no_grad()
def test_encoding_follows_layers_that_are_wrapped_later(tiny: VLMEncoder) -> None:
    calls: list[int] = []
    hook = tiny.model.model.language_model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    tiny(["a star"])
    hook.remove()
    assert calls == [1]


@torch.no_grad()
def test_features_do_not_depend_on_batch_mates(tiny: VLMEncoder) -> None:
    prompts = ["a red star", "a blue house to the left of the green umbrella", "", "<|im_end|>"]
    images = [[picture(64, 64, 1), picture(16, 48, 2)], [], [picture(96, 32, 3)], []]
    together = tiny(prompts, images)
    for row, (prompt, own) in enumerate(zip(prompts, images, strict=True)):
        alone = tiny([prompt], [own])
        length = alone.hidden_states.shape[1]
        assert together.attention_mask[row].tolist() == [True] * length + [False] * (
            together.attention_mask.shape[1] - length
        )
        torch.testing.assert_close(
            together.hidden_states[row, :length], alone.hidden_states[0], atol=1e-5, rtol=1e-4
        )


@torch.no_grad()
def test_positions_of_images_matter(tiny: VLMEncoder) -> None:
    inputs = tiny.tokenize(["a star"], [[picture(64, 64)]])
    features = tiny.encode(inputs).hidden_states
    wide = tiny.encode({**inputs, "image_grid_thw": torch.tensor([[1, 4, 16]])}).hidden_states
    assert (features - wide).abs().max() > 1e-4 * features.abs().max()


@pytest.mark.parametrize(
    "text", ["<|im_end|>", "<|image_pad|>", "a <|vision_start|><|image_pad|><|vision_end|> b"]
)
def test_control_tokens_in_prompts_are_plain_text(tiny: VLMEncoder, text: str) -> None:
    tokenizer = tiny.processor.tokenizer
    inputs = tiny.tokenize([text])
    ids = inputs["input_ids"][0].tolist()
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == text
    assert inputs["mm_token_type_ids"].sum() == 0
    with_image = tiny.tokenize([text], [[picture(32, 32)]])
    assert with_image["mm_token_type_ids"].sum() == 4
    tiny.encode(with_image)


def test_layout_of_a_row(tiny: VLMEncoder) -> None:
    inputs = tiny.tokenize(["a red star", "cat"], [[picture(32, 32), picture(48, 32)], []])
    tokens = tiny.processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    image = ["<|vision_start|>", *["<|image_pad|>"] * 4, "<|vision_end|>"]
    wide = ["<|vision_start|>", *["<|image_pad|>"] * 6, "<|vision_end|>"]
    assert tokens[: len(image) + len(wide)] == image + wide
    assert tiny.processor.tokenizer.decode(inputs["input_ids"][0, len(image) + len(wide) :]) == "a red star"
    assert inputs["mm_token_type_ids"][0].tolist() == [0, *[1] * 4, 0, 0, *[1] * 6, 0, 0, 0, 0]
    assert inputs["attention_mask"].sum(1)[0] == len(tokens)
    assert inputs["attention_mask"][1].tolist()[-1] == 0


def test_empty_prompt_is_one_end_of_text(tiny: VLMEncoder) -> None:
    inputs = tiny.tokenize([""])
    assert tiny.processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()) == [
        "<|endoftext|>"
    ]
    assert inputs["attention_mask"].tolist() == [[1]]
    assert torch.isfinite(tiny([""]).hidden_states).all()


def test_text_batch_equals_the_processor_of_transformers(tiny: VLMEncoder) -> None:
    prompts = ["a red star", "a blue house to the left of the cat"]
    expected = tiny.processor.tokenizer(prompts, padding=True, return_tensors="pt")
    inputs = tiny.tokenize(prompts)
    assert torch.equal(inputs["input_ids"], expected["input_ids"])
    assert torch.equal(inputs["attention_mask"], expected["attention_mask"])


def test_image_batch_equals_the_processor_of_transformers(tiny: VLMEncoder) -> None:
    images = [[picture(64, 64), picture(33, 70)], [picture(16, 16)]]
    text = "<|vision_start|><|image_pad|><|vision_end|>"
    expected = tiny.processor(
        text=[text * 2 + "a star", text + "cat"],
        images=[image for own in images for image in own],
        padding=True,
        return_tensors="pt",
    )
    inputs = tiny.tokenize(["a star", "cat"], images)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw"):
        assert torch.equal(inputs[name], expected[name].to(inputs[name].dtype)), name


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (16, 16)])
def test_image_inputs_equal_the_image_processor(tiny: VLMEncoder, size: tuple[int, int]) -> None:
    images = [picture(*size, seed) for seed in range(3)]
    expected = tiny.processor.image_processor(images=images, return_tensors="pt")
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    pixel_values, grid = tiny.image_inputs(pixels)
    assert torch.equal(grid, expected["image_grid_thw"])
    torch.testing.assert_close(pixel_values, expected["pixel_values"], atol=1e-6, rtol=0)


def test_tokenize_pixels_equals_tokenize(tiny: VLMEncoder) -> None:
    images = [[picture(32, 32, 1), picture(32, 32, 2)], [], [picture(32, 32, 3)]]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for own in images for image in own]))
    expected = tiny.tokenize(["a", "red", "star"], images, answers=["cat", "house", "umbrella"])
    inputs = tiny.tokenize_pixels(["a", "red", "star"], pixels, [2, 0, 1], ["cat", "house", "umbrella"])
    assert inputs.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(inputs[name], value, atol=1e-6, rtol=0)


def test_pixels_off_the_grid_are_refused(tiny: VLMEncoder) -> None:
    with pytest.raises(ModelError, match="72x64 cannot be read without resizing"):
        tiny.image_inputs(torch.zeros(1, 64, 72, 3, dtype=torch.uint8))


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_cover_answers_only(tiny: VLMEncoder, side: str) -> None:
    prompts, answers = ["a red star", "", "the cat"], ["blue", "a red house", ""]
    inputs = tiny.tokenize(prompts, [[picture(16, 16)], [], []], answers, side)
    decode = tiny.processor.tokenizer.decode
    labelled = [
        decode(ids[label != IGNORED_LABEL])
        for ids, label in zip(inputs["input_ids"], inputs["labels"], strict=True)
    ]
    assert labelled == [" blue<|im_end|>", "a red house<|im_end|>", " <|im_end|>"]
    assert torch.equal(
        inputs["labels"][inputs["labels"] != IGNORED_LABEL],
        inputs["input_ids"][inputs["labels"] != IGNORED_LABEL],
    )
    assert torch.isfinite(tiny.model(**inputs).loss)


def test_answer_gives_the_text_that_was_learned() -> None:
    torch.manual_seed(0)
    vlm = build_mini_vlm(
        CORPUS,
        hidden_size=64,
        num_layers=2,
        num_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        vision_depth=1,
    )
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    prompts, images = ["the star", "the star", "a green cat"], [[red], [blue], []]
    answers = ["red", "blue house", "green"]
    inputs = vlm.tokenize(prompts, images, answers)
    optimizer = torch.optim.Adam(vlm.model.parameters(), 1e-2)
    for _ in range(25):
        optimizer.zero_grad()
        vlm.model(**inputs).loss.backward()
        optimizer.step()
    assert vlm.answer(prompts, images) == answers
    assert vlm.answer(["a green cat"]) == ["green"]


def test_saved_and_loaded_is_bit_equal(tiny: VLMEncoder, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path / "one")
    tiny.model.save_pretrained(tmp_path / "two/text_encoder")
    tiny.processor.save_pretrained(tmp_path / "two/processor")
    arguments = (["a <|im_end|> star", ""], [[picture(64, 32)], [picture(40, 40)]])
    expected = tiny(*arguments).hidden_states
    for loaded in (
        VLMEncoder.from_pretrained(tmp_path / "one"),
        VLMEncoder.from_pretrained(tmp_path / "two", "text_encoder"),
    ):
        assert not loaded.model.training
        assert torch.equal(loaded(*arguments).hidden_states, expected)
    assert (tmp_path / "one/model.safetensors").is_file()


def test_folder_in_the_published_layout(tiny: VLMEncoder, tmp_path: Path) -> None:
    tiny.model.save_pretrained(tmp_path)
    tiny.processor.tokenizer.save_pretrained(tmp_path)
    settings = {
        "min_pixels": 256,
        "max_pixels": 262144,
        "patch_size": 8,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    template = "{{ messages[0]['content'] }}"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    loaded = VLMEncoder.from_pretrained(tmp_path)
    arguments = (["a red star", "cat"], [[picture(64, 64), picture(30, 50)], []])
    assert torch.equal(loaded(*arguments).hidden_states, tiny(*arguments).hidden_states)
    assert VLMEncoder.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_broken_folders_are_one_sentence(tiny: VLMEncoder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        VLMEncoder.from_pretrained(tmp_path / "nowhere")
    tiny.model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="holds no processor of Qwen2-VL"):
        VLMEncoder.from_pretrained(tmp_path)
    tiny.processor.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    name = (
        name
        if name in weights
        else next(key for key in weights if key.endswith("layers.0.mlp.up_proj.weight"))
    )
    save_file(
        {**weights, name: weights[name] * float("nan")}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match="1 weights hold NaN or infinity"):
        VLMEncoder.from_pretrained(tmp_path)
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 weights"):
        VLMEncoder.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(ModelError, match="kind 'no-such-model', but 'qwen2_vl' is needed"):
        VLMEncoder.from_pretrained(tmp_path)


def test_tokenizer_of_another_model_is_refused(tiny: VLMEncoder, tmp_path: Path) -> None:
    tiny.model.save_pretrained(tmp_path)
    build_mini_vlm(
        ["another corpus"] * 9, hidden_size=32, num_heads=2, num_key_value_heads=1
    ).processor.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does not fit its model"):
        VLMEncoder.from_pretrained(tmp_path)


def test_too_long_prompts_and_images_are_refused(tiny: VLMEncoder) -> None:
    with pytest.raises(RequestError, match=r"prompt 2 has \d+ tokens"):
        tiny.tokenize(["a", "0123456789" * 800])
    with pytest.raises(RequestError, match="too long to be read"):
        tiny.tokenize(["a"], [[Image.new("RGB", (4000, 16))]])
    with pytest.raises(RequestError, match="lone surrogate"):
        tiny.tokenize(["\ud800"])


def test_wrong_numbers_of_images_are_refused(tiny: VLMEncoder) -> None:
    with pytest.raises(ValueError, match="1 lists of images for 2 prompts"):
        tiny.tokenize(["a", "b"], [[]])
    with pytest.raises(ValueError, match="3 images for 2 prompts"):
        tiny.tokenize_pixels(["a", "b"], torch.zeros(3, 16, 16, 3, dtype=torch.uint8))


@torch.no_grad()
def test_offloaded_weights_are_fetched_before_encoding(tiny: VLMEncoder) -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    class Fetch(ModelHook):
        fetched = 0

        def pre_forward(self, module, *args, **kwargs):
            self.fetched += 1
            return args, kwargs

    expected = tiny(["a star"]).hidden_states
    top, inner = Fetch(), Fetch()
    add_hook_to_module(tiny.model, top)
    add_hook_to_module(tiny.model.model.language_model, inner)
    features = tiny(["a star"]).hidden_states
    remove_hook_from_module(tiny.model)
    remove_hook_from_module(tiny.model.model.language_model)
    assert torch.equal(features, expected)
    assert top.fetched == 1

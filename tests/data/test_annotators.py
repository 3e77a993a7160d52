import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    DPTConfig,
    DPTForDepthEstimation,
    GLPNConfig,
    GLPNForDepthEstimation,
    SegformerConfig,
    SegformerForSemanticSegmentation,
)
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from transformers.models.glpn.image_processing_pil_glpn import GLPNImageProcessorPil
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from dreamomni.config import load_recipe
from dreamomni.data.annotators import DepthAnnotator, SegmentationAnnotator, load_annotators
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.job import ShardJob, open_dataset
from dreamomni.errors import ConfigError, DataError, ModelError

SMALL = ["size=64x48", "names=[apple, tree, house, fish]"]


@pytest.fixture(scope="module")
def depth_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "depth"
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=37,
        image_size=32,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=16,
    )
    DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def segmentation_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "segmentation"
    torch.manual_seed(0)
    names = {0: "wall", 1: "floor", 2: "tree", 3: "car"}
    config = SegformerConfig(
        num_labels=4,
        id2label=names,
        label2id={name: number for number, name in names.items()},
        hidden_sizes=[8, 8, 16, 16],
        depths=[1] * 4,
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def test_a_depth_model_makes_the_maps_of_a_recipe_that_names_it(depth_dir: Path) -> None:
    recipe = load_recipe("reference", CollageRecipe, [*SMALL, f"reference.depth_model={depth_dir}"])
    engine = CollageEngine(recipe, annotators=load_annotators(recipe))
    sample = engine.sample(0, 1, "depth")
    (shown,) = sample.images
    assert shown.shape == sample.target.shape
    assert (shown.min(), shown.max()) == (0, 255)
    assert (shown[..., 0] == shown[..., 1]).all()
    assert (shown == engine._annotators["depth"].annotate(sample.target).pixels).all()
    assert sample.image_ids == (None,)
    assert sample.details["model"] == str(depth_dir)
    assert "levels" not in sample.details
    # The exact maps of other kinds stay as they are, and a copy in a worker draws the same.
    assert "low" in engine.sample(0, 1, "canny").details
    copy = pickle.loads(pickle.dumps(engine))
    assert (copy.sample(0, 1, "depth").images[0] == shown).all()


def test_near_is_bright_for_models_of_nearness_and_of_distance(depth_dir: Path, tmp_path: Path) -> None:
    annotator = DepthAnnotator(str(depth_dir))
    inputs = annotator._processor(images=picture(), return_tensors="pt")
    raw = annotator._model(**inputs).predicted_depth[0].detach().numpy()
    grey = annotator.annotate(picture()).pixels[..., 0].astype(float)
    assert np.corrcoef(grey[::12, ::16].ravel(), raw[::8, ::8].ravel())[0, 1] > 0.5
    torch.manual_seed(0)
    config = GLPNConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=8
    )
    GLPNForDepthEstimation(config).save_pretrained(tmp_path)
    GLPNImageProcessorPil(size_divisor=32).save_pretrained(tmp_path)
    metric = DepthAnnotator(str(tmp_path))
    inputs = metric._processor(images=picture(), return_tensors="pt")
    raw = metric._model(**inputs).predicted_depth[0].detach().numpy()
    grey = metric.annotate(picture()).pixels[..., 0].astype(float)
    row, column = np.unravel_index(raw.argmin(), raw.shape)
    at = int(row * 48 / raw.shape[0]), int(column * 64 / raw.shape[1])
    assert grey[at] > np.median(grey)


def test_a_segmentation_model_gives_each_class_one_colour(segmentation_dir: Path) -> None:
    annotator = SegmentationAnnotator(str(segmentation_dir))
    annotation = annotator.annotate(picture())
    assert annotation.pixels.shape == (48, 64, 3)
    palette = annotation.details["palette"]
    assert set(palette) <= {"wall", "floor", "tree", "car"}
    shown = {tuple(colour) for colour in annotation.pixels.reshape(-1, 3).tolist()}
    assert shown == {tuple(colour) for colour in palette.values()}
    assert len(set(map(tuple, palette.values()))) == len(palette)
    recipe = load_recipe(
        "reference", CollageRecipe, [*SMALL, f"reference.segmentation_model={segmentation_dir}"]
    )
    sample = CollageEngine(recipe, annotators=load_annotators(recipe)).sample(0, 0, "segmentation")
    assert sample.details["palette_of"] == "class"


def test_wrong_models_are_refused_in_one_sentence(
    depth_dir: Path, segmentation_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="cannot be loaded as a transformers depth model"):
        DepthAnnotator(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="cannot be loaded as a transformers depth model"):
        DepthAnnotator(str(segmentation_dir))
    with pytest.raises(ModelError, match="cannot be loaded as a transformers segmentation model"):
        SegmentationAnnotator(str(tmp_path))
    broken = tmp_path / "broken"
    shutil.copytree(depth_dir, broken)
    weights = load_file(broken / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="is no whole depth model: 1 weights are missing"):
        DepthAnnotator(str(broken))


def test_an_engine_without_the_model_of_its_recipe_is_refused(depth_dir: Path) -> None:
    recipe = load_recipe("reference", CollageRecipe, [*SMALL, f"reference.depth_model={depth_dir}"])
    with pytest.raises(ConfigError, match=r"asks for depth maps by .*given none: pass it load_annotators"):
        CollageEngine(recipe)
    plain = load_recipe("reference", CollageRecipe, SMALL)
    with pytest.raises(ConfigError, match="asks for depth maps by no model"):
        CollageEngine(plain, annotators=load_annotators(recipe))


def test_other_weights_under_one_path_are_another_data_set(depth_dir: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(depth_dir, place)
    recipe = load_recipe("reference", CollageRecipe, [*SMALL, f"reference.depth_model={place}"])
    job = ShardJob(recipe, tmp_path / "set", num_samples=2)
    identity = open_dataset(job, job.make_engine())
    assert open_dataset(job, job.make_engine()) == identity
    # The same model under another name has the same digest; one weight that differs is another model.
    assert DepthAnnotator(str(place)).digest == DepthAnnotator(str(depth_dir)).digest
    weights = load_file(place / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="other weights of a depth or segmentation model"):
        open_dataset(job, job.make_engine())


def test_other_settings_are_another_model(depth_dir: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(depth_dir, place)
    settings = json.loads((place / "preprocessor_config.json").read_text())
    settings["image_mean"] = [0.4, 0.5, 0.5]
    (place / "preprocessor_config.json").write_text(json.dumps(settings))
    assert DepthAnnotator(str(place)).digest != DepthAnnotator(str(depth_dir)).digest


def test_no_model_means_no_torch() -> None:
    code = (
        "import sys\n"
        "from dreamomni.config import load_recipe\n"
        "from dreamomni.data.annotators import load_annotators\n"
        "from dreamomni.data.collage.recipe import CollageRecipe\n"
        "assert load_annotators(load_recipe('reference', CollageRecipe)) == {}\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Control maps by a transformers model that the user names: depth, and semantic segmentation.

The collage room starts without torch, so the engine takes these from whoever builds it:
`CollageEngine(recipe, annotators=load_annotators(recipe))`. Only safetensors are read, and no code that
comes with a model.
"""

import colorsys
import hashlib
import json
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dreamomni.data.collage.maps import Annotation, Annotator
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.errors import ModelError

# Models whose numbers are distances; those of all others grow towards the camera.
_METRIC = ("glpn", "zoedepth", "depth_pro")
# Settings that say where a model came from.
_NAMES = ("_name_or_path", "name_or_path", "_commit_hash", "transformers_version")
_GOLDEN = 0.61803398875


def load_annotators(recipe: CollageRecipe, device: str = "cpu") -> dict[str, Annotator]:
    """Load the models that a recipe names, by the kind of sample that they serve.

    A recipe that names none costs nothing: torch is not imported.

    Args:
        recipe: What to draw.
        device: Where the models run, as torch names it.

    Raises:
        ModelError: A folder or hub id is wrong, or holds another kind of model.
    """
    found: dict[str, Annotator] = {}
    if recipe.reference.depth_model is not None:
        found["depth"] = DepthAnnotator(recipe.reference.depth_model, device)
    if recipe.reference.segmentation_model is not None:
        found["segmentation"] = SegmentationAnnotator(recipe.reference.segmentation_model, device)
    return found


class _ModelAnnotator:
    """A model with its image processor; a pickled copy loads them again."""

    what: ClassVar[str]
    auto_class: ClassVar[str]

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.source = source
        self.device = device
        self._model, self._processor = _load(source, self.auto_class, self.what, device)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.device)

    @cached_property
    def digest(self) -> str:
        """Hash (hex) of weights, settings, versions and device: what lies under the path, not its name."""
        import torch

        settings = [
            json.loads(self._model.config.to_json_string(use_diff=False)),
            json.loads(self._processor.to_json_string()),
        ]
        settings = [{key: one[key] for key in one if key not in _NAMES} for one in settings]
        versions = {package: version(package) for package in ("torch", "transformers")}
        facts = json.dumps([settings, versions, self.device], sort_keys=True)
        found = hashlib.sha256(facts.encode())
        for name, values in sorted(self._model.state_dict().items()):
            found.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            found.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()

    def _outputs(self, pixels: npt.NDArray[np.uint8]) -> Any:
        import torch

        inputs = self._processor(images=pixels, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            return self._model(**inputs)


class DepthAnnotator(_ModelAnnotator):
    """Depth maps by any model of transformers' `AutoModelForDepthEstimation`; near is bright.

    Args:
        source: Folder or hub id.
        device: Where it runs.

    Raises:
        ModelError: There is no such model, or it is another kind of model.
    """

    what = "depth"
    auto_class = "AutoModelForDepthEstimation"

    def annotate(self, pixels: npt.NDArray[np.uint8]) -> Annotation:
        """Make the depth map of a picture (H, W, 3) uint8, stretched to 0 (farthest) to 255 (nearest)."""
        outputs = self._outputs(pixels)
        sizes = [pixels.shape[:2]]
        depth = self._processor.post_process_depth_estimation(outputs, target_sizes=sizes)[0]
        nearness = depth["predicted_depth"].double().cpu().numpy()
        config = self._model.config
        metric = config.model_type in _METRIC or getattr(config, "depth_estimation_type", "") == "metric"
        if metric:
            nearness = -nearness
        low, high = float(nearness.min()), float(nearness.max())
        share = (nearness - low) / (high - low) if high > low else np.zeros_like(nearness)
        grey = np.rint(share * 255).astype(np.uint8)
        return Annotation(np.repeat(grey[..., None], 3, axis=2))


class SegmentationAnnotator(_ModelAnnotator):
    """Region maps by any model of transformers' `AutoModelForSemanticSegmentation`.

    A class has one colour in every picture of a data set; class 0 is no more special than another.

    Args:
        source: Folder or hub id.
        device: Where it runs.

    Raises:
        ModelError: There is no such model, or it is another kind of model.
    """

    what = "segmentation"
    auto_class = "AutoModelForSemanticSegmentation"

    def annotate(self, pixels: npt.NDArray[np.uint8]) -> Annotation:
        """Colour the classes of a picture (H, W, 3) uint8; the details say which colour is which class."""
        outputs = self._outputs(pixels)
        classes = self._processor.post_process_semantic_segmentation(
            outputs, target_sizes=[pixels.shape[:2]]
        )[0]
        numbers = classes.cpu().numpy()
        names = self._model.config.id2label
        colours = np.zeros((int(numbers.max()) + 1, 3), np.uint8)
        palette = {}
        for number in np.unique(numbers).tolist():
            colours[number] = _class_colour(number)
            palette[str(names[number])] = colours[number].tolist()
        return Annotation(colours[numbers], {"palette": palette, "palette_of": "class"})


def _class_colour(number: int) -> tuple[int, int, int]:
    """Give a class its colour: hues that wander around the circle, in three brightnesses."""
    value = (1.0, 0.75, 0.5)[number % 3]
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.8, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _load(source: str, auto_class: str, what: str, device: str) -> tuple[Any, Any]:
    import transformers

    try:
        model, info = getattr(transformers, auto_class).from_pretrained(
            source, use_safetensors=True, output_loading_info=True
        )
        # The same pixels whether or not torchvision is there.
        processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{source!r} cannot be loaded as a transformers {what} model: name a folder with config.json, "
            f"preprocessor_config.json and safetensors, or a hub id ({reason[:200]})"
        ) from None
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ModelError(
            f"{source!r} is no whole {what} model: {len(missing)} weights are missing, such as {missing[0]}"
        )
    return model.to(device).eval(), processor

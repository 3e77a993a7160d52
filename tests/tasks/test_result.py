import json

from PIL import Image

from dreamomni.tasks.geometry import Size
from dreamomni.tasks.result import PNG_KEY, ImageResult, Provenance


def test_provenance_survives_as_metadata() -> None:
    provenance = Provenance(
        model="mini",
        model_hash="ab",
        task="edit",
        prompt="gr\u00fcn",
        images=("a.png",),
        seed=2**64 - 1,
        size=Size(64, 48),
        num_inference_steps=20,
        guidance_scale=3.5,
        versions={"torch": "2"},
        licence="Apache-2.0",
    )
    text = provenance.png_metadata()[PNG_KEY]
    assert Provenance.model_validate_json(text) == provenance
    assert json.loads(text)["size"] == "64x48"
    assert len(ImageResult((Image.new("RGB", (64, 48)),), provenance).images) == 1

# ruff: noqa: T201
"""How exactly masks and boxes are read off pictures: the engine's truth, as it is and through an autoencoder.

    python benchmarks/reading_marks.py mini-v1 --num-samples 100 --autoencoder runs/mini-v1-vae/export

A sample of `segment` scores the IoU of the mask that is read with the one that was painted; a sample of
`detect` the IoU of its worst box, and 0 if not as many boxes are read as were drawn. What an autoencoder
loses here, no model on top of it can give back.
"""

import argparse

import numpy as np
import torch

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.tasks.conditioning import asks_many
from dreamomni.tasks.geometry import Box
from dreamomni.tasks.marks import read_boxes, read_mask
from dreamomni.tasks.sample import TrainingSample


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--num-samples", type=int, default=100, metavar="N", help="of each kind")
    parser.add_argument("--autoencoder", default=None, metavar="FOLDER")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    engine = CollageEngine(load_recipe(args.recipe, CollageRecipe, args.overrides))
    autoencoder = None if args.autoencoder is None else Autoencoder.from_pretrained(args.autoencoder)
    print(f"{'kind':<8} {'picture':<12} {'mean IoU':>16} {'exact':>6} {'> 0.5':>6}")
    for kind in ("segment", "detect"):
        scores: dict[str, list[float]] = {}
        for index in range(args.num_samples):
            sample = engine.sample(0, index, kind=kind)
            scores.setdefault("truth", []).append(score(sample, sample.target))
            if autoencoder is not None:
                scores.setdefault("autoencoder", []).append(
                    score(sample, through(autoencoder, sample.target))
                )
        for picture, values in scores.items():
            found = np.array(values)
            mean, error = found.mean(), found.std(ddof=1) / len(found) ** 0.5
            exact, half = (found > 0.9999).mean(), (found > 0.5).mean()
            print(f"{kind:<8} {picture:<12} {mean:>8.3f} +-{error:>5.3f} {exact:>6.2f} {half:>6.2f}")


def score(sample: TrainingSample, picture: np.ndarray) -> float:
    """IoU of what is read off a picture with what was painted."""
    details = sample.details
    if sample.kind == "segment":
        assert sample.mask is not None
        found, true = read_mask(sample.images[0], picture, tuple(details["fill"])) > 0, sample.mask > 0
        return float((found & true).sum() / max((found | true).sum(), 1))
    outlines = read_mask(sample.images[0], picture, tuple(details["box_rgb"]))
    boxes = read_boxes(outlines, many=asks_many(sample.instruction))
    drawn = [Box(*box) for box in details["boxes"]]
    if len(boxes) != len(drawn):
        return 0.0
    return min(max(overlap(box, found) for found in boxes) for box in drawn)


def overlap(first: Box, second: Box) -> float:
    """IoU of two boxes."""
    width = max(0, min(first.x1, second.x1) - max(first.x0, second.x0))
    height = max(0, min(first.y1, second.y1) - max(first.y0, second.y0))
    return width * height / (first.area + second.area - width * height)


@torch.no_grad()
def through(autoencoder: Autoencoder, pixels: np.ndarray) -> np.ndarray:
    """Encode and decode uint8 (H, W, 3)."""
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    made = autoencoder.decode(autoencoder.encode(image)).clamp(-1, 1)
    return ((made[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


if __name__ == "__main__":
    main()

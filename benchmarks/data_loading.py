# ruff: noqa: T201
"""What a training sample costs: drawn when it is needed, or stored in shards and decoded.

Run: python benchmarks/data_loading.py [--recipe edit] [--size 512x512] [--num 350] [--kinds] [--json FILE]

Stored samples are read by our reader (the same `TrainingSample`s as drawn), and by webdataset with Pillow
where it is installed. One core, one process; files in the page cache, which is the best case for stored ones,
and drawn samples never twice the same, once every sticker has been rasterised, which a process does only
once. The ways take turns; numbers are medians of CPU time over blocks, with the fastest and the slowest.
`ratio, png` is the cost of our reader for PNG, the default where no photograph shows, over that of drawing;
the other ratios are those of JPEG and of webdataset. `--kinds` alone measures every kind of sample by itself,
`--kinds replace add` these.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2

from dreamomni.config import load_recipe
from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob
from dreamomni.data.shards.reader import ShardFolder

SEED = 5
ROUNDS = 7
WARM_UP = 200
FORMATS = ("png", "jpeg")


@dataclass
class Way:
    """One way to get at samples: an endless iterator, and the milliseconds per sample of each block."""

    samples: Iterator[Any]
    milliseconds: list[float] = field(default_factory=list)

    def block(self, number: int) -> None:
        """Time one block."""
        start = time.process_time()
        for _ in islice(self.samples, number):
            pass
        self.milliseconds.append((time.process_time() - start) / number * 1000)


def drawn(engine: CollageEngine) -> Iterator[Any]:
    """Samples drawn on the fly."""
    index = 0
    while True:
        yield engine.sample(SEED, index)
        index += 1


def forever(make: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """A finite source over and over."""
    while True:
        yield from make()


def ways(recipe: CollageRecipe, number: int, place: Path) -> dict[str, Way]:
    """Every way, over the same samples."""
    found = {"drawn": Way(drawn(CollageEngine(recipe)))}
    for image_format in FORMATS:
        folder = place / image_format
        generate(ShardJob(recipe, folder, number, seed=SEED, shard_size=number, image_format=image_format))
        shards = ShardFolder(folder)
        found[f"stored {image_format}"] = Way(forever(shards.samples))
        try:
            import webdataset
        except ImportError:
            continue
        tars = [str(path) for path in sorted(folder.glob("*/*.tar"))]
        data = webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode("pil")
        found[f"stored {image_format}, webdataset"] = Way(forever(lambda data=data: iter(data)))
    return found


def measure(recipe: CollageRecipe, number: int, warm_up: int) -> dict[str, float]:
    """Milliseconds per sample of every way, and the ratio."""
    with tempfile.TemporaryDirectory() as place:
        found = ways(recipe, number, Path(place))
        block = max(4, number // ROUNDS)
        for name, way in found.items():
            way.block(warm_up if name == "drawn" else block)
            way.milliseconds.clear()
        for _ in range(ROUNDS):
            for way in found.values():
                way.block(block)
    costs = {name: statistics.median(way.milliseconds) for name, way in found.items()}
    for name, way in found.items():
        costs |= {f"{name}, fastest": min(way.milliseconds), f"{name}, slowest": max(way.milliseconds)}
    for name in [name for name in costs if name.startswith("stored") and name in found]:
        costs[f"ratio, {name.removeprefix('stored ')}"] = costs[name] / costs["drawn"]
    return costs


def _line(costs: dict[str, float]) -> str:
    cells = []
    for name, cost in costs.items():
        low, high = costs.get(f"{name}, fastest"), costs.get(f"{name}, slowest")
        if low is not None:
            cells.append(f"{name} {cost:.2f} ({low:.2f}-{high:.2f})")
        elif name.startswith("ratio"):
            cells.append(f"{name} {cost:.2f}")
    return "  ".join(cells)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="edit")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--num", type=int, default=350)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="samples drawn before the clock starts")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, metavar="KIND", help="each kind by itself")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    pack = StickerPack.default()
    width, height = (int(side) for side in args.size.split("x"))
    for sticker in pack.names:
        pack.render(sticker, (0, 0, 0), round(0.7 * min(width, height)))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"load {load} before this run; milliseconds of CPU time per sample; ratio: cheaper to draw by")
    results: dict[str, dict[str, float]] = {}
    kinds = {args.recipe: []}
    if args.kinds is not None:
        kinds = {kind: [f"mixture={{{kind}: 1.0}}"] for kind in args.kinds or KINDS}
    for name, mixture in kinds.items():
        overrides = ["buckets=null", f"size={args.size}", *mixture, *args.overrides]
        costs = measure(load_recipe(args.recipe, CollageRecipe, overrides), args.num, args.warm_up)
        results[name] = costs
        print(f"{name:18s}" + _line(costs), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps({args.size: results}, indent=2) + "\n")


if __name__ == "__main__":
    main()

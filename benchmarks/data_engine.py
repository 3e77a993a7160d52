"""How fast the collage engine is, beside Pillow, beside albumentations, and beside the encoders alone.

Run: python benchmarks/data_engine.py [--json FILE]   (minutes; --kinds replace --sizes 512 takes one)
Variants: render_only (pixels, instance maps, mask, labels, words), full (the same into a finished shard),
encode_floor (only the encoding of pictures that are drawn already), pillow, pillow_fast and albumentations
(full samples, for `replace`). Candidates take turns in one process; numbers are medians of blocks.
"""

import argparse
import json
import os
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
from collage_peers import RASTER_PX, AlbumentationsPeer, Assets, PeerPair, peer_pair, pillow_pair
from rich.console import Console
from rich.table import Table

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.engine import KINDS, CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.render import Picture
from dreamomni.data.collage.scene import Scene
from dreamomni.data.shards.codecs import encoder_versions
from dreamomni.data.shards.generate import generate
from dreamomni.data.shards.job import ShardJob, open_dataset
from dreamomni.data.shards.members import encode_pixels
from dreamomni.data.shards.writer import make_shard
from dreamomni.errors import DreamOmniError

SEED = 8
MAX_ANGLE = 30.0
SEVERAL = "replace_among_3"
VARIANTS = ("render_only", "full", "encode_floor", "pillow", "pillow_fast", "albumentations")

Block = Callable[[int], None]
Rates = dict[str, float]


@dataclass
class Candidate:
    """Something to be timed: `run(n)` makes n samples; a block makes `size` of them.

    `prepare(n)` does before the clock starts what is done once for a data set and not once for a block.
    """

    name: str
    run: Block
    prepare: Block = field(default=lambda _number: None)
    size: int = 1
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def calibrate(self, seconds: float) -> None:
        """Warm up, and choose a block of about so many CPU seconds."""
        self.prepare(4)
        self.run(4)
        start = time.process_time()
        self.run(4)
        each = (time.process_time() - start) / 4
        self.size = min(max(4, round(seconds / each)), 1000)

    def block(self) -> None:
        """Time one block."""
        self.prepare(self.size)
        wall, cpu = time.perf_counter(), time.process_time()
        self.run(self.size)
        self.cpu.append(self.size / (time.process_time() - cpu))
        self.wall.append(self.size / (time.perf_counter() - wall))


def recipe_for(kind: str, side: int) -> CollageRecipe:
    """The recipe of a row: everything at free sizes and angles. `replace` shows one thing, as peers do."""
    several = kind == SEVERAL
    return CollageRecipe(
        size=f"{side}x{side}",
        colours="all",
        max_angle=MAX_ANGLE,
        mixture={"replace" if several else kind: 1.0},
        max_edit_objects=1 if kind == "replace" else 3,
    )


def ours(kind: str, side: int, folder: Path) -> list[Candidate]:
    """Our three candidates for one kind."""
    recipe = recipe_for(kind, side)
    engine = CollageEngine(recipe)
    indices = count()

    def render(number: int) -> None:
        for _ in range(number):
            engine.sample(SEED, next(indices))

    jobs: dict[int, tuple[ShardJob, dict[str, Any]]] = {}
    shards = count()

    def open_folder(number: int) -> None:
        if number not in jobs:
            place = folder / f"{kind}-{side}-{number}"
            place.mkdir()
            job = ShardJob(recipe, place, 10**9, seed=SEED + 1, shard_size=number)
            jobs[number] = job, open_dataset(job, engine)

    def full(number: int) -> None:
        # A shard of its own for each block, so that its table, hashes and fsync are paid for.
        job, identity = jobs[number]
        make_shard(job, next(shards), engine, identity)

    drawn = [engine.sample(SEED, -1 - index) for index in range(16)]
    turns = count()

    def encode(number: int) -> None:
        for _ in range(number):
            encode_pixels(drawn[next(turns) % len(drawn)])

    return [
        Candidate("render_only", render),
        Candidate("full", full, open_folder),
        Candidate("encode_floor", encode),
    ]


def record_pairs(side: int, number: int) -> tuple[list[PeerPair], Assets]:
    """Plans of our engine for the peers."""
    engine = CollageEngine(recipe_for("replace", side))
    renderer = engine._context.renderer
    draw, scenes = renderer.pair, list[tuple[Scene, Scene]]()

    def recording(source: Scene, target: Scene) -> tuple[Picture, Picture]:
        scenes.append((source, target))
        return draw(source, target)

    renderer.pair = recording  # type: ignore[method-assign]
    assets = Assets(RASTER_PX.get(side, side))
    pairs = []
    for index in range(number):
        sample = engine.sample(SEED, index)
        pairs.append(peer_pair(*scenes[-1], sample.instruction, renderer, assets))
    return pairs, assets


def peers(side: int, folder: Path, console: Console) -> list[Candidate]:
    """The candidates that are not ours."""
    pairs, assets = record_pairs(side, 48 if side <= 512 else 24)
    turns = count()

    def into_tar(name: str, draw: Callable[[PeerPair, tarfile.TarFile, int], None]) -> Candidate:
        def run(number: int) -> None:
            with tarfile.open(folder / f"{name}-{side}.tar", "w") as tar:
                for _ in range(number):
                    turn = next(turns)
                    draw(pairs[turn % len(pairs)], tar, turn)

        return Candidate(name, run)

    found = [
        into_tar("pillow", lambda pair, tar, turn: pillow_pair(pair, assets, tar, turn)),
        into_tar("pillow_fast", lambda pair, tar, turn: pillow_pair(pair, assets, tar, turn, fast=True)),
    ]
    sizes = [max(thing.drawn) / RASTER_PX.get(side, side) for pair in pairs for thing in pair.source]
    try:
        peer = AlbumentationsPeer((min(sizes), max(sizes)), MAX_ANGLE)
    except ImportError:
        console.print("albumentations is not installed (pip install 'dreamomni[bench]'): its column is empty")
    else:
        found.append(into_tar("albumentations", lambda pair, tar, turn: peer.pair(pair, assets, tar, turn)))
    return found


def measure(candidates: list[Candidate], blocks: int, seconds: float) -> None:
    """Let the candidates take turns."""
    for candidate in candidates:
        candidate.calibrate(seconds)
    for _ in range(blocks):
        for candidate in candidates:
            candidate.block()


def scaling(side: int, folder: Path, number: int) -> dict[str, float]:
    """Full samples a second of wall-clock time with one and with two workers."""
    rates = {}
    for workers in (1, 2):
        place = folder / f"scaling-{side}-{workers}"
        job = ShardJob(recipe_for("replace", side), place, number, seed=SEED, shard_size=max(1, number // 4))
        start = time.perf_counter()
        generate(job, num_workers=workers)
        rates[f"workers_{workers}"] = number / (time.perf_counter() - start)
    return rates


def header(console: Console) -> None:
    """Say what this was measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    console.print(f"{model}, {os.cpu_count()} cores, load {load} before this run; one thread, one process")
    packages = ["numpy", "opencv-python-headless", "pillow", "albumentations"]
    console.print(f"Python {platform.python_version()}, " + ", ".join(f"{p} {_version(p)}" for p in packages))
    console.print(f"encoders: {encoder_versions()}; Pillow and OpenCV peers write PNG at their defaults")
    console.print(
        "samples per second of one core (CPU time, so that other work on the machine does not count; waiting "
        "for the disk does not either), medians of blocks"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def table(side: int, rows: dict[str, Rates]) -> Table:
    """One size as a table."""
    result = Table(title=f"{side} x {side}")
    ratios = ("floor", "pillow", "pillow_fast", "albumentations")
    for column in ("kind", *VARIANTS, *(f"full / {name}" for name in ratios)):
        result.add_column(column, justify="left" if column == "kind" else "right")
    for kind, rates in rows.items():
        cells = [f"{rates[name]:,.0f}" if name in rates else "" for name in VARIANTS]
        names = ("encode_floor", "pillow", "pillow_fast", "albumentations")
        ratios = [f"{rates['full'] / rates[name]:.2f}" if name in rates else "" for name in names]
        result.add_row(kind, *cells, *ratios)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write {task: {size: {variant: samples_per_second}}} here")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, SEVERAL], help="rows (default: all)")
    parser.add_argument("--sizes", nargs="*", type=int, default=[512, 1024], help="sides in pixels")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each candidate")
    parser.add_argument("--seconds", type=float, default=0.3, help="CPU seconds of a block")
    parser.add_argument("--no-scaling", action="store_true", help="skip the runs with workers")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=160)
    header(console)
    pack = StickerPack.default()
    results: dict[str, dict[str, Rates]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in arguments.sizes:
            # Drawings are rasterised once and kept; that is no part of a sample.
            for sticker in pack.names:
                pack.render(sticker, (0, 0, 0), round(0.7 * side))
            rows: dict[str, Rates] = {}
            for kind in arguments.kinds:
                try:
                    candidates = ours(kind, side, folder)
                    if kind == "replace":
                        candidates += peers(side, folder, console)
                    longer = 3 if kind == "replace" else 1
                    measure(candidates, arguments.blocks, arguments.seconds * longer)
                except DreamOmniError as error:
                    console.print(f"{kind} at {side} px: {error}")
                    continue
                rows[kind] = {one.name: statistics.median(one.cpu) for one in candidates}
                results.setdefault(kind, {})[str(side)] = rows[kind]
                if kind == "replace":
                    spread = ", ".join(
                        f"{one.name} {min(one.cpu):.0f}-{max(one.cpu):.0f}" for one in candidates
                    )
                    wall = next(statistics.median(one.wall) for one in candidates if one.name == "full")
                    console.print(
                        f"replace at {side} px, slowest to fastest block: {spread}; full, wall {wall:.0f}"
                    )
            console.print(table(side, rows))
        if not arguments.no_scaling:
            side = arguments.sizes[0]
            rates = scaling(side, folder, 400)
            console.print(f"replace at {side} px into shards, samples per second of wall-clock time: {rates}")
            results.setdefault("replace", {}).setdefault(str(side), {}).update(rates)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""How fast a user's own table is opened and read, by format.

    python benchmarks/tables.py --rows 1000 --base 256

Makes edits of 512x512 JPEG pairs (smooth noise, about 85 kB each) in a temporary folder, and counts processor
time of one core, so that other work on the machine disturbs little: rows a second at the first opening
(headers), milliseconds at the second (from the cache), and samples a second in order and at random. A sample
is two pictures decoded, scaled and cropped.
"""

import argparse
import json
import os
import random
import tempfile
import time
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image
from rich.console import Console

from dreamomni.data.external.table import TableSet

_PICTURES = 64


def main() -> None:
    """Measure, and print a row for each format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--base", type=int, default=256)
    parser.add_argument("--reads", type=int, default=100)
    args = parser.parse_args()
    write = Console(soft_wrap=True).print
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        order = random.Random(0).sample(range(args.rows), args.reads)
        write("| format | first opening, rows/s | again, ms | in order, samples/s | at random, samples/s |")
        write("|---|---|---|---|---|")
        for form, path in write_tables(Path(name), args.rows).items():
            start = time.process_time()
            TableSet(path, base=args.base)
            first = args.rows / (time.process_time() - start)
            start = time.process_time()
            table = TableSet(path, base=args.base)
            again = (time.process_time() - start) * 1e3
            speeds = []
            for indices in (range(args.reads), order):
                start = time.process_time()
                for index in indices:
                    table[index]
                speeds.append(args.reads / (time.process_time() - start))
            write(f"| {form} | {first:.0f} | {again:.0f} | {speeds[0]:.1f} | {speeds[1]:.1f} |")


def write_tables(folder: Path, count: int) -> dict[str, Path]:
    """Write the same edits in every format; return the paths."""
    pictures = [jpeg(number) for number in range(_PICTURES)]
    pairs = [(pictures[row % _PICTURES], pictures[(row + 7) % _PICTURES]) for row in range(count)]
    words = [f"make it number {row}" for row in range(count)]
    rows = [
        {"src_img": {"bytes": source}, "edited_img": {"bytes": target}, "edited_prompt_list": [said]}
        for (source, target), said in zip(pairs, words, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "edits.parquet", row_group_size=100)
    datasets.disable_progress_bars()
    loaded = datasets.Dataset.from_parquet(str(folder / "edits.parquet"), cache_dir=str(folder / "hub"))
    loaded.save_to_disk(folder / "saved")
    (folder / "loose").mkdir()
    lines = []
    with webdataset.TarWriter(str(folder / "edits.tar")) as tar:
        for row, ((source, target), said) in enumerate(zip(pairs, words, strict=True)):
            tar.write({"__key__": f"{row:06d}", "source.jpg": source, "target.jpg": target, "txt": said})
            names = [f"{row}.source.jpg", f"{row}.target.jpg"]
            for name, content in zip(names, (source, target), strict=True):
                (folder / "loose" / name).write_bytes(content)
            lines.append(
                json.dumps({"src_img": names[0], "edited_img": names[1], "edited_prompt_list": [said]})
            )
    (folder / "loose" / "edits.jsonl").write_text("\n".join(lines))
    return {
        "jsonl": folder / "loose" / "edits.jsonl",
        "webdataset": folder / "edits.tar",
        "hf": folder / "saved",
        "parquet, groups of 100": folder / "edits.parquet",
    }


def jpeg(seed: int) -> bytes:
    """A smooth picture of 512x512."""
    small = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


if __name__ == "__main__":
    main()

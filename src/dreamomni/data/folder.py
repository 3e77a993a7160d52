"""Samples as loose files for people to look at: the members that a shard holds, in one folder.

`<key>.<member>` as `dreamomni.data.shards.members` names them, all pictures as PNG, and the JSON laid out to
be read; it is written last, so that a sample without it is unfinished.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dreamomni.data.shards.members import decode_sample, encode_pixels, record
from dreamomni.errors import DataError
from dreamomni.storage import write_bytes, write_json, write_text
from dreamomni.tasks.sample import TrainingSample


def write_samples(samples: Sequence[TrainingSample], folder: str | Path) -> None:
    """Write samples; the JSON file of each comes last.

    Raises:
        DataError: A mask or an instance map holds values that its file cannot.
        OutputError: A file cannot be written.
    """
    folder = Path(folder)
    for sample in samples:
        members = encode_pixels(sample, "png")
        for member, content in members.items():
            write_bytes(folder / f"{sample.key}.{member}", content)
        write_text(folder / f"{sample.key}.txt", sample.instruction)
        write_json(folder / f"{sample.key}.json", record(sample, members))


def has_samples(folder: str | Path) -> bool:
    """Whether `write_samples` wrote into the folder: its first JSON file is the record of a sample."""
    for path in sorted(Path(folder).glob("*.json"))[:1]:
        try:
            record = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return True  # a damaged one is for `read_samples` to refuse
        return isinstance(record, dict) and {"version", "members"} <= set(record)
    return False


def read_samples(folder: str | Path) -> list[TrainingSample]:
    """Read what `write_samples` wrote, in the order of the keys.

    Raises:
        DataError: The folder is missing or holds no sample, or a file of a sample is missing or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: name one that `dreamomni data sample` wrote")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        key, _, member = path.name.partition(".")
        found.setdefault(key, {})[member] = path
    samples = {key: files for key, files in found.items() if key and "json" in files}
    if not samples:
        raise DataError(f"{folder} holds no samples: name a folder that `dreamomni data sample` wrote")
    return [_read(folder / key, files) for key, files in samples.items()]


def _read(path: Path, files: Mapping[str, Path]) -> TrainingSample:
    try:
        members = {member: file.read_bytes() for member, file in files.items()}
    except OSError as error:
        raise DataError(f"a file of sample {path.name} cannot be read: {error}") from None
    return decode_sample(members, str(path))

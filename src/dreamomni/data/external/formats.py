"""Which files a path stands for, and how they are stored."""

import os
import re
from pathlib import Path
from typing import Literal, get_args

from dreamomni.data.external.arrow import ArrowRows, ParquetRows, saved_files
from dreamomni.data.external.cells import PICTURE_SUFFIXES
from dreamomni.data.external.lines import JsonLines, MemoryRows
from dreamomni.data.external.members import FolderRows, TarRows
from dreamomni.data.external.rows import Rows
from dreamomni.errors import DataError

Format = Literal["folder", "jsonl", "csv", "parquet", "webdataset", "hf"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".tar": "webdataset",
    ".arrow": "hf",
}
_SAVED = ("dataset_dict.json", "state.json")
_SPLIT = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}")
_ALL = "all"


def detect_format(path: Path) -> Format:
    """Find out how data is stored.

    Raises:
        DataError: There is nothing at the path, or nothing that is known.
    """
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES:
            raise DataError(f"{path} ends in none of {', '.join(_SUFFIXES)}: set `format`, or rename it")
        return _SUFFIXES[path.suffix.lower()]
    if any((path / name).is_file() for name in _SAVED):
        return "hf"
    suffixes = _suffixes_below(path)
    if ".tar" in suffixes:
        return "webdataset"
    if ".parquet" in suffixes:
        return "parquet"
    if _tables(path, (".jsonl", ".ndjson")):
        return "jsonl"
    if _tables(path, (".csv", ".tsv")):
        return "csv"
    if any(suffix[1:] in PICTURE_SUFFIXES for suffix in suffixes):
        return "folder"
    raise DataError(f"{path} holds no tar, parquet, jsonl, csv or picture file: is it the right folder?")


def open_rows(path: Path, kind: Format, split: str | None = None) -> list[Rows]:
    """Open the files of a data set, in the order of their names.

    Args:
        path: A file or a folder.
        kind: How it is stored.
        split: Of a data set of Hugging Face: one of its splits, or `all`.

    Raises:
        DataError: There is no such file, split or folder, or one is damaged.
        ConfigError: A library is missing.
    """
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    if kind == "folder":
        if not path.is_dir():
            raise DataError(f"{path} is a file, but format `folder` needs a folder")
        return [FolderRows(path)]
    if kind == "hf":
        files = [path] if path.is_file() else saved_files(path, split)
        return [ArrowRows(file) for file in files]
    if kind == "parquet":
        return [ParquetRows(file) for file in _of_split(path, _files(path, (".parquet",)), split)]
    if kind == "webdataset":
        return [TarRows(file) for file in _files(path, (".tar",))]
    if path.is_file():
        files = [path]
    else:
        files = _tables(path, (".jsonl", ".ndjson") if kind == "jsonl" else (".csv", ".tsv"))
        if not files:
            raise DataError(f"{path} holds no {kind} file")
    return [
        JsonLines(file) if kind == "jsonl" and file.suffix.lower() != ".json" else MemoryRows(file)
        for file in files
    ]


def _suffixes_below(folder: Path) -> set[str]:
    return {
        os.path.splitext(name)[1].lower()
        for _, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not name.startswith(".")
    }


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if path.is_file():
        return [path]
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(path, followlinks=True)
        for name in names
        if name.lower().endswith(suffixes) and not name.startswith(".")
    ]
    if not found:
        raise DataError(f"{path} holds no {suffixes[0]} file")
    return sorted(found)


def _tables(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Text tables at the top of a folder: `metadata.*` where there is one, else all."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    named = [path for path in found if path.stem == "metadata"]
    return named or found


def _of_split(path: Path, files: list[Path], split: str | None) -> list[Path]:
    """Files of a split, by names such as `train-00000-of-00012.parquet`."""
    if path.is_file() or split == _ALL:
        return files
    names = {file: match["split"] for file in files if (match := _SPLIT.match(file.name))}
    splits = sorted(set(names.values()))
    if split is None:
        if not names:
            return files
        if "train" not in splits and len(splits) > 1:
            raise DataError(f"{path} has the splits {', '.join(splits)}: set `split` to one, or to `all`")
        split = "train" if "train" in splits else splits[0]
    if split not in splits:
        raise DataError(f"{path} has no split {split!r}: it has {', '.join(splits) or 'none'}")
    return [file for file in files if names.get(file) == split]

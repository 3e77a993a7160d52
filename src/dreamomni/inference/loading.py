"""From the name of a model to its folder: packaged models, local folders, hub ids. It builds no network.

A folder is looked at before anything is loaded from it: a wrong one gets a sentence and not a traceback.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dreamomni import models
from dreamomni.errors import ModelError, OutputError
from dreamomni.models.folder import (
    ADAPTER_FOLDERS,
    CARD_NAME,
    COMPONENTS,
    INDEX_NAME,
    REWRITER_FOLDER,
)
from dreamomni.models.hub import download_snapshot
from dreamomni.models.transformer import DOWNSAMPLING
from dreamomni.storage import sha256_file, write_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CACHED_HASH_BYTES = 64 * 2**20
"""Files below this size are hashed anew every time: it takes less than a tenth of a second."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "transformer": ("config.json", "*.safetensors"),
    "vae": ("config.json", "*.safetensors"),
    "text_encoder": ("config.json", "*.safetensors"),
    "processor": ("*processor_config.json", "tokenizer_config.json"),
    "scheduler": ("scheduler_config.json",),
}


def packaged_models() -> dict[str, Path]:
    """Return the models that come with this installation, by name."""
    root = Path(models.__path__[0]) / "weights"
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {folder.name: folder for folder in folders if (folder / INDEX_NAME).is_file()}


def resolve_model(name: str | Path) -> Path:
    """Return the folder of a model, complete with every file that loading needs.

    Args:
        name: The name of a packaged model ("mini"), a local folder, or a hub id ("owner/name"), in this
            order.

    Raises:
        ModelError: There is no such model, the folder is no model, or the hub could not deliver it.
    """
    text = str(name)
    packaged = packaged_models()
    if text in packaged:
        folder = packaged[text]
    elif text.strip() and Path(text).expanduser().is_dir():
        folder = Path(text).expanduser()
    elif text.strip() and Path(text).expanduser().exists():
        raise ModelError(
            f"{text} is a file: a model is a folder with {INDEX_NAME} and one folder per component"
        )
    elif _HUB_ID.fullmatch(text):
        folder = _download(text)
    else:
        known = ", ".join(packaged) or "none in this installation"
        raise ModelError(
            f"there is no model {text!r}: say a packaged model ({known}), a folder, or a hub id (owner/name)"
        )
    check_model_folder(folder)
    return folder


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that is no complete DreamOmni model.

    Raises:
        ModelError: The message lists what is missing, or names the other class that the folder holds.
    """
    index = _read_index(folder)
    missing = [INDEX_NAME] if index is None else []
    missing += [
        f"{component}/{pattern}"
        for component, patterns in _NEEDED.items()
        for pattern in patterns
        if not any((folder / component).glob(pattern))
    ]
    missing += [] if (folder / CARD_NAME).is_file() else [CARD_NAME]
    if index is not None and index.get("_class_name") != "DreamOmniPipeline":
        raise ModelError(f"{folder} holds a {index.get('_class_name')}, not a DreamOmniPipeline")
    if missing:
        raise ModelError(f"{folder} is not a DreamOmni model: it lacks {', '.join(missing)}")
    assert index is not None
    for component, expected in COMPONENTS.items():
        if index.get(component) != list(expected):
            raise ModelError(
                f"{folder / INDEX_NAME} asks for {index.get(component)} as {component}, "
                f"but this release loads only {list(expected)}"
            )


def read_grid(folder: Path) -> int:
    """Return what sides are multiples of inside the network, in pixels, read off the configurations alone.

    Raises:
        ModelError: A configuration is damaged.
    """
    try:
        vae, transformer = (
            json.loads((folder / component / "config.json").read_text(encoding="utf-8"))
            for component in ("vae", "transformer")
        )
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        variant = transformer["variant"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} has a damaged config.json of its vae or transformer: {error}") from None
    return int(factor * (DOWNSAMPLING if variant == "v3" else 2 * DOWNSAMPLING))


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a model folder, those of its LoRAs included, in a fixed order."""
    folders = (*COMPONENTS, *ADAPTER_FOLDERS.values())
    return sorted(path for name in folders for path in (folder / name).glob("*.safetensors"))


def hash_model(folder: Path) -> str:
    """Return one sha256 (hex) over the names and bytes of all weight files.

    Hashes of large files are remembered in the user's cache folder and hold as long as path, size and time
    stay.
    """
    return hash_files(folder, weight_files(folder))


def hash_files(folder: Path, files: Iterable[Path]) -> str:
    """Return one sha256 (hex) over the names, below `folder`, and bytes of files; see `hash_model`."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {_hash_file(path)}\n".encode())
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    status = path.stat()
    if status.st_size < _CACHED_HASH_BYTES:
        return sha256_file(path)
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    memory = _cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    try:
        return str(json.loads(memory.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        value = sha256_file(path)
    try:
        write_json(memory, {"sha256": value})
    except OutputError:
        return value  # a read-only home only costs the time of hashing again
    return value


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "dreamomni" / "hashes"


def _read_index(folder: Path) -> dict[str, Any] | None:
    try:
        index = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(
            f"{folder / INDEX_NAME} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
    except ValueError as error:
        raise ModelError(f"{folder / INDEX_NAME} is not JSON: {error}") from None
    if not isinstance(index, dict):
        raise ModelError(f"{folder / INDEX_NAME} is not a model index: it is a {type(index).__name__}")
    return index


def _download(name: str) -> Path:
    patterns = [f"{component}/*" for component in (*COMPONENTS, *ADAPTER_FOLDERS.values(), REWRITER_FOLDER)]
    packaged = ", ".join(packaged_models()) or "none in this installation"
    return download_snapshot(
        name,
        [INDEX_NAME, CARD_NAME, "README.md", "LICENSE*", *patterns],
        instead=f"use a packaged model ({packaged})",
    )

"""Checkpoints that are whole or absent: named tensors and JSON, hashed, renamed into place. No pickle.

`checkpoints/step-00000500/` holds modules, ema and optimizer as safetensors, state.json, and a manifest with
the hash of each, written last. The folder gets its name when everything is on disk; `latest` follows it.
Where tensors are sharded, every process writes and hashes a file of its own rows, and the main one the
manifest. Any number of processes can read what any number has written.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.tensor import DTensor

from dreamomni import storage
from dreamomni.errors import CheckpointError, OutputError
from dreamomni.training.processes import ALONE, World
from dreamomni.training.tensor_files import SavedTensors, copy_rows, file_name, reason, spec_of, write

log = logging.getLogger(__name__)

_PREFIX = "step-"
_PARTS = ("modules", "ema", "optimizer")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after `step` optimizer steps: all that decides the following steps.

    Args:
        step: optimizer steps taken; the next batch is the one of this number.
        modules: trained parameters and buffers by name.
        ema: averaged parameters by name.
        optimizer: optimizer state by `parameter/slot`.
        state: JSON values: identity of the run, its settings, versions.
    """

    step: int
    modules: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, *, keep: int, world: World = ALONE) -> Path:
    """Write a checkpoint below `folder`, then drop all but the newest `keep`. All processes must call it.

    Raises:
        OutputError: it cannot be written (a full disk, for example); the earlier ones are untouched.
        ProcessLostError: another process has ended meanwhile; the earlier ones are untouched.
    """
    final = folder / f"{_PREFIX}{checkpoint.step:08d}"
    part = world.gather(folder / f".{final.name}.{os.getpid()}.part")[0]
    tensors = (checkpoint.modules, checkpoint.ema, checkpoint.optimizer)
    sharded = any(isinstance(value, DTensor) for some in tensors for value in some.values())
    try:
        with world.together(), _explained(folder, checkpoint.step):
            if world.is_main:
                _remove_leftovers(folder)
                part.mkdir(parents=True)
        written = {}
        with world.together(), _explained(folder, checkpoint.step):
            for name, some in zip(_PARTS, tensors, strict=True):
                if sharded or world.is_main:
                    path = part / file_name(name, world.rank, world.size if sharded else 1)
                    write(some, path, with_whole=world.is_main)
                    storage.sync(path)
                    written[path.name] = storage.describe_file(path)
        known = {name: entry for entries in world.gather(written) for name, entry in entries.items()}
        with world.together(), _explained(folder, checkpoint.step):
            if world.is_main:
                _finish(folder, part, final, checkpoint, known)
    except OutputError:
        if world.is_main:
            shutil.rmtree(part, ignore_errors=True)
        raise
    if world.is_main:
        _prune(folder, keep)
    return final


def _finish(
    folder: Path, part: Path, final: Path, checkpoint: Checkpoint, known: Mapping[str, dict[str, Any]]
) -> None:
    """Make a checkpoint of the files in `part`."""
    storage.write_json(part / "state.json", {"step": checkpoint.step, **checkpoint.state})
    storage.write_manifest(part, {"kind": "checkpoint", "step": checkpoint.step}, known)
    storage.sync(part)
    if final.exists():  # a damaged one of the same step, which the run has just passed again
        final.rename(folder / f".{final.name}.{os.getpid()}.old")
    part.rename(final)
    storage.sync(folder)
    storage.write_text(folder / "latest", final.name + "\n")


@contextmanager
def _explained(folder: Path, step: int) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, OutputError) as error:
        raise OutputError(
            f"cannot save the checkpoint of step {step} in {folder}: {reason(error)}; "
            f"the earlier checkpoints are intact, so make room and resume"
        ) from error


def find(folder: Path) -> list[Path]:
    """Finished checkpoint folders, newest first. They are the truth; `latest` is a hint for people."""
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if path.name.startswith(_PREFIX) and path.name[len(_PREFIX) :].isdigit()
    ]
    return sorted(found, key=lambda path: int(path.name[len(_PREFIX) :]), reverse=True)


def read_state(folder: Path) -> dict[str, Any] | None:
    """State of the newest checkpoint whose state.json can be read, without checking its files, or None."""
    for path in find(folder):
        try:
            state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(state, dict):
            return state
    return None


def load_latest(folder: Path, world: World = ALONE) -> Checkpoint | None:
    """The newest checkpoint whose files match their hashes, or None when there is none at all.

    A damaged one is passed over with a warning. All processes must call it, and get the same one.

    Raises:
        CheckpointError: there are checkpoints, but every one is damaged.
    """
    candidates: list[Path] = world.gather(find(folder))[0]
    for path in candidates:
        try:
            with world.together():
                return load(path, world)
        except CheckpointError as error:
            log.warning("WARNING: %s; falling back to the checkpoint before it", error)
    if candidates:
        raise CheckpointError(
            f"all {len(candidates)} checkpoints in {folder} are damaged; start again in another run folder"
        )
    return None


def load(path: Path, world: World = ALONE) -> Checkpoint:
    """Open one checkpoint folder after checking every hash; several processes share the hashing.

    Tensors are read when they are asked for. The files stay open, so the folder may be removed meanwhile.

    Raises:
        CheckpointError: a file is missing or damaged; the message names it.
    """
    storage.verify_manifest(path, share=(world.rank, world.size))
    try:
        modules, ema, optimizer = (SavedTensors(path, name) for name in _PARTS)
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        return Checkpoint(step=state.pop("step"), modules=modules, ema=ema, optimizer=optimizer, state=state)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def copy_into(targets: Mapping[str, Tensor], saved: Mapping[str, Tensor], what: str) -> None:
    """Copy saved tensors into live ones of the same names, shapes and dtypes.

    Raises:
        CheckpointError: names, shapes or dtypes differ; nothing has been copied then.
    """
    missing, extra = sorted(targets.keys() - saved.keys()), sorted(saved.keys() - targets.keys())
    if missing or extra:
        raise CheckpointError(
            f"the saved {what} do not fit this model: {_some(missing)} missing, {_some(extra)} unexpected"
        )
    for name, target in targets.items():
        shape, dtype = spec_of(saved, name)
        if shape != target.shape or dtype != target.dtype:
            raise CheckpointError(
                f"the saved {what} do not fit this model: {name} is {tuple(shape)} {dtype}, "
                f"expected {tuple(target.shape)} {target.dtype}"
            )
    for name, target in targets.items():
        copy_rows(target, saved, name)


def _some(names: list[str]) -> str:
    return f"{len(names)}" + (
        f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
    )


def _prune(folder: Path, keep: int) -> None:
    for path in find(folder)[keep:]:
        hidden = path.with_name(f".{path.name}.{os.getpid()}.old")
        path.rename(hidden)  # a half-removed folder must never look like a checkpoint
        shutil.rmtree(hidden, ignore_errors=True)
    _remove_leftovers(folder)


def _remove_leftovers(folder: Path) -> None:
    for pattern in (f".{_PREFIX}*.part", f".{_PREFIX}*.old"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)

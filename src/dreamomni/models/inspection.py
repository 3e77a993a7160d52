"""What is wrong with the folder of one network, told from its files: nothing is built, one tensor at a time.

Loading stops at the first mistake; this lists them all.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.models.components import LOADING_ERRORS, check_config

_SHOWN = 3
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        problems: One clause each; empty for a folder that loads.
        parameters: Numbers in all weights that could be read.
        dtypes: Their kinds, as safetensors writes them.
        files: Weight files.
    """

    problems: tuple[str, ...]
    parameters: int = 0
    dtypes: tuple[str, ...] = ()
    files: int = 0

    def __str__(self) -> str:
        plural = "file" if self.files == 1 else "files"
        return f"{self.parameters:,} parameters, {', '.join(self.dtypes) or 'none'}, {self.files} {plural}"


def inspect_network(folder: Path, cls: Any, *, finite: bool = True) -> Inspection:
    """List everything that keeps a folder from loading as a network of one class.

    Args:
        folder: Of one network: config.json and safetensors.
        cls: A `ModelMixin` of diffusers or a `PreTrainedModel` of transformers.
        finite: Whether to read all weights and look for NaN and infinity; else their headers alone.
    """
    if not folder.is_dir():
        return Inspection((f"there is no folder {folder.name}",))
    problems: list[str] = []
    try:
        check_config(folder / "config.json", cls)
    except ModelError as error:
        problems.append(str(error))
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        pickled = any(True for pattern in _PICKLES for _ in folder.glob(pattern))
        kind = "its weights are pickles (.bin), which are never read" if pickled else "it holds no weights"
        return Inspection((*problems, f"{kind}: it needs *.safetensors"))
    lost = missing_shards(folder)
    problems += [f"{len(lost)} weight files are missing: {_some(lost)}"] if lost else []
    parameters, dtypes, unreadable, spoiled = 0, set(), [], []
    for path in paths:
        try:
            for name, shape, dtype, tensor in _tensors(path, read=finite):
                parameters += math.prod(shape)
                dtypes.add(dtype)
                if tensor is not None and not is_finite(tensor):
                    spoiled.append(name)
        except (SafetensorError, OSError) as error:
            unreadable.append(path.name)
            problems.append(f"{path.name} is damaged or cut short: {' '.join(str(error).split())}")
    if spoiled:
        problems.append(f"{len(spoiled)} weights hold NaN or infinity ({_some(spoiled)})")
    if not problems:
        problems += _misfits(folder, cls, paths)
    return Inspection(tuple(problems), parameters, tuple(sorted(dtypes)), len(paths))


def missing_shards(folder: Path) -> list[str]:
    """Return the weight files that an index of a folder names and that are not there."""
    lost = []
    for path in sorted(folder.glob("*.safetensors.index.json")):
        try:
            named = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            lost.append(f"{path.name} (which is damaged)")
            continue
        lost += sorted(str(name) for name in named if not (folder / str(name)).is_file())
    return lost


def empty_network(folder: Path, cls: Any) -> Any:
    """Build a network of diffusers from its configuration alone, without any memory for its weights.

    Raises:
        ModelError: The configuration is not one of this class.
    """
    check_config(folder / "config.json", cls)
    try:
        with torch.device("meta"):
            return cls.from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except LOADING_ERRORS as error:
        raise ModelError(f"{folder / 'config.json'} describes no {cls.__name__}: {error}") from None


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinite."""
    if not tensor.is_floating_point():
        return True
    tensor = tensor if tensor.element_size() > 1 else tensor.float()  # float8 has no sum
    return bool(torch.isfinite(tensor.sum(dtype=torch.float32)) or torch.isfinite(tensor).all())


def _tensors(path: Path, *, read: bool) -> Iterator[tuple[str, list[int], str, Tensor | None]]:
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - safe_open has no iterator
            part = file.get_slice(name)
            yield name, part.get_shape(), str(part.get_dtype()), file.get_tensor(name) if read else None


def _misfits(folder: Path, cls: Any, paths: Sequence[Path]) -> list[str]:
    """Weights too few, too many, or of other shapes than the configuration asks for."""
    try:
        if hasattr(cls, "config_class") and cls.config_class is not None:
            # transformers renames weights of older files; only its own loader knows how.
            _, report = cls.from_pretrained(
                str(folder), device_map="meta", ignore_mismatched_sizes=True, output_loading_info=True
            )
            missing, other = report["missing_keys"], [str(key[0]) for key in report["mismatched_keys"]]
        else:
            wanted = {name: list(t.shape) for name, t in empty_network(folder, cls).state_dict().items()}
            found = {name: shape for path in paths for name, shape, *_ in _tensors(path, read=False)}
            missing = [name for name in wanted if name not in found]
            other = [name for name, shape in found.items() if wanted.get(name, shape) != shape]
    except (ModelError, *LOADING_ERRORS) as error:
        return [f"it does not fit its config.json: {' '.join(str(error).split())[:200]}"]
    problems = [f"{len(missing)} weights are missing ({_some(sorted(missing))})"] if missing else []
    if other:
        problems.append(f"{len(other)} weights have other shapes than config.json says ({_some(other)})")
    return problems


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown

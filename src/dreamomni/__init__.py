"""Unified image generation and editing: make the data, train the model, run it, measure it.

Importing this package does nothing but define its version: `DreamOmniPipeline` is loaded on first use, so
that command-line help and data workers never pay for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamomni.inference.pipeline import DreamOmniPipeline as DreamOmniPipeline

__version__ = "0.1.0"

__all__ = ["DreamOmniPipeline", "__version__"]

_LAZY = {"DreamOmniPipeline": "dreamomni.inference.pipeline"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dreamomni' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

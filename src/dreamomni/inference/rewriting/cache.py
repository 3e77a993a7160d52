"""Answers of rewriters, remembered in memory and on the disk under the hash of all that they depend on.

An answer is kept as the model wrote it, not as it was read: a better parser reads old answers better.
"""

import hashlib
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dreamomni.errors import OutputError
from dreamomni.models.chat import Answer
from dreamomni.storage import write_json

logger = logging.getLogger(__name__)

CACHE_VERSION = 1
"""Part of every key: goes up when messages are built in another way."""
_MAX_IN_MEMORY = 1024


def rewrites_folder() -> Path:
    """The folder for answers in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "dreamomni" / "rewrites"


def answer_key(message: str, images: Sequence[Image.Image], options: Mapping[str, Any]) -> str:
    """The sha256 (hex) of everything that decides an answer.

    Args:
        message: The words, with the sentence that names the task.
        images: What the model sees: mode, size and every pixel count.
        options: The hash of the weights, and every option of the rewriter; JSON-able.
    """
    shown = [(image.mode, image.size, hashlib.sha256(image.tobytes()).hexdigest()) for image in images]
    everything = {"version": CACHE_VERSION, "message": message, "images": shown, "options": dict(options)}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """Key -> answer.

    Args:
        folder: Where answers lie between runs; None keeps them in memory alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._memory: OrderedDict[str, Answer] = OrderedDict()

    def get(self, key: str) -> Answer | None:
        """The answer, or None; a damaged file counts as none."""
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        if self.folder is None:
            return None
        try:
            stored = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            text, ended, own_key = stored["text"], stored["ended"], stored["key"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if own_key != key or not isinstance(text, str) or not isinstance(ended, bool):
            return None
        return self._remember(key, Answer(text, ended))

    def put(self, key: str, answer: Answer) -> None:
        """Remember an answer; a folder that cannot be written only costs the time of asking again."""
        self._remember(key, answer)
        if self.folder is None:
            return
        try:
            write_json(self.folder / f"{key}.json", {"key": key, "text": answer.text, "ended": answer.ended})
        except OutputError as error:
            logger.debug("the rewritten words are not kept: %s", error)

    def _remember(self, key: str, answer: Answer) -> Answer:
        self._memory[key] = answer
        self._memory.move_to_end(key)
        while len(self._memory) > _MAX_IN_MEMORY:
            self._memory.popitem(last=False)
        return answer

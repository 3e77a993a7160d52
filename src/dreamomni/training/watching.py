"""What a run shows of a whole model now and then: measurements and pictures that training itself cannot make.

Training imports neither evaluation nor inference. Whoever composes a run hands in plain functions; these
hooks call them when their time has come and tell the others what came out.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from dreamomni.training.hooks import BaseHook, Hook


class Measure(BaseHook):
    """Calls `measure` with the averaged weights at multiples of `every`, and at the last step.

    Args:
        name: What is measured, such as "evaluate".
        every: Steps between measurements; must fall on steps at which samples are drawn.
        max_steps: The last step of the run.
        measure: Takes the step and returns numbers by name.
        hooks: Those among them that listen are told.
    """

    def __init__(
        self,
        name: str,
        every: int,
        max_steps: int,
        measure: Callable[[int], Mapping[str, float]],
        hooks: Sequence[Hook],
    ) -> None:
        self.name, self.every, self.max_steps = name, every, max_steps
        self.measure = measure
        self.listeners = listeners(hooks)

    def on_sample(self, step: int, image: Image.Image | None) -> None:
        """Measure when it is time."""
        if step % self.every and step != self.max_steps:
            return
        began = time.monotonic()
        values = {**self.measure(step), "seconds": time.monotonic() - began}
        for listener in self.listeners:
            listener.on_result(step, self.name, values)


class Show(BaseHook):
    """Calls `draw` with the averaged weights whenever samples are drawn.

    Args:
        name: What is shown, such as "validation".
        draw: Makes the picture.
        hooks: Those among them that listen are told.
    """

    def __init__(self, name: str, draw: Callable[[], Image.Image], hooks: Sequence[Hook]) -> None:
        self.name, self.draw = name, draw
        self.listeners = listeners(hooks)

    def on_sample(self, step: int, image: Image.Image | None) -> None:
        """Draw and pass on."""
        picture = self.draw()
        for listener in self.listeners:
            listener.on_picture(step, self.name, picture)


def listeners(hooks: Sequence[Hook]) -> list[BaseHook]:
    """Those hooks that can show what others found."""
    return [hook for hook in hooks if isinstance(hook, BaseHook)]

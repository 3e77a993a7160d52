"""What a data set holds: counts by task, kind, size, colour, thing, asset; lengths of words; rejections."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamomni.tasks.geometry import Size
from dreamomni.tasks.sample import TrainingSample

_DECILES = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass
class SampleStatistics:
    """Counts over samples, one `add` for each.

    Attributes:
        kinds: Samples by task and kind.
        sizes: Samples by size of the target.
        images: Samples by number of input images.
        objects: Targets by number of labels.
        colours: Labels of all pictures by colour ("none" where a colour has no name).
        things: Labels of all pictures by name; written words count as "(text)".
        backgrounds: Samples by style and colour of the background, where it was drawn.
        assets: Samples by asset that shows in them.
        licences: Samples by licence that is needed for them.
        instruction_words: Instructions by number of words.
        redrawn: Failed attempts at samples that were made in the end, by reason.
        rejected: Samples that could not be made, by reason.
    """

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    objects: Counter[int] = field(default_factory=Counter)
    colours: Counter[str] = field(default_factory=Counter)
    things: Counter[str] = field(default_factory=Counter)
    backgrounds: Counter[str] = field(default_factory=Counter)
    assets: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    instruction_words: Counter[int] = field(default_factory=Counter)
    redrawn: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def num_samples(self) -> int:
        """Samples counted so far."""
        return self.sizes.total()

    def add(self, sample: TrainingSample) -> None:
        """Count one sample."""
        self.kinds.setdefault(sample.task, Counter())[sample.kind] += 1
        height, width = sample.target.shape[:2]
        self.sizes[str(Size(width, height))] += 1
        self.images[len(sample.images)] += 1
        self.objects[len(sample.objects)] += 1
        for labels in (sample.objects, *sample.image_objects):
            self.colours.update(label.colour or "none" for label in labels)
            self.things.update("(text)" if label.kind == "text" else label.name for label in labels)
        background = sample.details.get("background") or {}
        if background:
            self.backgrounds[f"{background.get('style', '')} {background.get('colour', '')}".strip()] += 1
        self.assets.update(sample.assets)
        self.licences.update(sample.licences)
        self.instruction_words[len(sample.instruction.split())] += 1
        self.redrawn.update(sample.details.get("rejected") or {})

    def as_json(self) -> dict[str, Any]:
        """All counts as plain values, the most frequent first."""
        return {
            "num_samples": self.num_samples,
            "tasks": {task: kinds.total() for task, kinds in sorted(self.kinds.items())},
            "kinds": {task: dict(kinds.most_common()) for task, kinds in sorted(self.kinds.items())},
            "sizes": dict(self.sizes.most_common()),
            "images": dict(sorted(self.images.items())),
            "objects": dict(sorted(self.objects.items())),
            "colours": dict(self.colours.most_common()),
            "things": dict(self.things.most_common()),
            "backgrounds": dict(self.backgrounds.most_common()),
            "assets": dict(self.assets.most_common()),
            "licences": dict(self.licences.most_common()),
            "instruction_words": {
                f"{share:.0%}": value
                for share, value in zip(_DECILES, quantiles(self.instruction_words, _DECILES), strict=True)
            },
            "redrawn": dict(self.redrawn.most_common()),
            "rejected": dict(self.rejected.most_common()),
        }


def quantiles(counts: Counter[int], shares: Sequence[float]) -> list[int]:
    """Values below or at which a share of all counted values lies; 0 where nothing was counted.

    Args:
        counts: How often each value came.
        shares: Between 0 (the smallest value) and 1 (the largest).
    """
    values = sorted(counts)
    found = []
    for share in shares:
        needed, seen, answer = share * counts.total(), 0, values[0] if values else 0
        for value in values:
            seen += counts[value]
            answer = value
            if seen >= needed and seen > 0:
                break
        found.append(answer)
    return found

"""A recipe made ready: which things, colours and combinations may be drawn in a split."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations as choose
from typing import Literal

from dreamomni.data.collage.assets import StickerPack
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.held_out import (
    Combination,
    colour_combination,
    count_combination,
    is_held_out,
    pair_combination,
)
from dreamomni.data.collage.palette import BACKGROUNDS, MINI, PALETTE, RGB, delta_e
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.scene import Thing, ThingKind
from dreamomni.data.collage.shapes import SHAPES
from dreamomni.errors import ConfigError

Split = Literal["train", "held_out"]


class World:
    """Things, colours and backgrounds of a recipe, with the combinations that are kept for evaluation.

    Args:
        recipe: What to draw from.
        pack: Where stickers come from.

    Raises:
        ConfigError: The recipe names an unknown thing or colour, or leaves a thing without any colour.
    """

    def __init__(self, recipe: CollageRecipe, pack: StickerPack) -> None:
        self.recipe = recipe
        self.names = tuple(pack.names) if recipe.names == "all" else _known("names", recipe.names, pack.names)
        self.colours = _colours(recipe)
        self.backgrounds = _named("backgrounds", recipe.backgrounds, BACKGROUNDS)
        self._out: dict[Combination, bool] = {}
        self._colours_of: dict[tuple[str, str, bool], list[str]] = {}
        self._partners: dict[str, frozenset[str]] = {}
        self._visible = {
            background: tuple(
                colour
                for colour, rgb in self.colours.items()
                if float(delta_e(rgb, ground)) >= recipe.min_contrast
            )
            for background, ground in self.backgrounds.items()
        }
        for name in self.names:
            if not pack.is_recolourable(name):
                raise ConfigError(
                    f"sticker {name!r} has fixed colours, so a recipe that names colours cannot use it"
                )
            for background in self.backgrounds:
                if not self.colours_of(name, background):
                    raise ConfigError(
                        f"{name!r} on {background!r} has no colour left for training: lower min_contrast or "
                        f"held_out.fraction (now {recipe.held_out.fraction}), or add colours"
                    )

    def pool(self, kind: ThingKind) -> tuple[str, ...]:
        """Names of all things of a kind."""
        return SHAPES if kind == "shape" else self.names

    def is_out(self, combination: Combination) -> bool:
        """Say whether a combination is kept for evaluation."""
        known = self._out.get(combination)
        if known is None:
            known = self._out[combination] = is_held_out(self.recipe.held_out, combination)
        return known

    def colours_of(self, name: str, background: str, *, out: bool = False) -> list[str]:
        """Colours that a thing may have on a background: those of training, or those kept for evaluation."""
        key = (name, background, out)
        if key not in self._colours_of:
            visible = self._visible[background]
            self._colours_of[key] = [c for c in visible if self.is_out(colour_combination(name, c)) == out]
        return self._colours_of[key]

    def visible_on(self, background: str) -> tuple[str, ...]:
        """Colours that can be told from a background, held out or not."""
        return self._visible[background]

    def partners_of(self, chosen: Sequence[str], pool: Iterable[str]) -> list[str]:
        """Names that training may show together with all of `chosen`."""
        allowed = frozenset.intersection(*(self._partners_of(name) for name in chosen))
        return [name for name in pool if name in allowed]

    def _partners_of(self, name: str) -> frozenset[str]:
        if name not in self._partners:
            pool = SHAPES if name in SHAPES else self.names
            self._partners[name] = frozenset(
                other for other in pool if other != name and not self.is_out(pair_combination(name, other))
            )
        return self._partners[name]

    def names_allowing(self, count: int, pool: Sequence[str]) -> Sequence[str]:
        """Names that training may show `count` times in one picture."""
        if count < 2:
            return pool
        return [name for name in pool if not self.is_out(count_combination(count, name))]

    def pairs_out(self, kind: ThingKind) -> list[tuple[str, str]]:
        """Pairs of names kept for evaluation."""
        return [pair for pair in choose(self.pool(kind), 2) if self.is_out(pair_combination(*pair))]

    def counts_out(self, kind: ThingKind) -> list[tuple[int, str]]:
        """Numbers of a thing kept for evaluation."""
        return [
            (count, name)
            for count in range(2, self.recipe.max_count + 1)
            for name in self.pool(kind)
            if self.is_out(count_combination(count, name))
        ]

    def colour_pairs_out(self, kind: ThingKind, background: str) -> list[tuple[str, str]]:
        """Coloured things (name, colour) kept for evaluation that can be seen on a background."""
        return [
            (name, colour)
            for name in self.pool(kind)
            for colour in self.colours_of(name, background, out=True)
        ]

    def check_split(self, split: Split) -> None:
        """Make sure that a split has what its kinds need.

        Raises:
            ConfigError: Nothing is held out where evaluation needs something.
        """
        if split == "train":
            return
        kinds = {kind for kind, weight in self.recipe.mixture.items() if weight > 0}
        fraction = self.recipe.held_out.fraction
        missing = None
        if "colors" in kinds and not all(self.colour_pairs_out("sticker", b) for b in self.backgrounds):
            missing = "coloured things on every background"
        elif kinds - {"single", "colors", "counting", "shapes", "text"} and not self.pairs_out("sticker"):
            missing = "pairs of things"
        elif "counting" in kinds and not self.counts_out("sticker"):
            missing = "numbers of a thing"
        if missing is not None:
            raise ConfigError(
                f"the held-out split has no {missing} at held_out.fraction {fraction}: "
                "raise it or change the salt"
            )

    def draw_colour(
        self, name: str, background: str, draws: Draws, *, unlike: Iterable[str] = ()
    ) -> str | None:
        """Draw a colour that training may show, or None when all of them are taken."""
        options = [colour for colour in self.colours_of(name, background) if colour not in unlike]
        return draws.pick(options) if options else None

    def draw_thing(
        self,
        name: str,
        background: str,
        draws: Draws,
        *,
        kind: ThingKind = "sticker",
        unlike: Iterable[str] = (),
    ) -> Thing | None:
        """Draw a thing of this name as training may show it, or None when no colour is left."""
        colour = self.draw_colour(name, background, draws, unlike=unlike)
        return None if colour is None else Thing(name, colour, kind)


def _colours(recipe: CollageRecipe) -> dict[str, RGB]:
    if recipe.colours == "mini":
        return dict(MINI)
    return _named("colours", recipe.colours, PALETTE)


def _named(field: str, wanted: tuple[str, ...] | str, known: Mapping[str, RGB]) -> dict[str, RGB]:
    if isinstance(wanted, str):
        return dict(known)
    return {name: known[name] for name in _known(field, wanted, known)}


def _known(field: str, wanted: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    options = list(known)
    chosen = tuple(wanted)
    if not chosen:
        raise ConfigError(f"{field} is empty: name at least one, or say all")
    for name in chosen:
        if name not in options:
            near = difflib.get_close_matches(name, options, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(options)}"
            raise ConfigError(f"{field} has {name!r}, which does not exist; {hint}")
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"{field} names something twice: {', '.join(chosen)}")
    return chosen

"""A recipe made ready: which things, colours and combinations may be drawn in a split."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dreamomni.data.collage.assets.asset import THING_KINDS, AssetInfo, AssetSource, Crop
from dreamomni.data.collage.clarity import Clarity
from dreamomni.data.collage.company import Company
from dreamomni.data.collage.draws import Draws
from dreamomni.data.collage.fonts import FONTS
from dreamomni.data.collage.held_out import (
    Combination,
    colour_combination,
    is_held_out,
)
from dreamomni.data.collage.palette import BACKGROUNDS, MINI, PALETTE, RGB, colour_words, delta_e
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.collage.scene import BackgroundLook, Thing, ThingKind
from dreamomni.errors import ConfigError

Split = Literal["train", "held_out"]
PHOTO = ""
"""The colour of a photo behind things: no word fits."""
_ZOOM = (0.6, 1.0)


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to show a name: an asset of a library, or a sticker of the pack (then `asset` is empty)."""

    asset: str
    recolourable: bool
    colour: str | None
    """What words may say of it; the contrast is judged by `rgb` all the same."""
    rgb: RGB | None
    """Its measured colour, None where it has no single one."""


class World:
    """Things, colours and backgrounds of a recipe, with the combinations that are kept for evaluation.

    Args:
        recipe: What to draw from.
        source: Where things, backgrounds and fonts come from.
        split: Assets that are kept for evaluation show in "held_out" alone; there they come instead of the
            others of their name.

    Raises:
        ConfigError: The recipe names an unknown thing or colour, or leaves a thing without any colour.
    """

    def __init__(self, recipe: CollageRecipe, source: AssetSource, split: Split = "train") -> None:
        self.recipe = recipe
        self.colours = _colours(recipe)
        self.backgrounds = _named("backgrounds", recipe.backgrounds, BACKGROUNDS)
        self.ground_names = tuple(self.backgrounds)
        self._out: dict[Combination, bool] = {}
        self._things: dict[tuple[str, str, bool], list[tuple[_Choice, list[str]]]] = {}
        self._ways: dict[tuple[str, str, bool], list[tuple[_Choice, list[str]]]] = {}
        self._colour_pairs: dict[tuple[ThingKind, str], tuple[tuple[str, str], ...]] = {}
        self._sizes: dict[int, tuple[float, float]] = {}
        self._visible = {
            background: tuple(
                colour
                for colour, rgb in self.colours.items()
                if float(delta_e(rgb, ground)) >= recipe.min_contrast
            )
            for background, ground in self.backgrounds.items()
        }
        styles = {style for style, weight in recipe.background_styles.items() if weight > 0}
        self._grounds = [PHOTO] if styles == {"photo"} else list(self.backgrounds)
        # Nobody knows what colours lie behind a thing on a photo.
        self._visible[PHOTO] = tuple(self.colours)
        assets = _of_split(source.assets(), split)
        self._rgb = {asset.id: asset.rgb for asset in assets if not asset.recolourable}
        self._choices = self._list_choices([asset for asset in assets if asset.kind in THING_KINDS])
        self.photos = tuple(asset for asset in assets if asset.kind == "background")
        self.fonts = (*FONTS, *(asset.id for asset in assets if asset.kind == "font"))
        self.clarity = Clarity(recipe, source)
        self.names = self._usable_names()
        self._check_habits()
        self.company = Company(recipe.held_out, self.names, recipe.max_count, self.is_out)
        if "photo" in styles and not self.photos:
            raise ConfigError(
                f"background_styles has photo, but no library of `assets` holds a background for the {split} "
                "split: name a library with backgrounds, or take photo away"
            )

    def _list_choices(self, assets: Iterable[AssetInfo]) -> dict[str, tuple[_Choice, ...]]:
        ours = self.recipe.names != "assets"
        found: dict[str, list[_Choice]] = {}
        for asset in assets:
            library = asset.id if ":" in asset.id else ""
            if not (library or ours):
                continue
            words = colour_words(asset.colour) if asset.colour else ()
            # A colour that the recipe does not speak of is not said, nor one that the name says already.
            known = words and set(words) <= set(self.colours) and not set(asset.name.split()) & set(PALETTE)
            rgb = asset.rgb if asset.colour else None
            choice = _Choice(library, asset.recolourable, asset.colour if known else None, rgb)
            found.setdefault(asset.name, []).append(choice)
        return {name: tuple(choices) for name, choices in sorted(found.items())}

    def _usable_names(self) -> tuple[str, ...]:
        """Names that can be drawn; of a library, those are left out that no background lets be seen."""
        wanted = self.recipe.names
        grounds = self._grounds
        things = tuple(self._choices)
        names = _known("names", wanted, things) if isinstance(wanted, tuple) else things
        usable = []
        for name in names:
            lacking = [ground for ground in grounds if not self._drawable(name, ground)]
            fixed = not any(choice.recolourable for choice in self._choices[name])
            if lacking and (not fixed or (isinstance(wanted, tuple) and len(lacking) == len(grounds))):
                raise ConfigError(
                    f"{name!r} on {lacking[0]!r} has no colour left for training: lower min_contrast or "
                    f"held_out.fraction (now {self.recipe.held_out.fraction}), or add colours"
                )
            if len(lacking) < len(grounds):
                usable.append(name)
        if not usable:
            raise ConfigError(
                "the recipe has nothing to draw: its `assets` hold no things (say names: all to draw the "
                "sticker pack as well)"
            )
        return tuple(usable)

    def pool(self, kind: ThingKind) -> tuple[str, ...]:
        """Names of all things of a kind."""
        return self.company.pool(kind)

    def object_size(self, count: int) -> tuple[float, float]:
        """Smallest and largest longest side (fractions) in a scene of `count` objects."""
        if count not in self._sizes:
            self._sizes[count] = self.recipe.object_size(count)
        return self._sizes[count]

    def is_out(self, combination: Combination) -> bool:
        """Say whether a combination is kept for evaluation."""
        known = self._out.get(combination)
        if known is None:
            known = self._out[combination] = is_held_out(self.recipe.held_out, combination)
        return known

    def colours_of(self, name: str, background: str, *, out: bool = False) -> list[str]:
        """Colours that a thing may have on a background: those of training, or those kept for evaluation."""
        options = [colours for _, colours in self._options(name, background, out=out)]
        return list(dict.fromkeys(colour for colours in options for colour in colours))

    def visible_on(self, background: str) -> tuple[str, ...]:
        """Colours of the recipe that can be told from a background, held out or not."""
        return self._visible[background]

    def colour_pairs_out(self, kind: ThingKind, background: str) -> tuple[tuple[str, str], ...]:
        """Coloured things (name, colour) kept for evaluation that can be seen on a background."""
        key = (kind, background)
        if key not in self._colour_pairs:
            self._colour_pairs[key] = tuple(
                (name, colour)
                for name in self.pool(kind)
                for colour in self.colours_of(name, background, out=True)
            )
        return self._colour_pairs[key]

    def check_split(self, split: Split) -> None:
        """Make sure that a split has what its kinds need.

        Raises:
            ConfigError: Nothing is held out where evaluation needs something.
        """
        if split == "train":
            return
        kinds = {kind for kind, weight in self.recipe.mixture.items() if weight > 0}
        alone = {"single", "colors", "counting", "shapes", "text"}
        fraction = self.recipe.held_out.fraction
        missing = None
        if "colors" in kinds and not all(self.colour_pairs_out("sticker", b) for b in self._grounds):
            missing = "coloured things on every background"
        elif kinds - alone and not self.company.pairs_out("sticker"):
            missing = "pairs of things"
        elif "counting" in kinds and not self.company.counts_out("sticker"):
            missing = "numbers of a thing"
        if missing is not None:
            raise ConfigError(
                f"the held-out split has no {missing} at held_out.fraction {fraction}: "
                "raise it or change the salt"
            )

    def draw_thing(
        self,
        name: str,
        background: str | Iterable[str],
        draws: Draws,
        *,
        kind: ThingKind = "sticker",
        unlike: Iterable[str] = (),
        named: bool = False,
    ) -> Thing | None:
        """Draw a thing of this name as training may show it.

        Args:
            name: What it is.
            background: Name of the colour behind it (empty for a photo), or of several that it may stand on.
            draws: Stream of the things.
            kind: Where its pixels come from.
            unlike: Colours that it may not have; where there are any, its own colour has a name.
            named: Whether its colour must have a name, because the words need one.

        Returns:
            The thing, or None when nothing is left to show.
        """
        barred = {word for colour in unlike for word in colour_words(colour)}
        options = self._ways_to_show(name, background, barred, named or bool(barred))
        if not options:
            return None
        # One way to show a thing needs no draw.
        choice, colours = draws.pick(options) if len(options) > 1 else options[0]
        colour = draws.pick(colours) if choice.recolourable else choice.colour
        return Thing(name, colour, kind, choice.asset)

    def thing_in(
        self,
        name: str,
        colour: str,
        background: str | Iterable[str],
        draws: Draws,
        *,
        kind: ThingKind = "sticker",
        out: bool = False,
    ) -> Thing | None:
        """Draw a thing of this name and colour, or None when none can be had.

        Args:
            name: What it is.
            colour: Name of its colour.
            background: As in `draw_thing`.
            draws: Stream of the things.
            kind: Where its pixels come from.
            out: Whether the name in this colour is a combination kept for evaluation.
        """
        options = [
            choice for choice, colours in self._options(name, background, out=out) if colour in colours
        ]
        if not options:
            return None
        choice = draws.pick(options) if len(options) > 1 else options[0]
        return Thing(name, colour, kind, choice.asset)

    def usual(self, thing: Thing, background: str) -> Thing:
        """The thing in the colour that it has where words do not say one, if it can be seen in that."""
        colour = self.recipe.habits.usual_colours.get(thing.name)
        if thing.kind != "sticker" or colour is None:
            return thing
        fits = any(
            choice.asset == thing.asset and choice.recolourable and colour in colours
            for choice, colours in self._options(thing.name, background)
        )
        return replace(thing, colour=colour) if fits else thing

    def _check_habits(self) -> None:
        for name, colour in self.recipe.habits.usual_colours.items():
            if name not in self.names or colour not in self.colours:
                what = f"the thing {name!r}" if name not in self.names else f"the colour {colour!r}"
                raise ConfigError(
                    f"habits.usual_colours has {name}: {colour}, but the recipe does not draw {what}"
                )
            if self.is_out(colour_combination(name, colour)):
                raise ConfigError(
                    f"habits.usual_colours has {name}: {colour}, which is kept for evaluation: say another"
                )

    def is_recolourable(self, thing: Thing) -> bool:
        """Whether what shows this thing can be painted in any colour."""
        choices = self._choices.get(thing.name, _SHAPE)
        return any(choice.recolourable for choice in choices if choice.asset == thing.asset)

    def rgb_of(self, thing: Thing) -> RGB:
        """The sRGB value of a thing's main colour: the named one, or the measured one of an asset."""
        fixed = self._rgb.get(thing.asset or thing.name) if thing.kind == "sticker" else None
        if fixed is not None:
            return fixed
        return (0, 0, 0) if thing.colour is None else self.colours[thing.colour]

    def draw_photo(self, draws: Draws) -> BackgroundLook:
        """Draw a background photo and the part of it that is seen."""
        asset = draws.pick(self.photos)
        crop = Crop(draws.unit(), draws.unit(), draws.uniform(*_ZOOM))
        caption = asset.caption
        return BackgroundLook(
            "photo", PHOTO, asset.rgb, asset.rgb, asset=asset.id, crop=crop, caption=caption
        )

    def _drawable(self, name: str, background: str) -> bool:
        return any(
            colours or not (choice.recolourable or choice.colour)
            for choice, colours in self._options(name, background)
        )

    def _ways_to_show(
        self, name: str, background: str | Iterable[str], barred: set[str], named: bool
    ) -> list[tuple[_Choice, list[str]]]:
        """Those options of which something is left without the barred colours."""
        key = (name, background, named) if isinstance(background, str) and not barred else None
        if key is not None and key in self._ways:
            return self._ways[key]
        ways = []
        for choice, colours in self._options(name, background):
            if barred:
                colours = [colour for colour in colours if not barred & set(colour_words(colour))]
            if colours or not (choice.recolourable or named or choice.colour is not None):
                ways.append((choice, colours))
        if key is not None:
            self._ways[key] = ways
        return ways

    def _options(
        self, name: str, background: str | Iterable[str], *, out: bool = False
    ) -> list[tuple[_Choice, list[str]]]:
        """Every way to show a name with the colours that it may have there."""
        if isinstance(background, str):
            return self._options_on(name, background, out)
        first, *rest = dict.fromkeys(background)
        options = self._options_on(name, first, out)
        for other in rest:
            there = dict(self._options_on(name, other, out))
            options = [
                (choice, [colour for colour in colours if colour in there[choice]])
                for choice, colours in options
                if choice in there
            ]
        return options

    def _options_on(self, name: str, background: str, out: bool) -> list[tuple[_Choice, list[str]]]:
        key = (name, background, out)
        if key not in self._things:
            self._things[key] = [
                (choice, colours)
                for choice in self._choices.get(name, _SHAPE)
                if (colours := self._colours_on(name, choice, background, out)) is not None
            ]
        return self._things[key]

    def _colours_on(self, name: str, choice: _Choice, background: str, out: bool) -> list[str] | None:
        """Names of the colours of one choice; none for a colour without a name, None if it cannot show."""
        if choice.recolourable:
            visible = self._visible[background]
            return [c for c in visible if self.is_out(colour_combination(name, c)) == out]
        ground = self.backgrounds.get(background)
        if choice.rgb and ground and float(delta_e(choice.rgb, ground)) < self.recipe.min_contrast:
            return None
        if choice.colour is None:
            return None if out else []
        return [choice.colour] if self.is_out(colour_combination(name, choice.colour)) == out else None


_SHAPE = (_Choice("", True, None, None),)


def _of_split(assets: Sequence[AssetInfo], split: Split) -> list[AssetInfo]:
    """Assets of a split: all of training, or for evaluation its own and what only training has."""
    if split == "train":
        return [asset for asset in assets if asset.split == "train"]
    kept = {_role(asset) for asset in assets if asset.split == "held_out"}
    return [asset for asset in assets if asset.split == "held_out" or _role(asset) not in kept]


def _role(asset: AssetInfo) -> tuple[str, str]:
    """What an asset can stand for: things by name, while any background does for another."""
    return ("thing", asset.name) if asset.kind in THING_KINDS else (asset.kind, "")


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

"""`dreamomni data gallery`: one sample of every kind, a row for each family."""

import argparse
from pathlib import Path
from typing import Any

from dreamomni.cli.arguments import add_overrides, positive_int


def add_parser(actions: Any) -> None:
    """Add the action."""
    gallery = actions.add_parser(
        "gallery",
        help="Draw one sample of every kind as one picture.",
        description="Draw one sample of every kind that the recipe's mixture has, inputs and target with the "
        "instruction below, a row for each family of tasks. A name that ends in .jpg gives a JPEG.",
        epilog="example: dreamomni data gallery dreamomni --out tasks.png --set size=256x256",
    )
    gallery.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped recipe")
    gallery.add_argument("--out", required=True, type=Path, metavar="FILE", help="a .png or .jpg file")
    gallery.add_argument("--seed", type=int, default=0, metavar="N")
    gallery.add_argument(
        "--index",
        action="append",
        default=[],
        metavar="KIND=N",
        help="show sample N of a kind (default: one that can be drawn)",
    )
    gallery.add_argument(
        "--cell",
        type=positive_int,
        default=176,
        metavar="PX",
        help="longest side of a picture (default: 176)",
    )
    gallery.add_argument(
        "--width", type=positive_int, default=1600, metavar="PX", help="width of the gallery (default: 1600)"
    )
    add_overrides(gallery, "size=256x256")
    gallery.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the samples and write the picture."""
    from dreamomni.config import load_recipe
    from dreamomni.data.annotators import load_annotators
    from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
    from dreamomni.data.collage.recipe import CollageRecipe
    from dreamomni.data.sheet import ROWS, gallery
    from dreamomni.errors import OutputError
    from dreamomni.storage import atomic_path

    jpeg = args.out.suffix.lower() in (".jpg", ".jpeg")
    if not jpeg and args.out.suffix.lower() != ".png":
        raise OutputError(f"cannot write {args.out}: name a .png or a .jpg file")
    recipe = load_recipe(args.recipe, CollageRecipe, args.overrides)
    engine = CollageEngine(recipe, annotators=load_annotators(recipe))
    indices = _indices(args.index)
    samples = {}
    # Each kind begins at another sample: one index has one background, whatever the kind.
    for number, kind in enumerate(kind for kinds in ROWS.values() for kind in kinds):
        if not recipe.mixture.get(kind, 0) > 0:  # type: ignore[call-overload]
            continue
        for index in [indices[kind]] if kind in indices else range(number, number + 8):
            try:
                samples[kind] = engine.sample(args.seed, index, kind)
                break
            except RejectedSampleError as error:
                print(f"dreamomni: {error}")
    picture = gallery(samples, cell_px=args.cell, width_px=args.width)
    with atomic_path(args.out) as part:
        if jpeg:
            picture.save(part, quality=82, subsampling=0, optimize=True)
        else:
            # Flat drawings need no more than 256 colours, and are a third of the size.
            picture.quantize(256).save(part, optimize=True)
    print(args.out)
    return 0


def _indices(words: list[str]) -> dict[str, int]:
    from dreamomni.data.collage.engine import KINDS
    from dreamomni.errors import ConfigError

    found = {}
    for word in words:
        kind, _, number = word.partition("=")
        if kind not in KINDS or not number.isdigit():
            raise ConfigError(f"--index {word!r} is not KIND=N; the kinds are {', '.join(KINDS)}")
        found[kind] = int(number)
    return found

"""`dreamomni data assets`: libraries of a user's own pictures, built, listed, checked and credited."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamomni.cli.arguments import positive_int

if TYPE_CHECKING:
    from dreamomni.data.collage.assets.candidate import Source

_KINDS = ("sticker", "cutout", "background", "font", "coco", "lvis", "open-images", "icons")
_SHEET_MOST = 200


def add_parser(actions: Any) -> None:
    """Add the action and what it does."""
    assets = actions.add_parser(
        "assets",
        help="Build a library of your own pictures for collages, and look into one.",
        description=(
            "Build libraries from folders of stickers, cut-outs, backgrounds and fonts, from annotated "
            "photographs and from icon sets; a recipe names them as `assets`."
        ),
    )
    verbs = assets.add_subparsers(metavar="DO", required=True, title="what to do")
    _add_build(verbs)
    _add_list(verbs)
    check = verbs.add_parser("check", help="Read a whole library and find damage.")
    check.add_argument("library", metavar="LIBRARY", type=Path)
    check.add_argument("--quiet", action="store_true", help="no progress bar")
    check.set_defaults(run=run_check)
    credit = verbs.add_parser(
        "attribution", help="List whom the pictures of a library or a data set belong to."
    )
    credit.add_argument("path", metavar="LIBRARY|DATASET", type=Path)
    credit.add_argument(
        "--library",
        dest="libraries",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a library that the data set was drawn from (shards know theirs)",
    )
    credit.add_argument("--json", action="store_true", help="as JSON, one record per asset")
    credit.set_defaults(run=run_attribution)


def _add_build(verbs: Any) -> None:
    build = verbs.add_parser(
        "build",
        help="Build a library.",
        description="Pack pictures into one file that any number of workers can draw from.",
        epilog="example: dreamomni data assets build stickers/ --out mine.assets --licence CC0-1.0",
    )
    build.add_argument("sources", metavar="SOURCE", nargs="+", type=Path, help="a folder or a JSON file")
    build.add_argument(
        "--out", required=True, metavar="FILE|DIR", help="the library; in a folder it is NAME.assets"
    )
    build.add_argument("--kind", choices=_KINDS, default=None, help="what the sources are (default: look)")
    build.add_argument(
        "--name", default=None, help="begins the ids of its assets (default: that of the file)"
    )
    build.add_argument(
        "--licence", default="", metavar="SPDX", help="of pictures that say nothing themselves"
    )
    build.add_argument("--attribution", default="", metavar="TEXT", help="whom to name for them")
    build.add_argument(
        "--only-licence",
        dest="allowed",
        action="append",
        default=[],
        metavar="SPDX",
        help="leave out pictures of any other licence; may be given several times",
    )
    build.add_argument("--images", type=Path, default=None, metavar="DIR", help="photographs of annotations")
    build.add_argument("--names", default="", metavar="A,B", help="icons to take")
    build.add_argument("--categories", default="", metavar="A,B", help="categories of icons to take")
    build.add_argument(
        "--max-size", type=positive_int, default=512, metavar="PX", help="of things (default: 512)"
    )
    build.add_argument(
        "--max-background-size", type=positive_int, default=1024, metavar="PX", help="(default: 1024)"
    )
    build.add_argument(
        "--min-size",
        type=positive_int,
        default=None,
        metavar="PX",
        help="leave out smaller things (default: 32, and 64 for annotations)",
    )
    build.add_argument("--truncated", action="store_true", help="take instances that the edge cuts off")
    build.add_argument(
        "--held-out", type=float, default=0.1, metavar="X", help="part kept for evaluation (default: 0.1)"
    )
    build.add_argument(
        "--skip-damaged", action="store_true", help="count broken pictures, do not stop at them"
    )
    build.add_argument("--quiet", action="store_true", help="no progress bar")
    build.set_defaults(run=run_build)


def _add_list(verbs: Any) -> None:
    listing = verbs.add_parser("list", help="List what a library holds.")
    listing.add_argument("library", metavar="LIBRARY", type=Path)
    listing.add_argument("--kind", choices=_KINDS[:4], default=None, help="only these")
    listing.add_argument("--json", action="store_true", help="as JSON, one record per asset")
    listing.add_argument("--sheet", type=Path, default=None, metavar="PNG", help="draw them into a picture")
    listing.add_argument(
        "--first", type=positive_int, default=_SHEET_MOST, metavar="N", help="so many in the picture (200)"
    )
    listing.set_defaults(run=run_list)


def run_build(args: argparse.Namespace) -> int:
    """Build a library and say what is in it."""
    from dreamomni.data.collage.assets.build import BuildOptions, build_library
    from dreamomni.data.collage.assets.format import SUFFIX
    from dreamomni.data.collage.assets.licences import Rights, check_licence
    from dreamomni.data.collage.assets.sources.annotations import InstanceFilter
    from dreamomni.data.collage.assets.sources.find import SourceOptions, find_sources

    out = Path(args.out)
    is_folder = out.is_dir() or args.out.endswith(("/", "\\"))
    name = args.name or (args.sources[0].resolve().stem if is_folder else out.stem)
    path = out / f"{name}{SUFFIX}" if is_folder else out
    licence = check_licence(args.licence, "--licence") if args.licence else ""
    small = {} if args.min_size is None else {"min_px": args.min_size}
    options = BuildOptions(
        held_out=args.held_out,
        max_px=args.max_size,
        max_background_px=args.max_background_size,
        allowed=frozenset(check_licence(text, "--only-licence") for text in args.allowed),
        skip_damaged=args.skip_damaged,
        **small,
    )
    sources = find_sources(
        args.sources,
        SourceOptions(
            kind=args.kind,
            rights=Rights(licence, args.attribution),
            images=args.images,
            names=_listed(args.names),
            categories=_listed(args.categories),
            instances=InstanceFilter(truncated=args.truncated, **small),
            raster_px=args.max_size,
        ),
    )
    with _Bar("building", _total(sources), args.quiet) as bar:
        report = build_library(sources, path, name, options, advance=bar.advance)
    kinds = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(report.kinds.items()))
    print(f"{path}: {kinds}; {report.splits['held_out']} of them held out for evaluation")
    for reason, count in sorted(report.skipped.items()):
        print(f"left out, {reason}: {count}")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """List the assets of a library, and draw them if asked."""
    from dreamomni.data.collage.assets import AssetLibrary
    from dreamomni.data.collage.assets.sheet import asset_sheet
    from dreamomni.tasks.images import save_png

    library = AssetLibrary.open(args.library)
    infos = [info for info in library.assets() if args.kind in (None, info.kind)]
    if args.sheet is not None:
        save_png(asset_sheet(library, infos[: args.first]), args.sheet, {})
        print(args.sheet)
        return 0
    for info in infos:
        if args.json:
            print(json.dumps({**asdict(info), "id": f"{library.name}:{info.id}"}))
            continue
        colour = "any colour" if info.recolourable else (info.colour or "-")
        size = f"{info.width}x{info.height}" if info.width else "-"
        print(
            f"{library.name}:{info.id}  {info.name}  {info.kind}  {colour}  {size}  "
            f"{info.licence}  {info.split}"
        )
    if not args.json:
        print(f"{len(infos)} assets, digest {library.digest[:16]}")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Read a library from end to end."""
    from dreamomni.data.collage.assets import AssetLibrary
    from dreamomni.errors import DataError

    library = AssetLibrary.open(args.library)
    damaged = []
    with _Bar("checking", len(library.assets()), args.quiet) as bar:
        for asset_id, is_damaged in library.damaged():
            damaged += [asset_id] if is_damaged else []
            bar.advance()
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise DataError(f"{args.library} is damaged at {damaged[0]!r}{more}; build or copy it again")
    print(f"{args.library}: {len(library.assets())} assets, all as they were built")
    return 0


def run_attribution(args: argparse.Namespace) -> int:
    """Print the attribution list of a library or a data set."""
    from dreamomni.data.attribution import dataset_credits, format_credits, library_credits
    from dreamomni.data.collage.assets import AssetLibrary

    if args.path.is_dir():
        credits = dataset_credits(args.path, [AssetLibrary.open(path) for path in args.libraries])
    else:
        credits = library_credits(AssetLibrary.open(args.path))
    if args.json:
        for credit in credits:
            print(json.dumps(asdict(credit)))
    else:
        print(format_credits(credits))
    return 0


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _total(sources: "list[Source]") -> int:
    return sum(len(source) for source in sources)


class _Bar:
    """A progress bar on stderr, gone when the work is done."""

    def __init__(self, what: str, total: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet,
        )
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        self._progress.advance(self._task)

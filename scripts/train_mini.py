"""Train `mini` within a time: autoencoder, VLM and network, then one folder that `dreamomni` runs.

    python scripts/train_mini.py --minutes 25 --size 128      on a GPU
    python scripts/train_mini.py --minutes 120 --size 64      on a laptop

Every stage gets a share of all the time spent so far and now, so a second call goes on where the first one
stopped: the VLM and the network learn on; the autoencoder is fixed once the network has begun, because the
network lives on its latents, and only its decoder learns on.
"""

import argparse
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamomni import runtime, storage
from dreamomni.config import load_recipe
from dreamomni.errors import ConfigError, DreamOmniError
from dreamomni.training.budget import train_for
from dreamomni.training.config import TrainRecipe
from dreamomni.training.run import build_task, standard_hooks

LEDGER = "ledger.json"
_LARGE = "mini-v1-large"
_WIDE = "{width: 192, num_heads: 6, conv_width: 64}"
_LEAST_SECONDS = 20.0
"""A stage that would get less is left out of this call."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One training run of several.

    Attributes:
        name: Folder of the run.
        recipe: Name of its recipe.
        share: Share of the whole time.
        overrides: Changes of the recipe; `{runs}` is the folder of all runs.
        fixed_by: The stage that this one must not move under, once that has begun.
    """

    name: str
    recipe: str
    share: float
    overrides: tuple[str, ...] = ()
    fixed_by: str | None = None


def stages_of(size: int, gpu: bool = False) -> tuple[Stage, ...]:
    """The stages of `mini`, in order; the shares add up to 1.

    Args:
        size: Side of the pictures.
        gpu: Whether there is a GPU to fill: a network of 8.5 million parameters, larger batches, all cores
            drawing.
    """
    cores = max(1, (os.cpu_count() or 2) - 2)
    vae = [] if size == 64 else [f"task.data={_LARGE}"]
    vlm = list(vae)
    dit = [
        "task.init_from=null",
        "task.export_autoencoder=null",
        "task.autoencoder={runs}/vae/export",
        "task.text_encoder={runs}/vlm/export",
    ]
    if gpu:
        vae += ["training.batch_size=64", f"training.num_workers={cores}"]
        vlm += ["training.batch_size=128", f"training.num_workers={cores}"]
        dit += ["training.batch_size=256", f"training.num_workers={cores}", f"task.model={_WIDE}"]
    else:
        vae += ["task.block_out_channels=[8, 8, 32, 64]", "task.norm_num_groups=2"]
    start, last = ["task.init_from=null"], ["task.init_from={runs}/vae/export", "task.freeze_encoder=true"]
    return (
        Stage("vae", "mini-v1-vae", 0.2, (*vae, *start), fixed_by="dit"),
        Stage("vlm", "mini-v1-vlm", 0.12, tuple(vlm), fixed_by="dit"),
        Stage("dit", f"mini-v1-{size}", 0.6, tuple(dit)),
        Stage("decoder", "mini-v1-vae", 0.08, (*vae, *last)),
    )


def seconds_for(stages: Sequence[Stage], spent: dict[str, float], seconds: float) -> dict[str, float]:
    """Share out the time of this call: every stage moves towards its share of all time, old and new.

    Args:
        stages: In order.
        spent: Seconds each has had.
        seconds: Of this call.

    Returns:
        Seconds for each stage; they add up to `seconds`. A fixed stage gets none.
    """
    total = seconds + sum(spent.values())
    free = [stage for stage in stages if stage.fixed_by is None or not spent.get(stage.fixed_by)]
    wanted = {stage.name: max(0.0, stage.share * total - spent.get(stage.name, 0.0)) for stage in free}
    if not sum(wanted.values()):  # those that are free have had more than their share of all the time
        wanted = {stage.name: stage.share for stage in free}
    scale = seconds / sum(wanted.values())
    return {stage.name: wanted.get(stage.name, 0.0) * scale for stage in stages}


def train_mini(runs: Path, size: int, seconds: float, out: Path, *, overrides: Sequence[str] = ()) -> int:
    """Train all stages and write the model folder; returns an exit code (130 after Ctrl-C)."""
    stages = stages_of(size, gpu=runtime.pick_device(None).type == "cuda")
    spent = _read_ledger(runs)
    plan = seconds_for(stages, spent, seconds)
    for stage in stages:
        given = plan[stage.name]
        began = time.monotonic()
        if given < _LEAST_SECONDS and (runs / stage.name / "export").is_dir():
            continue
        before = spent.get(stage.name, 0.0)
        print(f"{stage.name}: {given / 60:.1f} min, {before / 60:.1f} min before", flush=True)
        recipe = load_recipe(stage.recipe, TrainRecipe, _changes(stage, runs, overrides))
        outcome = train_for(
            recipe, build_task, runs / stage.name, max(given, _LEAST_SECONDS), make_hooks=standard_hooks
        )
        spent[stage.name] = before + time.monotonic() - began
        storage.write_json(runs / LEDGER, spent)
        if not outcome.trained.finished:
            return outcome.trained.exit_code or 1
        rate = outcome.steps_per_second * recipe.training.batch_size
        print(f"{stage.name}: {outcome.trained.step} steps, {rate:.0f} samples/s", flush=True)
    assemble(runs, out)
    print(out)
    return 0


def _changes(stage: Stage, runs: Path, overrides: Sequence[str]) -> list[str]:
    """Changes of a stage's recipe: its own, those for every stage, those for this one."""
    own = [change.replace("{runs}", str(runs)) for change in stage.overrides]
    everywhere = [change for change in overrides if change.startswith("training.")]
    prefix = f"{stage.name}."
    return (
        own + everywhere + [change.removeprefix(prefix) for change in overrides if change.startswith(prefix)]
    )


def assemble(runs: Path, out: Path) -> None:
    """Put the network's export and the last decoder together; `out` appears whole."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(runs / "dit" / "export", part)
    decoder = runs / "decoder" / "export"
    if decoder.is_dir():
        shutil.rmtree(part / "vae")
        shutil.copytree(decoder, part / "vae")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def _read_ledger(runs: Path) -> dict[str, float]:
    path = runs / LEDGER
    if not path.exists():
        return {}
    try:
        return {str(name): float(value) for name, value in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"{path} is damaged: delete it, and the time spent so far counts as none") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="time for everything, on this machine")
    parser.add_argument("--size", type=int, choices=(64, 128), default=64, help="side of the pictures")
    parser.add_argument("--runs", type=Path, default=None, metavar="DIR", help="default: runs/mini-v1-<size>")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="default: <runs>/model")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="training.KEY changes every stage, vae.KEY, vlm.KEY, dit.KEY and decoder.KEY one",
    )
    args = parser.parse_args(arguments)
    if not args.minutes > 0:
        parser.error(f"--minutes {args.minutes:g} leaves no time: give more than 0")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    runs = args.runs or Path("runs") / f"mini-v1-{args.size}"
    try:
        return train_mini(
            runs, args.size, 60 * args.minutes, args.out or runs / "model", overrides=args.overrides
        )
    except DreamOmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

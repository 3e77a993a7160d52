# ruff: noqa: T201
"""Kill a trainer at random instants, and see that every resumed run ends as the unbroken one.

    python benchmarks/kill_train.py [--kills 120] [--json FILE]

A small network is trained in a run folder, with a checkpoint after every second step, and killed (SIGKILL)
after a random time. Then the newest checkpoint must be whole, not older than one that was seen before, and
equal in every byte to that of an unbroken run after the same step. The next run resumes, and is killed too;
one that gets to its end is compared as a whole, and the folder begun anew. Two kills of four hit a run of one
process with a data worker, one hits both processes of a DDP run at once, and one hits a single process of an
FSDP run. The other must then end by itself, unless they have not met yet: that wait is the launcher's to end.
Exit code 1 when anything differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer step loads it, which takes a second in every process
from PIL import Image
from rich.progress import track
from torch import Tensor, nn

from dreamomni.errors import DreamOmniError
from dreamomni.training import checkpoint
from dreamomni.training.config import AutoencoderTaskConfig, TrainingConfig, TrainRecipe
from dreamomni.training.task import WHOLE, Part, StepOutput
from dreamomni.training.trainer import CHECKPOINTS, train

NUM_STEPS = 24
_WIDTH = 96
_PATIENCE_SECONDS = 90.0
_RUN_SECONDS = 900.0
"""A whole run takes one or two, on a machine that does nothing else."""
_MET = "met"
"""File in the run folder: its processes have found each other."""
LAYOUTS: dict[str, dict[str, Any]] = {
    "one": {"num_workers": 1},
    "ddp": {"parallel": "ddp", "num_workers": 0},
    "fsdp": {"parallel": "fsdp", "num_workers": 0},
}
_PROCESSES = {"one": 1, "ddp": 2, "fsdp": 2}
_TURNS = ("one", "ddp", "one", "fsdp")


class BrokenRunError(Exception):
    """A checkpoint is missing, half-made or differs, or a resumed run ended elsewhere."""


class _Layers(nn.Module):
    """Some layers with dropout, whose checkpoints take a moment to write."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(_WIDTH, _WIDTH) for _ in range(4)])
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + nn.functional.silu(block(self.dropout(x)))
        return x


class LayersTask:
    """Give back a noisy vector mirrored."""

    def __init__(self, training: TrainingConfig) -> None:
        self.training = training

    def prepare(self, run_dir: Path) -> None:
        """Make the network; by now the processes have met."""
        (run_dir / _MET).touch()
        self.net = _Layers()

    def modules(self) -> dict[str, nn.Module]:
        """The network."""
        return {"net": self.net}

    def blocks(self) -> list[nn.Module]:
        """Its layers."""
        return list(self.net.blocks)

    def batch(self, step: int, part: Part = WHOLE) -> dict[str, Any]:
        """Vectors."""
        rows = part.rows(self.training.batch_size)
        draws = torch.Generator().manual_seed(step)
        vectors = torch.randn(self.training.batch_size, _WIDTH, generator=draws)
        return {"vectors": vectors[rows.start : rows.stop], "part": part}

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> StepOutput:
        """Mean squared error."""
        vectors = batch["vectors"]
        noisy = vectors + 0.1 * batch["part"].randn(vectors.shape, generator)
        return StepOutput((self.net(noisy) - vectors.flip(-1)).square().mean())

    def sample_grid(self, step: int) -> Image.Image | None:
        """Nothing to see."""
        return None

    def export(self, folder: Path) -> None:
        """A number that depends on every average."""
        total = sum(parameter.double().sum().item() for parameter in self.net.parameters())
        (folder / "sum.txt").write_text(f"{total!r}\n")


def make_recipe(layout: str, keep: int) -> TrainRecipe:
    """A run of two dozen steps that takes about a second."""
    settings = {
        "max_steps": NUM_STEPS,
        "batch_size": 4,
        "warmup_steps": 2,
        "precision": "fp32",
        "device": "cpu",
    }
    settings |= {"num_threads": 1, "checkpoint_every": 2, "sample_every": NUM_STEPS, "keep_checkpoints": keep}
    training = TrainingConfig(**{**settings, **LAYOUTS[layout]})
    return TrainRecipe(name="kill", task=AutoencoderTaskConfig(), training=training)


class Killer:
    """Starts, kills and checks.

    Args:
        place: An empty folder for the runs.
        layouts: Which of `LAYOUTS` to use.
        seed: Of the instants.
    """

    def __init__(self, place: Path, layouts: Iterable[str] = LAYOUTS, seed: int = 0) -> None:
        torch.set_num_threads(1)  # a pool of threads does not survive a fork
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._place = place
        self._longest: dict[str, float] = {}
        self._seen: Counter[str] = Counter()
        for layout in layouts:
            began = time.monotonic()
            self._end(layout, _start(layout, place / f"{layout}-whole", keep=NUM_STEPS), "the unbroken run")
            self._longest[layout] = time.monotonic() - began

    def kill(self, layout: str) -> None:
        """Start or resume, kill after a random time, and check.

        Raises:
            BrokenRunError: What must not be, is.
        """
        pids = _start(layout, self._place / layout, keep=2)
        delay = self._random.random() * self._longest[layout]
        victims = [self._random.choice(pids)] if layout == "fsdp" else pids
        time.sleep(delay)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        codes = _codes(pids, _PATIENCE_SECONDS)
        if not codes:
            if (self._place / layout / _MET).exists():
                raise BrokenRunError(
                    f"{layout}: a process hangs, {_PATIENCE_SECONDS:.0f} s after the other's end"
                )
            self.counts["the other still waited to meet it"] += 1
        if codes and all(code == 0 for code in codes.values()):
            self.counts["ended before the kill"] += 1
            return self.finish(layout)
        if any(code not in (0, 2, -signal.SIGKILL) for code in codes.values()):
            raise BrokenRunError(f"{layout}: a process ended with code {sorted(codes.values())}")
        self.counts["kills"] += 1
        self.counts[f"kills of {layout}"] += 1
        return self.check(layout)

    def check(self, layout: str) -> None:
        """Compare the newest checkpoint with that of the unbroken run."""
        folder = self._place / layout / CHECKPOINTS
        self.counts["left a half-written checkpoint"] += any(folder.glob(".step-*.part"))
        self.counts["left one that was being removed"] += any(folder.glob(".step-*.old"))
        try:
            found = checkpoint.load_latest(folder)
        except DreamOmniError as error:
            raise BrokenRunError(f"{layout}: {error}") from error
        if found is None:
            self.counts["killed before the first checkpoint"] += 1
        step = found.step if found is not None else 0
        newest = checkpoint.find(folder)[:1]
        if newest and not newest[0].name.endswith(f"{step:08d}"):
            raise BrokenRunError(f"{layout}: {newest[0].name} has its name, but is not whole")
        if step < self._seen[layout]:
            raise BrokenRunError(
                f"{layout}: step {self._seen[layout]} was saved, and now the newest is {step}"
            )
        self._seen[layout] = step
        if found is not None:
            self._compare(layout, newest[0])

    def finish(self, layout: str) -> None:
        """Resume to the end, compare, and clear the folder away."""
        run_dir = self._place / layout
        self._end(layout, _start(layout, run_dir, keep=2), "a resumed run")
        for path in checkpoint.find(run_dir / CHECKPOINTS):
            self._compare(layout, path)
        ours, whole = (folder / "export" / "sum.txt" for folder in (run_dir, self._place / f"{layout}-whole"))
        if ours.read_text() != whole.read_text():
            raise BrokenRunError(f"{layout}: the export of a resumed run differs")
        self.counts["runs that ended as the unbroken one"] += 1
        self._seen[layout] = 0
        shutil.rmtree(run_dir)

    def _end(self, layout: str, pids: list[int], what: str) -> None:
        codes = list(_codes(pids, _RUN_SECONDS).values())
        if not codes or any(codes):
            raise BrokenRunError(f"{layout}: {what} ended with code {codes}")

    def _compare(self, layout: str, ours: Path) -> None:
        whole = self._place / f"{layout}-whole" / CHECKPOINTS / ours.name
        names = {path.name for path in whole.glob("*.safetensors")}
        if names != {path.name for path in ours.glob("*.safetensors")}:
            raise BrokenRunError(f"{ours} has other files than the unbroken run")
        for name in sorted(names):
            if (ours / name).read_bytes() != (whole / name).read_bytes():
                raise BrokenRunError(f"{ours / name} differs from that of the unbroken run")
        self.counts["checkpoints compared"] += 1


def _start(layout: str, run_dir: Path, keep: int) -> list[int]:
    """Start the processes of a run, as a launcher would; forking spares the imports."""
    recipe, size = make_recipe(layout, keep), _PROCESSES[layout]
    (run_dir / _MET).unlink(missing_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def work(rank: int) -> None:
        if size > 1:
            numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
            os.environ.update({name: str(number) for name, number in numbers.items()})
            os.environ["MASTER_ADDR"] = "127.0.0.1"
        train(recipe, LayersTask(recipe.training), run_dir, resume=True)

    return [_fork(lambda rank=rank: work(rank)) for rank in range(size)]


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        for descriptor in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        work()
        code = 0
    except DreamOmniError as error:
        code = error.exit_code
    finally:
        os._exit(code)


def _codes(pids: list[int], patience_seconds: float) -> dict[int, int]:
    """Exit codes, once every process has ended and so have its data workers; none if one had to be killed."""
    codes: dict[int, int] = {}
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        for pid in pids:
            if pid not in codes and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                codes[pid] = os.waitstatus_to_exitcode(ended[1])
        if len(codes) == len(pids) and not any(_runs(pid) for pid in pids):
            return codes
        time.sleep(0.005)
    for pid in pids:
        if _runs(pid):
            os.killpg(pid, signal.SIGKILL)
        if pid not in codes:
            os.waitpid(pid, 0)
    return {}


def _runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> int:
    """Kill as often as asked and print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        try:
            killer = Killer(Path(place), seed=args.seed)
            for number in track(range(args.kills), "kill and resume"):
                while killer.counts["kills"] <= number:
                    killer.kill(_TURNS[number % len(_TURNS)])
            for layout in LAYOUTS:
                killer.finish(layout)
        except BrokenRunError as wrong:
            print(f"wrong: {wrong}")
            return 1
    for name, count in killer.counts.items():
        print(f"{count:6d} {name}")
    if args.json is not None:
        args.json.write_text(json.dumps(dict(killer.counts), indent=2) + "\n")
    print("every checkpoint was whole, and every resumed run ended as the unbroken one")
    return 0


if __name__ == "__main__":
    sys.exit(main())

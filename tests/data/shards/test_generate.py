import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.shards import claims, writer
from dreamomni.data.shards.generate import ShardRange, generate
from dreamomni.data.shards.job import ShardJob, read_dataset
from dreamomni.data.shards.reader import ShardFolder
from dreamomni.errors import ConfigError, DataError, OutputError

RECIPE = load_recipe("mini-world", CollageRecipe)
# Two things that seldom fit at the first attempt.
CROWDED = load_recipe(
    "mini-world",
    CollageRecipe,
    ["object_sizes={1: [0.5, 0.5], 2: [0.4, 0.7]}", "mixture={single: 1, two: 1}"],
)


def job(folder: Path, **changes: Any) -> ShardJob:
    return replace(ShardJob(RECIPE, folder, num_samples=20, shard_size=6), **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of the data set, as one uninterrupted process makes it."""
    folder = tmp_path_factory.mktemp("shards") / "whole"
    generate(job(folder))
    return contents(folder)


def test_what_is_made(whole: dict[str, bytes]) -> None:
    assert {name for name in whole if name.startswith("stats/")} == {f"stats/0000{n}.json" for n in range(4)}
    assert "dataset.json" in whole
    assert {"edit/00000.tar", "edit/00000.parquet", "text_to_image/00003.tar"} <= whole.keys()
    assert not any(name.startswith(".") for name in whole)
    stats = json.loads(whole["stats/00003.json"])
    assert stats["indices"] == [18, 20]
    assert stats["num_samples"] == 2
    assert stats["files"].keys() == {name for name in whole if "/00003." in name and "stats" not in name}
    dataset = json.loads(whole["dataset.json"])
    assert dataset["licences"] == ["Apache-2.0", *sorted(set(dataset["licences"]) - {"Apache-2.0"})]
    assert {"id", "name", "kind", "licence"} <= dataset["assets"][0].keys()
    assert dataset["recipe"] == RECIPE.model_dump(mode="json")


@pytest.mark.parametrize("num_workers", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_workers_make_the_same_bytes(whole: dict[str, bytes], tmp_path: Path, num_workers: int) -> None:
    done = []
    summary = generate(
        job(tmp_path / "a"), num_workers=num_workers, report=lambda samples, _: done.append(samples)
    )
    assert contents(tmp_path / "a") == whole
    assert sum(done) == summary.num_samples == 20


def test_parts_of_a_cluster_make_the_same_bytes(whole: dict[str, bytes], tmp_path: Path) -> None:
    for part in (2, 0, 1):
        generate(job(tmp_path), shard_range=ShardRange(part, 3))
    assert contents(tmp_path) == whole
    assert ShardRange.parse("0/1").shards(4) == range(4)
    for text in ("4/4", "1/0", "a/b", "1", "-1/2", "1/2/3"):
        with pytest.raises(ConfigError, match="shard range"):
            ShardRange.parse(text)


def test_two_at_once_on_one_folder_share_the_work(whole: dict[str, bytes], tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            generate(job(tmp_path))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert contents(tmp_path) == whole


def test_what_is_finished_is_not_made_again(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(job(tmp_path))
    (tmp_path / "stats/00001.json").unlink()
    os.truncate(tmp_path / "edit/00002.tar", 100)
    drawn = []
    draw = CollageEngine.sample
    monkeypatch.setattr(CollageEngine, "sample", lambda *args: drawn.append(args[2]) or draw(*args))
    done = []
    generate(job(tmp_path), report=lambda samples, _: done.append(samples))
    assert drawn == list(range(6, 18))
    assert sum(done) == 20
    assert contents(tmp_path) == whole


def test_rejected_samples_are_counted_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamomni.data.collage.engine._ATTEMPTS", 1)
    rejected: Counter[str] = Counter()
    summary = generate(job(tmp_path, recipe=CROWDED), report=lambda _, refused: rejected.update(refused))
    folder = ShardFolder(tmp_path)
    indices = {sample.index for sample in folder}
    gone = [one for stats in folder.stats for one in stats["rejected_samples"]]
    assert gone
    assert {one["index"] for one in gone} == set(range(20)) - indices
    assert all(one["kind"] == "two" and one["reasons"] == {"no room": 1} for one in gone)
    assert summary.rejected == rejected == {"no room": len(gone)}
    assert summary.num_samples == len(folder) == len(indices) == 20 - len(gone)
    assert writer.main_reason({"b": 2, "a": 2, "c": 1}) == "a"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"another seed \(0, now 1\)"),
        ({"recipe": CROWDED}, "another recipe"),
        ({"split": "held_out"}, r"another split \(train, now held_out\)"),
        ({"image_format": "jpeg"}, r"another image format \(auto, now jpeg\)"),
        ({"num_samples": 21}, r"another number of samples \(20, now 21\)"),
        ({"shard_size": 5}, r"another shard size \(6, now 5\)"),
    ],
)
def test_a_folder_of_another_data_set_is_refused(
    tmp_path: Path, changes: Mapping[str, Any], message: str
) -> None:
    generate(job(tmp_path, num_samples=20), shard_range=ShardRange(3, 4))
    before = contents(tmp_path)
    with pytest.raises(DataError, match=message):
        generate(job(tmp_path, **changes))
    assert contents(tmp_path) == before


def test_a_folder_made_with_other_libraries_is_refused(tmp_path: Path) -> None:
    generate(job(tmp_path), shard_range=ShardRange(3, 4))
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text().replace('"numpy": "', '"numpy": "9.'))
    with pytest.raises(DataError, match=r"other versions of libraries \(.*numpy 9\."):
        generate(job(tmp_path))


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"has files in it but no dataset\.json"):
        generate(job(tmp_path))
    with pytest.raises(OutputError, match="cannot write into"):
        generate(job(tmp_path / "thesis.txt"))
    with pytest.raises(OutputError, match="cannot write into"):
        generate(job(Path("/proc/dreamomni-shards")))
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_impossible_numbers_are_refused(tmp_path: Path) -> None:
    for changes in ({"num_samples": 0}, {"shard_size": 0}):
        with pytest.raises(ConfigError, match="must be at least 1"):
            job(tmp_path, **changes)
    with pytest.raises(ConfigError, match="seed -1 is negative"):
        job(tmp_path, seed=-1)
    with pytest.raises(ConfigError, match="0 workers"):
        generate(job(tmp_path), num_workers=0)
    with pytest.raises(ConfigError, match="no engine 'dask'"):
        generate(job(tmp_path), engine="dask")  # type: ignore[arg-type]
    assert not contents(tmp_path)


@pytest.mark.parametrize("num_bytes", [0, 20_000, 60_000])
def test_a_full_disk_leaves_whole_shards_only(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int
) -> None:
    room = num_bytes
    write = writer._Tar.write

    def write_while_there_is_room(self: Any, content: bytes) -> None:
        nonlocal room
        room -= len(content)
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(writer._Tar, "write", write_while_there_is_room)
        with pytest.raises(OutputError, match=r"cannot write shard \d into .*: no space left on device"):
            generate(job(tmp_path))
    left = contents(tmp_path)
    assert len(left) < len(whole)
    assert left.items() <= whole.items()
    generate(job(tmp_path))
    assert contents(tmp_path) == whole


def test_a_worker_that_dies_is_one_sentence(whole: dict[str, bytes], tmp_path: Path) -> None:
    def kill_one(_done: int, _rejected: Mapping[str, int]) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(DataError, match=r"a data worker died while it made shard \d \(killed by signal 9\)"):
        generate(job(tmp_path), num_workers=2, report=kill_one)
    assert not (tmp_path / claims.WORK_FOLDER).exists()
    generate(job(tmp_path))
    assert contents(tmp_path) == whole


def test_workers_start_without_torch() -> None:
    code = "import sys, dreamomni.data.shards.local; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_workers_import_nothing_of_the_script_that_starts_them(tmp_path: Path) -> None:
    # Without its guard the script would start workers in its workers; and each would be slow to begin.
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from dreamomni.config import load_recipe\n"
        "from dreamomni.data.collage.recipe import CollageRecipe\n"
        "from dreamomni.data.shards.generate import generate\n"
        "from dreamomni.data.shards.job import ShardJob\n"
        "place = Path(__file__).parent\n"
        "with (place / 'runs').open('a') as file:\n"
        "    file.write('x')\n"
        "job = ShardJob(load_recipe('mini-world', CollageRecipe), place / 'out', 4, shard_size=2)\n"
        "generate(job, num_workers=2)\n"
        "print(__file__, __spec__)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (tmp_path / "runs").read_text() == "x"
    assert done.stdout.split() == [str(script), "None"]
    assert {path.name for path in (tmp_path / "out" / "stats").iterdir()} == {"00000.json", "00001.json"}


def test_errors_of_workers_come_through(tmp_path: Path) -> None:
    generate(job(tmp_path), shard_range=ShardRange(0, 4))
    shutil.rmtree(tmp_path / "text_to_image")
    (tmp_path / "text_to_image").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write shard 1 into"):
        generate(job(tmp_path), num_workers=2, shard_range=ShardRange(1, 4))


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no dataset\.json"):
        read_dataset(tmp_path)
    for text in ("{", "[]", "{}"):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(DataError, match="is damaged"):
            read_dataset(tmp_path)


def test_leftovers_of_the_dead_are_cleared_and_the_living_are_left_alone(tmp_path: Path) -> None:
    work = tmp_path / claims.WORK_FOLDER
    (work / "00007").mkdir(parents=True)
    (work / "00007.lock").write_text("")
    (work / "00007" / "edit.tar").write_bytes(b"half")
    with claims.claim(tmp_path, "00003") as place:
        assert place is not None
        (place / "edit.tar").write_bytes(b"mine")
        with claims.claim(tmp_path, "00003") as second:
            assert second is None
        claims.clear_leftovers(tmp_path)
        assert contents(tmp_path) == {".work/00003.lock": b"", ".work/00003/edit.tar": b"mine"}
    claims.clear_leftovers(tmp_path)
    assert not work.exists()

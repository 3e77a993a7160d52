"""The feature cache: the same losses with and without it, kills, other weights, damage, and its format."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_dit import build_parts, build_vlm, prepared

from dreamomni import storage
from dreamomni.errors import CheckpointError, ConfigError, DataError
from dreamomni.runtime import cpu_generator
from dreamomni.training import feature_cache
from dreamomni.training.feature_cache import share_out
from dreamomni.training.rows import LiveFeed
from dreamomni.training.task import Part


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_parts(tmp_path_factory.mktemp("parts"))


def everything(parts: Path, num_samples: int) -> dict[str, object]:
    return {"type": "collage", "recipe": str(parts / "everything.yaml"), "num_samples": num_samples}


@pytest.mark.parametrize("mode", ["frozen", "joint"])
def test_losses_are_the_same_with_and_without_it(parts: Path, tmp_path: Path, mode: str) -> None:
    """Bit by bit, over all tasks, sizes, numbers of images and kinds of dropping, and in any division."""
    settings = {
        "data": everything(parts, 120),
        "text_encoder_mode": mode,
        "like_lengths": False,
        "text_dropout": 0.2,
        "image_dropout": 0.15,
        "both_dropout": 0.15,
    }
    caches = [None, {"moments": True}]
    if mode == "frozen":
        caches += [{"moments": False}]
    tasks = [
        prepared(parts, tmp_path / str(number), feature_cache=cache, **settings)
        for number, cache in enumerate(caches)
    ]
    start = tasks[0].networks.transformer.state_dict()
    for value in start.values():
        value.add_(0.05 * torch.randn_like(value))  # the first velocity is 0 for everybody
    for task in tasks[1:]:
        task.networks.transformer.load_state_dict(start)
    seen = set()
    for step in range(16):
        part = Part(step % 2, 2)
        batches = [task.batch(step, part) for task in tasks]
        expected = tasks[0].loss(batches[0], cpu_generator(step))
        seen.add((len(batches[0].images), batches[0].target.shape))
        for task, batch in zip(tasks[1:], batches[1:], strict=True):
            assert batch.keys == batches[0].keys
            output = task.loss(batch, cpu_generator(step))
            assert torch.equal(output.loss, expected.loss)
            assert output.metrics.keys() == expected.metrics.keys()
    assert len(seen) >= 4


def test_rows_are_those_of_the_samples(parts: Path, tmp_path: Path) -> None:
    task = prepared(
        parts, tmp_path, data=everything(parts, 120), feature_cache={}, text_encoder_mode="frozen"
    )
    cached, live = task.batches.feeds[0], LiveFeed(task.mixture.sets[0])
    assert len(cached) == len(live) == 120
    indices = np.arange(120)
    assert cached.keys(indices) == live.keys(indices)
    counts = set()
    for index in range(0, 120, 11):
        row, expected = cached.row(index), live.row(index)
        assert (row.key, row.task, row.prompt, row.kept) == (
            expected.key,
            expected.task,
            expected.prompt,
            expected.kept,
        )
        assert cached.lengths(np.array([index])) == [len(row.prompt.split())]
        for own, picture in zip(row.pictures, expected.pictures, strict=True):
            assert torch.equal(own, task.networks.frozen.moments(picture[None])[0])
        assert row.features is not None
        assert not row.seen  # pixels are not kept where features are
        counts.add(len(row.pictures) - 1)
        without_words = task.networks.encoder.tokenize_pixels if row.features.num_image_tokens else None
        assert (without_words is None) == (len(row.pictures) == 1)
    assert counts >= {0, 1}


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_killed_build_goes_on_with_the_first_missing_shard(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "_LARGEST_SHARD", 16)
    settings = {"feature_cache": {"num_samples": 160}, "text_encoder_mode": "frozen"}
    whole = prepared(parts, tmp_path / "whole", **settings)
    folder = next((tmp_path / "whole" / "features").iterdir())
    names = sorted(path.name for path in folder.glob("part-*"))
    assert len(names) == 10
    pid = os.fork()
    if pid == 0:
        try:
            prepared(parts, tmp_path / "killed", **settings)
        finally:
            os._exit(99)
    killed = tmp_path / "killed" / "features" / folder.name
    deadline = time.monotonic() + 120
    while len(list(killed.glob("part-*"))) < 3:
        assert time.monotonic() < deadline, "no shard was written in time"
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not (killed / storage.MANIFEST_NAME).exists()
    stood = {path.name: path.stat().st_mtime_ns for path in killed.glob("part-*")}
    assert len(stood) < 10
    prepared(parts, tmp_path / "killed", **settings)
    assert {name: (killed / name).stat().st_mtime_ns for name in stood} == stood
    for name in names:
        ours, theirs = load_file(folder / name), load_file(killed / name)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len(whole.batches.feeds[0]) == 160


def test_the_number_of_workers_changes_nothing(parts: Path, tmp_path: Path) -> None:
    files = []
    for workers in (0, 2):
        prepared(parts, tmp_path / str(workers), training={"num_workers": workers})
        files.append(next((tmp_path / str(workers) / "features").glob("*/part-0-00000.safetensors")))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_runs_share_what_fits_and_rebuild_what_does_not(parts: Path, tmp_path: Path) -> None:
    mine, shared = build_parts(tmp_path / "mine"), str(tmp_path / "shared")
    cache = {"num_samples": 40, "path": shared}
    frozen = {"text_encoder_mode": "frozen"}
    prepared(mine, tmp_path / "one", feature_cache=cache, **frozen)
    once = [path.name for path in Path(shared).iterdir()]
    prepared(
        mine, tmp_path / "two", feature_cache={**cache, "build": False}, model={"variant": "v2"}, **frozen
    )
    assert [path.name for path in Path(shared).iterdir()] == once
    for changes, message in (
        ({"num_samples": 48}, r"1 of 1 shards; .* 40 samples of other data, and these are 48"),
        ({"text": False}, "1 of 1 shards; .* a VLM of hash"),
    ):
        with pytest.raises(CheckpointError, match=message):
            prepared(mine, tmp_path / "x", feature_cache={**cache, **changes, "build": False}, **frozen)
    build_vlm(mine / "vlm", hidden_size=96)
    with pytest.raises(CheckpointError, match=r"features are missing in .*: 1 of 1 shards; .* a VLM of hash"):
        prepared(mine, tmp_path / "three", feature_cache={**cache, "build": False}, **frozen)
    prepared(mine, tmp_path / "four", feature_cache=cache, **frozen)
    assert len(list(Path(shared).iterdir())) == 2


def test_damage_is_found(parts: Path, tmp_path: Path) -> None:
    prepared(parts, tmp_path)
    shard = next((tmp_path / "features").glob("*/part-*"))
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged: its sha256 differs"):
        prepared(parts, tmp_path)
    shard.unlink()
    with pytest.raises(CheckpointError, match="is missing, although the manifest lists it"):
        prepared(parts, tmp_path)


def test_a_sample_without_room_is_counted_and_trains_nothing(
    parts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = tmp_path / "crowded.yaml"
    world.write_text(
        "size: 32x32\nnames: [star, heart]\nmixture: {single: 1, two: 1}\nheld_out: {fraction: 0}\n"
        "object_sizes: {1: [0.5, 0.6], 2: [0.45, 0.66]}\n"
    )
    settings = {"data": {"type": "collage", "recipe": str(world), "num_samples": 64}, "like_lengths": False}
    live = prepared(parts, tmp_path / "live", feature_cache=None, **settings)
    cached = prepared(parts, tmp_path / "cached", feature_cache={}, **settings)
    rows = [live.batches.feeds[0].row(index) for index in range(64)]
    left_out = sum(not row.kept for row in rows)
    assert 0 < left_out < 64
    assert f"features: {left_out} samples were left out" in caplog.text
    weights = []
    for step in range(16):
        one, two = (task.loss(task.batch(step), cpu_generator(step)) for task in (live, cached))
        assert torch.equal(one.loss, two.loss)
        assert one.weight == two.weight
        assert one.metrics.get("left_out", 0) == 4 - one.weight
        weights.append(one.weight)
    assert min(weights) < 4
    assert max(weights) > 0


def test_a_damaged_sample_is_named(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: LiveFeed, index: int) -> None:
        raise DataError(f"train-0-{index:09d} cannot be read")

    monkeypatch.setattr(LiveFeed, "row", broken)
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"^train-0-000000000 cannot be read$"):
            prepared(parts, tmp_path / str(workers), training={"num_workers": workers})


def test_samples_are_shared_out_by_weight() -> None:
    assert share_out(None, [1, 1], [5, 7]) == [5, 7]
    assert share_out(100, [3, 1], [1000, 1000]) == [75, 25]
    assert share_out(100, [3, 1], [1000, 10]) == [75, 10]
    with pytest.raises(ConfigError, match=r"num_samples 3 leaves no sample for part 2"):
        share_out(3, [1000, 1], [50, 50])


def test_the_identity_is_written_beside_the_shards(parts: Path, tmp_path: Path) -> None:
    prepared(parts, tmp_path, text_encoder_mode="frozen")
    folder = next((tmp_path / "features").iterdir())
    identity = json.loads((folder / "identity.json").read_text())
    assert identity["samples"][0]["num_samples"] == 40
    assert set(identity["weights"]) == {"moments", "text"}
    assert storage.verify_manifest(folder)["kind"] == "features"

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine, RejectedSampleError
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.dataset import CollageDataset, CollageStream, to_pixels
from dreamomni.errors import DataError
from dreamomni.tasks.sample import TrainingSample


def keep(batch: list[TrainingSample]) -> list[TrainingSample]:
    return batch


@pytest.fixture(scope="module")
def engine() -> CollageEngine:
    return CollageEngine(load_recipe("mini-world", CollageRecipe))


def test_workers_give_the_items_of_the_engine(engine: CollageEngine) -> None:
    dataset = CollageDataset(engine, seed=3, length=8)
    loaders = [DataLoader(dataset, batch_size=4, num_workers=n, collate_fn=keep) for n in (0, 1)]
    for loader in loaders:
        items = [sample for batch in loader for sample in batch]
        assert [sample.index for sample in items] == list(range(8))
        for sample in items:
            expected = engine.sample(3, sample.index)
            assert sample.instruction == expected.instruction
            assert sample.target.tobytes() == expected.target.tobytes()


def test_a_dataset_ends_and_may_hold_one_kind(engine: CollageEngine) -> None:
    dataset = CollageDataset(engine, seed=0, length=3, kind="add")
    assert [sample.kind for sample in dataset] == ["add"] * 3
    assert len(dataset) == 3
    with pytest.raises(IndexError):
        dataset[3]
    with pytest.raises(DataError, match="-1 samples"):
        CollageDataset(engine, seed=0, length=-1)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_stream_gives_the_same_batches_for_any_number_of_workers(
    engine: CollageEngine, num_workers: int
) -> None:
    stream = CollageStream(engine, seed=3, start=5, stop=16, block=2)
    loader = DataLoader(stream, batch_size=2, num_workers=num_workers, collate_fn=keep)
    batches = [[sample.index for sample in batch] for batch in loader]
    assert batches == [[5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15]]


def test_processes_share_a_stream_and_go_on_where_they_were(engine: CollageEngine) -> None:
    parts = [CollageStream(engine, seed=0, stop=7, block=2, rank=rank, num_ranks=2) for rank in range(2)]
    assert [[sample.index for sample in part] for part in parts] == [[0, 1, 4, 5], [2, 3, 6]]
    endless = iter(CollageStream(engine, seed=0, start=10**9))
    sample = next(endless)
    assert sample.index == 10**9
    assert sample.target.tobytes() == engine.sample(0, 10**9).target.tobytes()
    assert next(endless).index == 10**9 + 1


def test_a_stream_leaves_out_and_counts_what_is_rejected(
    engine: CollageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = CollageEngine.sample

    def sample(self: CollageEngine, seed: int, index: int, kind: str | None = None) -> TrainingSample:
        if index % 2:
            raise RejectedSampleError(seed, index, "two", "64x64", {"no room": 40})
        return draw(self, seed, index, kind)

    monkeypatch.setattr(CollageEngine, "sample", sample)
    stream = CollageStream(engine, seed=0, stop=5)
    assert [sample.index for sample in stream] == [0, 2, 4]
    assert stream.rejected == {"two": 2}


def test_impossible_streams_are_refused(engine: CollageEngine) -> None:
    for numbers in ({"start": -1}, {"start": 3, "stop": 2}):
        with pytest.raises(DataError, match="cannot run from"):
            CollageStream(engine, 0, **numbers)
    for numbers in ({"block": 0}, {"rank": 1}, {"rank": -1, "num_ranks": 2}):
        with pytest.raises(DataError, match="cannot hand out blocks"):
            CollageStream(engine, 0, **numbers)


def test_pixels_span_minus_one_to_one() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1] = (255, 0, 51)
    pixels = to_pixels(image)
    assert pixels.shape == (3, 2, 3)
    assert pixels.dtype == torch.float32
    assert pixels[:, 0, 1].tolist() == pytest.approx([1.0, -1.0, -0.6])
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    back = ((to_pixels(levels) + 1) * 127.5).round().to(torch.uint8)
    assert (back.permute(1, 2, 0).numpy() == levels).all()
    with pytest.raises(DataError, match=r"float64 of shape \(2, 2\)"):
        to_pixels(np.zeros((2, 2)))

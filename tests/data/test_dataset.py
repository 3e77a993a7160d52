import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dreamomni.config import load_recipe
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import CollageRecipe
from dreamomni.data.dataset import CollageDataset, to_pixels
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

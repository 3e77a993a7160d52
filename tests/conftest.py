"""Tests run offline and on one torch thread: results do not depend on the network or the load."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50, database=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read what an earlier run remembered nor leave anything in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder with random weights. Do not write into it: copy it."""
    from tiny_model import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def every_task_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a card that lists all nine tasks and up to three images. Do not write into it."""
    from tiny_model import build_tiny_model

    from dreamomni.tasks.request import REQUESTS

    folder = tmp_path_factory.mktemp("models") / "every-task"
    return build_tiny_model(folder, name="every-task", tasks=tuple(REQUESTS), max_images=3, world="mini-v1")


@pytest.fixture(scope="session")
def tiny_kontext_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DreamOmni2's published layout, and its base, with random weights. Do not write into it: copy it."""
    from tiny_kontext import write_tiny_kontext

    return write_tiny_kontext(tmp_path_factory.mktemp("models") / "tiny-kontext")

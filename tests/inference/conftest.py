import importlib.util
from pathlib import Path

import pytest

from dreamomni import DreamOmniPipeline
from dreamomni.tasks.request import REQUESTS


@pytest.fixture(scope="session")
def every_task_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights whose card lists all nine tasks and up to three images."""
    path = Path(__file__).parents[1] / "support" / "tiny_model.py"
    spec = importlib.util.spec_from_file_location("tiny_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("models") / "every-task"
    card = {"name": "every-task", "tasks": tuple(REQUESTS), "max_images": 3, "world": "mini-v1"}
    return module.build_tiny_model(folder, **card)


@pytest.fixture(scope="session")
def every_task_pipe(every_task_dir: Path) -> DreamOmniPipeline:
    pipe = DreamOmniPipeline.from_pretrained(every_task_dir)
    pipe.set_progress_bar_config(disable=True)
    return pipe

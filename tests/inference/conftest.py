from pathlib import Path

import pytest

from dreamomni import DreamOmniPipeline


@pytest.fixture(scope="session")
def every_task_pipe(every_task_dir: Path) -> DreamOmniPipeline:
    pipe = DreamOmniPipeline.from_pretrained(every_task_dir)
    pipe.set_progress_bar_config(disable=True)
    return pipe

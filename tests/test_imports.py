import subprocess
import sys

import pytest

TORCH_FREE = ["dreamomni", "dreamomni.tasks.request", "dreamomni.tasks.images", "dreamomni.tasks.sample"]
TORCH_FREE += ["dreamomni.tasks.result", "dreamomni.config", "dreamomni.seeding", "dreamomni.storage"]
TORCH_FREE += ["dreamomni.data.collage"]


def test_data_workers_start_without_torch() -> None:
    code = f"import sys, {', '.join(TORCH_FREE)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_refuses_unknown_names() -> None:
    import dreamomni

    assert "DreamOmniPipeline" in dir(dreamomni)
    with pytest.raises(AttributeError, match="no attribute 'Pipeline'"):
        _ = dreamomni.Pipeline

"""docs/usage.md runs as it stands: every command and every block of Python, one after the other."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from dreamomni import DreamOmniPipeline
from dreamomni.cli.main import main
from dreamomni.tasks.request import REQUESTS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
SERVED = ("generate", "edit", "segment", "detect")


def test_the_guide_runs(
    every_task_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    served: list[str] = []
    load, serve = DreamOmniPipeline.from_pretrained, DreamOmniPipeline.run_batch

    def from_pretrained(name: str, **options: Any) -> DreamOmniPipeline:
        pipe = load(every_task_dir if name == "mini" else name, **options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def run_batch(pipe: DreamOmniPipeline, requests: Any, **options: Any) -> Any:
        served.extend(request.task for request in requests)
        return serve(pipe, requests, **options)

    monkeypatch.setattr(DreamOmniPipeline, "from_pretrained", staticmethod(from_pretrained))
    monkeypatch.setattr(DreamOmniPipeline, "run_batch", run_batch)
    names: dict[str, Any] = {}
    num_commands = 0
    for kind, text in BLOCK.findall((ROOT / "docs/usage.md").read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(text, "docs/usage.md", "exec"), names)
            continue
        for line in text.strip().splitlines():
            argv = shlex.split(line, comments=True)
            assert argv[0] == "dreamomni", line
            if argv[1] in SERVED:
                argv += ["--model", str(every_task_dir), "--steps", "1", "--quiet"]
            capsys.readouterr()
            assert main(argv[1:]) == 0, line
            assert all(Path(path).is_file() for path in capsys.readouterr().out.split()), line
            num_commands += 1
    assert num_commands >= 12
    assert set(served) == set(REQUESTS)


@pytest.mark.parametrize("name", ["every_task.py"])
def test_the_examples_run(
    name: str, every_task_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [name, str(every_task_dir), "out"])
    exec(
        compile((ROOT / "examples" / name).read_text(encoding="utf-8"), name, "exec"),
        {"__name__": "__main__"},
    )
    assert {path.stem for path in Path("out").glob("*.png")} == set(REQUESTS)

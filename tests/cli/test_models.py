import json
import shutil
from pathlib import Path

import pytest

from dreamomni.cli.main import main


def test_check_prints_a_row_for_each_part_and_ends_with_2_where_one_is_wrong(
    tiny_kontext_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(tiny_kontext_dir, tmp_path / "model"))
    assert main(["models", "check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 13
    assert out.endswith(f"{folder}: good\n")
    (folder / "vlm-model/preprocessor_config.json").unlink()
    shutil.rmtree(folder / "gen_lora")
    assert main(["models", "check", str(folder), "--headers-only"]) == 2
    out = capsys.readouterr().out
    assert "wrong  vlm-model" in out
    assert "absent gen_lora" in out
    assert "-> download it: hf download xiabs/DreamOmni2" in out
    assert "1 of 12 parts are wrong" in out
    assert main(["models", "check", str(folder), "--headers-only", "--json"]) == 2
    rows = json.loads(capsys.readouterr().out)
    assert [row["part"] for row in rows if row["state"] == "wrong"] == ["vlm-model"]


def test_check_of_nothing_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(tmp_path)]) == 2
    assert "holds nothing of a model" in capsys.readouterr().err


def test_list_names_the_packaged_and_the_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "mini      packaged, Apache-2.0" in out
    assert "black-forest-labs/FLUX.1-Kontext-dev (not downloaded)" in out
    assert "FLUX.1 [dev] Non-Commercial License" in out


def test_info_describes_a_published_folder(
    tiny_kontext_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tiny_kontext_dir), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == facts["components"]["transformer"] == 489_664
    assert {"edit_lora", "gen_lora", "vlm-model", "vae", "text_encoder_2"} < set(facts["components"])
    assert facts["total_parameters"] == sum(facts["components"].values())
    assert facts["card"]["licence"].startswith("FLUX.1 [dev]")
    assert main(["info", str(tiny_kontext_dir)]) == 0
    assert "text_to_image, edit, subject" in capsys.readouterr().out

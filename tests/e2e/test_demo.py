import subprocess
import sys
from pathlib import Path

import pytest

from server import demo


def test_the_demo_succeeds_from_any_folder(tmp_path: Path) -> None:
    """Also where a folder called `server` would be in the way, and whatever the user's settings are."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__init__.py").write_text("raise ImportError('not ours')")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("souvenir")), "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 14 answers were right" in done.stdout


def test_a_wrong_answer_ends_the_demo_with_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "QUESTIONS", {"What is the dog called?": "Anna is allergic to peanuts"})
    assert demo.run_demo() == 1
    assert "✗ Not so: The user's dog is a border collie called Pixel" in capsys.readouterr().out

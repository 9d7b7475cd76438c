"""The author's commands behind course.py: `test`, stage by stage, and `lock`."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools import lock, stages

ROOT = Path(__file__).resolve().parents[2]

# ---- stages


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Stages that are tiny scripts; `log` shows in which order they ran."""
    (tmp_path / "good.py").write_text("open('log', 'a').write('good ')")
    (tmp_path / "bad.py").write_text("open('log', 'a').write('bad '); raise SystemExit(3)")
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    order = {"lint": [["bad"], ["good"]], "unit": [["good"]], "browser": [["good"]]}
    monkeypatch.setattr(stages, "STAGES", order)
    monkeypatch.setattr(stages, "find_chromium", lambda: "chromium")
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "log"


def test_every_stage_runs_and_one_failure_fails_all(fake, capsys):
    assert stages.main([]) == 1
    assert sorted(fake.read_text().split()) == ["bad", "good", "good", "good"]
    table = capsys.readouterr().out.split("stage       verdict")[1]
    assert [re.findall(r"passed|FAILED", line) for line in table.splitlines()[1:4]] == [["FAILED"], ["passed"], ["passed"]]


def test_only_the_stages_named_run_in_their_order(fake):
    assert stages.main(["browser", "unit"]) == 0
    assert fake.read_text() == "good good "


def test_a_stage_on_demand_runs_when_it_is_named(fake, monkeypatch):
    monkeypatch.setattr(stages, "ON_DEMAND", ("unit",))
    stages.main([])
    assert fake.read_text().count("good") == 2  # of lint and browser
    stages.main(["unit"])
    assert fake.read_text().count("good") == 3


@pytest.mark.parametrize("lanes", [1, 2])
def test_two_stages_at_a_time_where_there_are_two_processors(fake, capfd, monkeypatch, lanes):
    monkeypatch.setattr(stages.os, "cpu_count", lambda: lanes)
    wait = "import pathlib, time\nwhile 'bad' not in pathlib.Path('log').read_text(): time.sleep(0.01)\nprint('waited')"
    (fake.parent / "slow.py").write_text(wait)
    fake.write_text("")
    order = {"lint": [["slow"]], "unit": [["bad"]]} if lanes == 2 else {"unit": [["bad"]], "lint": [["slow"]]}
    monkeypatch.setattr(stages, "STAGES", order)
    assert stages.main([]) == 1  # lint ends only because unit runs beside it, or before it
    told = capfd.readouterr().out
    assert ("stages at a time" in told) == (lanes == 2) and "waited" in told


def test_an_unknown_stage_is_refused_with_the_list(fake, capsys):
    with pytest.raises(SystemExit) as end:
        stages.main(["unti"])
    assert end.value.code == 2
    assert "'unti'" in capsys.readouterr().err and not fake.exists()


def test_without_a_chromium_the_skip_is_loud_and_a_failure_in_ci(fake, monkeypatch, capsys):
    monkeypatch.setattr(stages, "find_chromium", lambda: None)
    assert stages.main(["browser"]) == 0
    assert "NOTHING was tested in a browser" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert stages.main(["browser"]) == 1
    assert not fake.exists()


def test_the_stages_of_the_course_cover_its_tests():
    ours = "lint unit lessons stale mistakes budgets claims course notebooks browser door teacher deeper site"
    assert set(stages.STAGES) == set(ours.split())
    words = {word for commands in stages.STAGES.values() for command in commands for word in command}
    assert {"lessons", "exercises", "solutions", "tests/lib", "tests/notebooks", "tests/course", "tests/browser"} <= words
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/test_*.py"))}
    assert folders <= {word.removeprefix("tests/") for word in words}, "a folder of tests that no stage runs"


@pytest.mark.parametrize("command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["pytest", "-q"]])
def test_a_missing_folder_fails(command):
    done = subprocess.run([sys.executable, "-m", *command, "no_such_folder"], cwd=ROOT, capture_output=True)
    assert done.returncode != 0


# ---- lock


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """A folder to lock, and a function that puts a uv on the PATH which writes the text given."""
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    monkeypatch.setattr(lock, "CONSTRAINTS", tmp_path / "constraints.txt")
    lock.CONSTRAINTS.write_text("torch==2.13.0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_FIND_LINKS", "a folder")

    def put(text, code=0):
        program = tmp_path / "uv"
        program.write_text(
            f"#!{sys.executable}\nimport os, sys\nassert 'PIP_FIND_LINKS' not in os.environ\n"
            f"pins = open(sys.argv[sys.argv.index('-c') + 1]).read()\n"
            f"open(sys.argv[-1], 'w').write({text!r}.replace('PIN', pins.strip()))\nsys.exit({code})\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return put


@pytest.mark.skipif(os.name == "nt", reason="the fake uv is a POSIX script")
def test_lock_writes_what_uv_found_around_the_torch_asked_for(uv):
    uv("numpy==2.4.6 ; python_full_version < '3.12'\nPIN\n")
    assert lock.main(["--torch", "2.14.0"]) == 0
    assert lock.CONSTRAINTS.read_text() == "numpy==2.4.6 ; python_full_version < '3.12'\ntorch==2.14.0\n"
    assert lock.main([]) == 0 and "torch==2.14.0" in lock.CONSTRAINTS.read_text()


@pytest.mark.skipif(os.name == "nt", reason="the fake uv is a POSIX script")
@pytest.mark.parametrize("line", ["torch==2.13.0+cpu", "--index-url https://x", "torch @ file:///wheels/torch.whl"])
def test_lock_refuses_what_holds_for_one_machine_only(uv, line):
    uv(line + "\n")
    with pytest.raises(SystemExit, match="one machine only"):
        lock.main([])
    assert lock.CONSTRAINTS.read_text() == "torch==2.13.0\n"


@pytest.mark.skipif(os.name == "nt", reason="the fake uv is a POSIX script")
def test_lock_leaves_the_file_alone_when_uv_fails(uv):
    uv("torch==9\n", code=1)
    with pytest.raises(SystemExit, match="unchanged"):
        lock.main([])
    assert lock.CONSTRAINTS.read_text() == "torch==2.13.0\n"


def test_lock_without_uv_says_how_to_get_it(uv):
    with pytest.raises(SystemExit, match="pip install uv"):
        lock.main([])

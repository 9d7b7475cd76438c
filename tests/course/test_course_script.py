"""course.py: the door, and how it hands over to the modules behind it."""

import ast
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "course.py"


@pytest.fixture
def course():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("course_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def say(*words):
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)


# ---- the door


def test_help_has_a_line_for_every_command(course):
    for words in ((), ("help",), ("--help",)):
        done = say(*words)
        assert done.returncode == 0 and done.stderr == ""
        shown = [line.split()[0] for line in done.stdout.splitlines() if re.match(r"  \w", line)]
        assert shown == list(course.COMMANDS)
    assert {"lab", "test", "doctor", "start", "check", "paper", "notebooks", "stale", "claims", "lock", "bench"} < set(shown)


def test_help_columns_do_not_touch(course, capsys):
    course.show_help()
    shown = capsys.readouterr().out
    for name, (_, usage, says) in course.COMMANDS.items():
        assert re.search(rf"^  {name} *{re.escape(usage)} +{re.escape(says)}$", shown, re.M)


def test_an_unknown_command_gets_the_nearest_one_and_the_list():
    done = say("tset")
    assert done.returncode == 2
    assert "'tset'" in done.stderr and "Did you mean 'test'?" in done.stderr and "doctor" in done.stderr
    assert "Did you mean 'lab'?" in say("LAB").stderr and "Did you mean" not in say("xyzzy").stderr


def test_it_parses_on_old_pythons_and_says_what_is_needed(course, monkeypatch, capsys):
    for path in (SCRIPT, ROOT / "tools/environment.py"):
        ast.parse(path.read_text("utf-8"), feature_version=(3, 8))
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    with pytest.raises(SystemExit) as end:
        course.main(["lab"])
    assert end.value.code == 1
    assert "Python 3.11 or newer" in capsys.readouterr().err


@pytest.mark.parametrize("path", [SCRIPT, ROOT / "tools/environment.py", ROOT / "tools/__init__.py"])
def test_it_needs_nothing_but_the_standard_library(path):
    tree = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in tree if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} - {"tools"} <= sys.stdlib_module_names


def test_arguments_and_flags_reach_the_module(course, monkeypatch):
    seen = []
    monkeypatch.setattr(course, "environment", lambda extra: seen.append(extra) or sys.executable)
    monkeypatch.setattr(course, "run", lambda command, cwd=None: seen.append((command[1:], cwd)) or 7)
    assert course.main(["check", "work/01.ipynb", "--json"]) == 7
    assert course.main(["--torch-index", "URL", "notebooks", "01"]) == 7
    assert seen == [
        "course", (["-m", "regimes_course", "check", "work/01.ipynb", "--json"], None),
        "course,dev", (["-m", "tools.notebooks", "build", "01"], course.ROOT),
    ]  # fmt: skip
    assert os.environ.pop("REGIMES_TORCH_INDEX") == "URL"


def test_children_keep_bytecode_and_the_kernel_of_the_environment(course, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    probe = "import os, sys; sys.exit(sys.dont_write_bytecode or os.environ['JUPYTER_PREFER_ENV_PATH'] != '1')"
    assert course.run([sys.executable, "-c", probe]) == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_being_stopped_leaves_no_orphan(tmp_path):
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import course, sys; sys.exit(course.run([sys.executable, '-c', {child!r}]))"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT)
    limit = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)

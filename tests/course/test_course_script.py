"""course.py: the door, the environment it makes, and where torch comes from."""

import ast
import importlib.util
import json
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
def course(tmp_path, monkeypatch):
    """The script as a module, in an empty course folder with a pyproject and constraints of its own."""
    spec = importlib.util.spec_from_file_location("course_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text('dependencies = ["torch>=2.6"]\n')
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\ntorch==2.13.0\ntriton==3.7.1 ; sys_platform == 'linux'\n")
    module.ROOT, module.CONSTRAINTS, module.VENV = tmp_path, tmp_path / "constraints.txt", tmp_path / ".venv"
    module.PYTHON, module.STAMP = Path(sys.executable), tmp_path / ".venv/regimes.stamp"
    module.LOG = tmp_path / ".venv/install.log"
    module.VENV.mkdir()
    monkeypatch.setattr(sys, "argv", ["course.py", "lab"])
    for name in ("REGIMES_TORCH_INDEX", "REGIMES_CUDA"):
        monkeypatch.delenv(name, raising=False)
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
    assert "Did you mean" not in say("xyzzy").stderr


def test_it_parses_on_old_pythons_and_says_what_is_needed(course, monkeypatch, capsys):
    ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 8))
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    with pytest.raises(SystemExit) as end:
        course.main(["lab"])
    assert end.value.code == 1
    assert "Python 3.11 or newer" in capsys.readouterr().err


def test_it_needs_nothing_but_the_standard_library():
    tree = ast.walk(ast.parse(SCRIPT.read_text("utf-8")))
    names = [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(ast.parse(SCRIPT.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_arguments_and_flags_reach_the_module(course, monkeypatch):
    seen = []
    monkeypatch.setattr(course, "environment", lambda extra: seen.append(extra))
    monkeypatch.setattr(course, "run", lambda command, cwd=None: seen.append((command[1:], cwd)) or 7)
    assert course.main(["check", "work/01.ipynb", "--json"]) == 7
    assert course.main(["--torch-index", "URL", "notebooks", "01"]) == 7
    assert seen == [
        "", (["-m", "regimes.course", "check", "work/01.ipynb", "--json"], None),
        "dev", (["-m", "tools.notebooks", "build", "01"], course.ROOT),
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


# ---- the environment


def test_the_stamp_changes_with_all_that_decides(course):
    first = course.stamp("3.11.7", "")
    assert course.stamp("3.11.7", "") == first
    others = {course.stamp("3.12.0", ""), course.stamp("3.11.7", "dev")}
    course.CONSTRAINTS.write_text("numpy==2.4.7\n")
    others.add(course.stamp("3.11.7", ""))
    (course.ROOT / "pyproject.toml").write_text("")
    others.add(course.stamp("3.11.7", ""))
    assert len(others | {first}) == 5


@pytest.fixture
def pip_calls(course, monkeypatch):
    """What pip would have been asked; `existing` torch none."""
    calls = []
    monkeypatch.setattr(course, "pip", lambda *words: calls.append(words))
    monkeypatch.setattr(course, "settle_torch", lambda: "")
    return calls


def test_an_unchanged_environment_calls_no_pip(course, pip_calls):
    course.environment("dev")
    assert pip_calls[-1][-1] == ".[dev]" and len(pip_calls) == 1
    course.environment("dev")
    course.environment("")  # what an author has is enough for a learner
    assert len(pip_calls) == 1
    course.CONSTRAINTS.write_text("numpy==2.4.7\n")
    course.environment("")
    assert len(pip_calls) == 2 and pip_calls[-1][-1] == "."
    course.environment("dev")  # but not the other way round
    assert len(pip_calls) == 3


def test_a_failed_installation_is_not_stamped(course, monkeypatch):
    monkeypatch.setattr(course, "settle_torch", lambda: "")
    monkeypatch.setattr(course, "pip", lambda *words: course.stop("no"))
    with pytest.raises(SystemExit):
        course.environment()
    assert not course.STAMP.exists()


def test_a_flag_that_comes_too_late_is_said(course, pip_calls, monkeypatch, capsys):
    course.environment()
    monkeypatch.setattr(sys, "argv", ["course.py", "lab", "--torch-index=URL"])
    course.environment()
    assert "delete the folder .venv" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["", "#!/bin/sh\nexit 1\n"])
def test_a_half_made_environment_is_said_and_made_anew(course, tmp_path, capsys, broken):
    course.PYTHON = course.VENV / "bin/python"
    if broken:
        course.PYTHON.parent.mkdir()
        course.PYTHON.write_text(broken)
        course.PYTHON.chmod(0o755)
    (course.VENV / "rubbish").write_text("")
    assert course.health() is None
    course.make_venv()
    assert "broken or half made" in capsys.readouterr().out
    assert course.health() and not (course.VENV / "rubbish").exists()


def test_a_python_without_venv_names_the_package(course, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        course.make_venv()
    assert re.search(r"apt install python3\.\d+-venv", capsys.readouterr().err)


def test_pip_that_fails_shows_its_last_lines_a_hint_and_the_log(course, capsys):
    with pytest.raises(SystemExit):
        course.pip("no-such-command")
    error = capsys.readouterr().err
    assert "unknown command" in error and "run the same command again" in error and str(course.LOG) in error
    assert "unknown command" in course.LOG.read_text()


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("[Errno -3] Temporary failure in name resolution\nERROR: No matching distribution found for torch", "No network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "Python 3.11"),
        ("ERROR: ResolutionImpossible", "lines above"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
    ],
)
def test_hints(course, log, says):
    assert says in course.hint(log)


# ---- torch


@pytest.mark.parametrize(
    ("here", "linux", "nvidia", "index", "cuda", "choice"),
    [
        (None, True, False, None, None, "ask"),
        (None, True, True, None, None, "pip"),
        (None, True, False, None, "1", "pip"),
        (None, False, False, None, None, "pip"),
        ("2.6.0+cu124", True, True, None, None, "here"),
        ("2.13.0", True, False, None, None, "here"),
        ("2.10.0", False, False, None, None, "here"),
        ("2.5.1", True, False, None, None, "ask"),
        ("2.13.0", True, False, "URL", None, "index"),
    ],
)
def test_where_torch_comes_from(course, here, linux, nvidia, index, cuda, choice):
    assert course.torch_choice(here, "2.6", linux, nvidia, index, cuda) == choice


def report(*needs):
    return {"install": [{"metadata": {"requires_dist": list(needs)}}]}


def test_the_cuda_build_is_recognised(course):
    needs = ["filelock", "nvidia-cublas==13.1; platform_system == 'Linux'", "cuda-bindings>=13", "cudatoolsish"]
    assert course.cuda_packages(report(*needs)) == needs[1:3]
    assert course.cuda_packages(report("filelock", "sympy>=1.13")) == []
    assert course.cuda_packages({"install": []}) == []
    assert course.cuda_packages({"install": [{"metadata": {}}]}) == []


def torch_run(course, monkeypatch, needs, here=(None, None)):
    """Settle torch on a Linux without a GPU, where pip would take a torch that needs `needs`; what pip was asked."""
    calls = []

    def pip(*words):
        calls.append(words)
        if "--report" in words:
            Path(words[words.index("--report") + 1]).write_text(json.dumps(report(*needs)))

    monkeypatch.setattr(course, "pip", pip)
    monkeypatch.setattr(course, "torch_here", lambda: here)
    monkeypatch.setattr(course.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    return course.settle_torch(), calls


def test_a_cuda_build_nobody_asked_for_stops_with_two_ways_on(course, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        torch_run(course, monkeypatch, ["nvidia-cublas==13.1"])
    error = capsys.readouterr().err
    assert "course.py lab --torch-index URL" in error and "course.py lab --cuda" in error and "3 GB" in error


def test_a_cpu_build_is_taken_with_all_the_pins(course, monkeypatch):
    constraints, calls = torch_run(course, monkeypatch, ["filelock"])
    assert constraints == course.CONSTRAINTS.read_text()
    assert all("--dry-run" in words or words == ("install", "pip>=24,<27") for words in calls)
    assert calls[-1][-1] == "torch==2.13.0"


def test_an_index_is_used_for_torch_alone(course, monkeypatch):
    monkeypatch.setenv("REGIMES_TORCH_INDEX", "URL")
    _, calls = torch_run(course, monkeypatch, ["nvidia-cublas==13.1"])
    assert calls == [("install", "--compile", "--no-deps", "--index-url", "URL", "torch==2.13.0")]


def test_a_torch_that_is_here_is_shared_and_said(course, monkeypatch, capsys, tmp_path):
    course.site_packages().mkdir(parents=True)
    constraints, calls = torch_run(course, monkeypatch, [], here=("2.9.1+cu126", str(tmp_path)))
    assert calls == [] and constraints == "numpy==2.4.6\n"
    assert "Keeping torch 2.9.1+cu126" in capsys.readouterr().out
    assert (course.site_packages() / "shared_torch.pth").read_text().strip() == str(tmp_path)


def test_the_shared_torch_is_found_again_but_not_a_later_one(course, monkeypatch, tmp_path):
    info = tmp_path / "elsewhere/torch-2.9.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n")
    monkeypatch.setattr(sys, "path", [str(info.parent)])
    assert course.torch_here() == ("2.9.1", str(info.parent))
    course.STAMP.write_text("installed")
    assert course.torch_here() == (None, None)
    course.site_packages().mkdir(parents=True)
    (course.site_packages() / "shared_torch.pth").write_text(f"{info.parent}\n")
    assert course.torch_here() == ("2.9.1", str(info.parent))

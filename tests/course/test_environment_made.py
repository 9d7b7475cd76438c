"""The environment that course.py makes, and where torch comes from."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The module that makes it, in an empty course folder with a pyproject and constraints of its own."""
    spec = importlib.util.spec_from_file_location("environment_of_the_tests", ROOT / "tools/environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    extras = '[project.optional-dependencies]\ncourse = ["matplotlib>=3.8"]\ndev = ["no-such-package>=1"]\n'
    (tmp_path / "pyproject.toml").write_text(f'[project]\ndependencies = ["torch>=2.6"]\n{extras}')
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\ntorch==2.13.0\ntriton==3.7.1 ; sys_platform == 'linux'\n")
    module.ROOT, module.CONSTRAINTS, module.VENV = tmp_path, tmp_path / "constraints.txt", tmp_path / ".venv"
    module.PYTHON, module.STAMP = Path(sys.executable), tmp_path / ".venv/regimes.stamp"
    module.LOG, module.SHARED = tmp_path / ".venv/install.log", tmp_path / ".venv/shared_torch"
    module.VENV.mkdir()
    monkeypatch.setattr(sys, "argv", ["course.py", "lab"])
    for name in ("REGIMES_TORCH_INDEX", "REGIMES_CUDA"):
        monkeypatch.delenv(name, raising=False)
    return module


# ---- .venv


def test_the_stamp_changes_with_all_that_decides(course):
    first = course.stamp("3.11.7", course.LEARNER)
    assert course.stamp("3.11.7", course.LEARNER) == first
    others = {course.stamp("3.12.0", course.LEARNER), course.stamp("3.11.7", course.AUTHOR)}
    course.CONSTRAINTS.write_text("numpy==2.4.7\n")
    others.add(course.stamp("3.11.7", course.LEARNER))
    (course.ROOT / "pyproject.toml").write_text("")
    others.add(course.stamp("3.11.7", course.LEARNER))
    assert len(others | {first}) == 5


@pytest.fixture
def pip_calls(course, monkeypatch):
    """What pip would have been asked; `existing` torch none."""
    calls = []
    monkeypatch.setattr(course, "pip", lambda *words: calls.append(words))
    monkeypatch.setattr(course, "settle_torch", lambda: ("", None))
    return calls


def test_an_unchanged_environment_calls_no_pip(course, pip_calls):
    course.environment(course.AUTHOR)
    assert pip_calls[-1][-1] == ".[course,dev]" and len(pip_calls) == 1
    course.environment(course.AUTHOR)
    course.environment(course.LEARNER)  # what an author has is enough for a learner
    assert len(pip_calls) == 1
    course.CONSTRAINTS.write_text("numpy==2.4.7\n")
    course.environment(course.LEARNER)
    assert len(pip_calls) == 2 and pip_calls[-1][-1] == ".[course]"
    course.environment(course.AUTHOR)  # but not the other way round
    assert len(pip_calls) == 3
    course.environment(course.SITE)
    assert len(pip_calls) == 4 and pip_calls[-1][-1] == ".[course,dev,site]"
    course.environment(course.AUTHOR)
    assert len(pip_calls) == 4


def test_a_failed_installation_is_not_stamped(course, monkeypatch):
    monkeypatch.setattr(course, "settle_torch", lambda: ("", None))
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


# ---- an environment that has the course already


def test_a_python_that_has_the_course_is_used_and_told_what_it_lacks(course, monkeypatch, capsys):
    monkeypatch.setattr(course, "ROOT", ROOT)  # where the Python of the tests has it from
    assert course.installed_here() and course.environment() == sys.executable
    monkeypatch.setattr(course, "requirements", lambda extra: ["torch>=2.6", "no-such-package>=1; os_name != 'x'"])
    with pytest.raises(SystemExit):
        course.environment(course.AUTHOR)
    error = capsys.readouterr().err
    assert "without no-such-package." in error and f'cd "{ROOT}" && ' in error and '-m pip install -e ".[course,dev]"' in error


def test_a_course_installed_from_elsewhere_does_not_count(course):
    assert not course.installed_here()  # ROOT is another folder here


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
    return *course.settle_torch(), calls


def test_a_cuda_build_nobody_asked_for_stops_with_two_ways_on(course, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        torch_run(course, monkeypatch, ["nvidia-cublas==13.1"])
    error = capsys.readouterr().err
    assert "course.py lab --torch-index URL" in error and "course.py lab --cuda" in error and "3 GB" in error


def test_a_cpu_build_is_taken_with_all_the_pins(course, monkeypatch):
    constraints, shared, calls = torch_run(course, monkeypatch, ["filelock"])
    assert shared is None and constraints == course.CONSTRAINTS.read_text()
    assert all("--dry-run" in words or words == ("install", "pip>=24,<27") for words in calls)
    assert calls[-1][-1] == "torch==2.13.0"


def test_an_index_is_used_for_torch_alone(course, monkeypatch):
    monkeypatch.setenv("REGIMES_TORCH_INDEX", "URL")
    *_, calls = torch_run(course, monkeypatch, ["nvidia-cublas==13.1"])
    assert calls == [("install", "--compile", "--no-deps", "--index-url", "URL", "torch==2.13.0")]


def test_a_torch_that_is_here_is_kept_and_said(course, monkeypatch, capsys, tmp_path):
    constraints, shared, calls = torch_run(course, monkeypatch, [], here=("2.9.1+cu126", str(tmp_path)))
    assert calls == [] and constraints == "numpy==2.4.6\n" and shared == str(tmp_path)
    assert "Keeping torch 2.9.1+cu126" in capsys.readouterr().out


def test_pip_does_not_see_what_lies_beside_a_shared_torch(course, monkeypatch, tmp_path):
    """Else it would take an ipywidgets there for installed, whose part in the browser is missing in .venv."""
    course.site_packages().mkdir(parents=True)
    course.shared_path().write_text("an earlier one")
    calls = []
    monkeypatch.setattr(course, "pip", lambda *words: calls.append((course.shared_path().exists(), *words)))
    course.install_around(str(tmp_path), tmp_path / "pins", course.AUTHOR)
    assert [call[0] for call in calls] == [False, False] and calls[0][-2:] == ("matplotlib>=3.8", "no-such-package>=1")
    assert not any(word.startswith("torch") for call in calls for word in call[1:])
    assert course.shared_path().read_text().strip() == str(tmp_path)


def test_an_update_that_fails_or_is_killed_does_not_cost_the_shared_torch(course, pip_calls, monkeypatch, tmp_path):
    course.site_packages().mkdir(parents=True)
    monkeypatch.setattr(course, "settle_torch", lambda: ("", str(tmp_path)))
    course.environment()
    done = len(pip_calls)
    course.environment()
    assert len(pip_calls) == done
    with monkeypatch.context() as broken, pytest.raises(SystemExit):
        broken.setattr(course, "pip", lambda *words: course.stop("no network"))
        course.environment(course.AUTHOR)
    course.environment()
    assert len(pip_calls) == done and course.shared_path().exists()
    course.shared_path().unlink()  # as a kill leaves it
    course.environment()
    assert len(pip_calls) > done and course.shared_path().exists()


def test_the_shared_torch_is_found_again_but_not_a_later_one(course, monkeypatch, tmp_path):
    info = tmp_path / "elsewhere/torch-2.9.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n")
    monkeypatch.setattr(sys, "path", [str(info.parent)])
    assert course.torch_here() == ("2.9.1", str(info.parent))
    course.STAMP.write_text("installed")
    assert course.torch_here() == (None, None)
    course.SHARED.write_text(f"{info.parent}\n")
    assert course.torch_here() == ("2.9.1", str(info.parent))

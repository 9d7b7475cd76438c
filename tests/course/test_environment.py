"""environment.yml, pyproject.toml and constraints.txt say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CONDA_NAMES = {"pytorch": "torch", "playwright-python": "playwright"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8").splitlines()


def wanted(requirements):
    """{canonical name: specifier} of requirement strings."""
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(CONDA_NAMES.get(one.name, one.name)): str(one.specifier) for one in parsed}


def pyproject():
    extras = PROJECT["optional-dependencies"]
    return wanted([*PROJECT["dependencies"], *extras["course"], *extras["dev"]])


def conda():
    text = (ROOT / "environment.yml").read_text("utf-8")
    return yaml.safe_load(text)["dependencies"]


def test_environment_yml_agrees_with_pyproject():
    found = wanted(line for line in conda() if isinstance(line, str))
    assert found.pop("python") == PROJECT["requires-python"]
    assert found.pop("pip") == ""
    assert found == pyproject()


def test_environment_yml_installs_the_course_itself_and_no_pip_torch():
    assert conda()[-1] == {"pip": ["-e ."]}


PINNED = pyproject() | wanted(PROJECT["optional-dependencies"]["site"])


@pytest.mark.parametrize("name", sorted(PINNED))
def test_every_direct_dependency_is_pinned_within_its_range(name):
    pins = [Requirement(line) for line in CONSTRAINTS]
    mine = [str(pin.specifier).removeprefix("==") for pin in pins if canonicalize_name(pin.name) == name]
    assert mine, f"constraints.txt has no pin for {name}: python3 course.py lock"
    allowed = Requirement(f"x{PINNED[name]}").specifier
    assert all(allowed.contains(version) for version in mine)


def test_constraints_hold_on_every_machine():
    bad = [line for line in CONSTRAINTS if not re.fullmatch(r"[\w.-]+==[\w.!]+( ; .+)?", line)]
    assert not bad, "addresses, paths or local versions such as +cpu"
    assert any("sys_platform == 'win32'" in line for line in CONSTRAINTS)
    assert any("sys_platform == 'darwin'" in line for line in CONSTRAINTS)


def test_torch_is_pinned_once_for_all_platforms():
    assert sum(line.startswith("torch==") for line in CONSTRAINTS) == 1

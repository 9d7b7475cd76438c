"""The library needs nothing of the course: what is imported is declared, and its wheel runs where nothing else is installed."""

import ast
import re
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.course.test_environment import PROJECT, ROOT, wanted

BASE, COURSE = PROJECT["dependencies"], PROJECT["optional-dependencies"]["course"]
DEMO = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[1]


# ---- what is declared


def imported(package: str) -> set[str]:
    """The distributions that provide what the files of a package import, wherever in a file it stands."""
    names = set()
    for path in (ROOT / "lib" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    known = metadata.packages_distributions()
    others = names - sys.stdlib_module_names - {"regimes", "regimes_course"}
    return set(wanted(known.get(name, [name])[0] for name in others))


def test_the_library_imports_what_it_declares_and_declares_what_it_imports():
    assert imported("regimes") == set(wanted(BASE))


def test_the_course_imports_what_it_declares():
    used = {"ipykernel", "ipywidgets"}  # by JupyterLab and anywidget
    assert imported("regimes_course") | used >= set(wanted(COURSE))
    assert imported("regimes_course") <= set(wanted([*BASE, *COURSE]))


# ---- what is installed


def needed(requirements: list[str]) -> list[metadata.Distribution]:
    """The distributions that requirements name, and those that these require in turn."""
    known, asked = {}, list(requirements)
    while asked:
        one = Requirement(asked.pop())
        found = next(iter(metadata.distributions(name=one.name)), None)  # conda has none for some parts of its torch
        if found and one.name not in known and (one.marker is None or one.marker.evaluate({"extra": ""})):
            known[one.name] = found
            asked += found.requires or []
    return list(known.values())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The Python of an environment that holds the wheel of this folder, what the library requires, and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    pip = [sys.executable, "-m", "pip"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("regimes-*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    packages = next(folder.glob("env/lib/python*/site-packages"))
    for distribution in needed(BASE):
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(distribution.locate_file(name))
    return python


def run(*words, code=0) -> str:
    """What a command says; it has to end with this code."""
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_readme_s_program_runs_with_the_library_alone(alone):
    said = run(alone, "-I", "-W", "error", "-c", DEMO + "import regimes; print(regimes.__file__)")
    printed, where = said.splitlines()
    assert printed and Path(where).is_relative_to(alone.parents[1]) and Path(where).with_name("py.typed").exists()


def test_every_module_of_the_library_can_be_imported_there(alone):
    script = "import pkgutil, regimes\nfor m in pkgutil.walk_packages(regimes.__path__, 'regimes.'): __import__(m.name)"
    run(alone, "-I", "-c", script)


def test_the_course_says_there_what_it_lacks(alone):
    said = run(alone, "-I", "-c", "from regimes_course.exercises import check", code=1).splitlines()[-1]
    assert "IPython, PIL, anywidget, matplotlib, nbformat" in said and f'"{alone}" -m pip install "regimes[course]"' in said

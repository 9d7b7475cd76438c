"""Every command line that a page of the course shows is run as it is written there, in a fresh clone."""

import re

import nbformat
import pytest

from tests.browser.door.conftest import say
from tests.browser.jupyter import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "environment.yml", *sorted(path.relative_to(ROOT) for path in ROOT.glob("docs/*.md"))]
LINE = re.compile(r"(?:python3?|py) (?:course\.py|-m [\w.]+)(?: [\w./-]+)*")
PLACES = {
    "NN": "02",
    "COMMAND": "doctor",
    "PATH": "work/01_gradient_descent_and_gauss_newton.ipynb",
    "FOLDER": "exercises",
}
GOES_ON = 4  # seconds that a long command is watched after its first words, before Ctrl-C


def texts():
    """The text of every page and of every cell."""
    for name in PAGES:
        yield (ROOT / name).read_text("utf-8")
    for path in [*ROOT.glob("lessons/**/*.ipynb"), *ROOT.glob("exercises/*.ipynb"), *ROOT.glob("solutions/*.ipynb")]:
        yield from (cell.source for cell in nbformat.read(path, 4).cells)


def commands() -> list[str]:
    """The command lines in them, each once; JupyterLab without a browser, since nobody sits here."""
    found = dict.fromkeys(match[0].rstrip(".") for text in texts() for match in LINE.finditer(text))
    lines = [" ".join(PLACES.get(word, word) for word in line.split()) for line in found]
    lines = [line.replace(" DIR", f" work/for_{line.split()[2]}") for line in lines]  # a new folder each
    return list(dict.fromkeys(line + " --no-browser" * line.endswith(" lab") for line in lines))


def test_the_pages_show_commands():
    shown = {line.split()[2] for line in commands() if "course.py" in line}
    assert {"lab", "test", "start", "check", "grade", "paper", "doctor", "help", "notebooks", "stale", "claims"} <= shown


@pytest.fixture(scope="module")
def prepared(lab, clone, home):
    """The clone after what comes before: an exercise was started, and an author's first command has set up the rest."""
    for line in ("python3 course.py start 01", "python3 course.py stale"):
        said = say(line, clone, home)
        assert said.code == 0, said.text
    return clone


@pytest.mark.parametrize("line", commands())
def test_a_command_does_what_it_is_shown_for(prepared, clone, home, line):
    said = say(line, clone, home, seconds=GOES_ON)
    stopped = said.code is None and re.search(r" (test|notebooks|bench)\b| -m ", line)  # an author sees where it was stopped
    assert said.text.strip() and (stopped or "Traceback" not in said.text), said.text
    assert said.code in (0, None) or (said.code == 1 and re.search(r"\d of \d+ passed|needs uv|Stopped", said.text)), said.text

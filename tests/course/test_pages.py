"""The pages: links lead somewhere, the picture is the lesson's, commands and papers exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools.picture import LESSON, PICTURE, first_figure

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
COMMANDS = subprocess.run([sys.executable, "course.py", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    for name in re.findall(r"course\.py (\w+)", (ROOT / page).read_text(encoding="utf8")):
        assert re.search(rf"^ *{name}\b", COMMANDS, re.M), f"{page} tells of course.py {name}"


def test_the_picture_is_the_one_of_lesson_00():
    assert (ROOT / PICTURE).read_bytes() == first_figure(ROOT / LESSON), "run: python -m tools.picture"


def test_the_citation_lists_the_five_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert sorted(r["notes"] for r in citation["references"]) == [
        "arXiv:2105.06351",
        "arXiv:2202.00293",
        "arXiv:2302.02904",
        "arXiv:2406.08654",
        "arXiv:2411.07979",
    ]


def test_the_code_of_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf8"), re.S)
    exec(code, {})
    assert capsys.readouterr().out

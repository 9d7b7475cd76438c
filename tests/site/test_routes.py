"""The ways to run the course without installing it: what can be checked of them without a network."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from tools.site import contents
from tools.site.build import mathjax
from tools.site.pages import Book

ROOT = Path(__file__).resolve().parents[2]
PINS = dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text("utf-8")))
GITHUB = "https://github.com/us/regimes"


def test_binder_has_the_torch_that_is_pinned_and_takes_the_rest_from_the_constraints():
    environment = yaml.safe_load((ROOT / ".binder/environment.yml").read_text("utf-8"))
    assert f"pytorch-cpu={PINS['torch']}" in environment["dependencies"]
    script = ROOT / ".binder/postBuild"
    assert '-c constraints.txt -e ".[course]"' in script.read_text("utf-8")
    assert os.name == "nt" or os.access(script, os.X_OK)


def test_the_devcontainer_does_what_binder_does():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))
    used = re.findall(r"\.binder/\w+(?:\.yml)?", container["postCreateCommand"])
    assert used == [".binder/environment.yml", ".binder/postBuild"] and all((ROOT / path).exists() for path in used)


def test_colab_gets_what_carries_the_sliders_and_nothing_else():
    cell = contents.pages(Book(()))["run.md"]
    line = re.search(r"%pip install -q --no-deps -c regimes/constraints.txt (.+)", cell)
    assert line and set(line[1].split()) <= set(PINS)


def test_the_workflow_builds_tests_and_publishes_one_folder():
    steps = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text("utf-8"))["jobs"]["build"]["steps"]
    said = "\n".join(str(step) for step in steps)
    assert said.index("course.py site build/site") < said.index("course.py test site") < said.index("upload-pages-artifact")
    assert said.count("build/site") == 3


def test_addresses_are_given_only_where_they_are_known():
    unknown, known = (contents.pages(Book(("lessons/00_start_here.ipynb",), url)) for url in ("", GITHUB))
    assert "mybinder" not in str(unknown) and "ADDRESS-OF-THE-REPOSITORY" in unknown["run.md"]
    assert "ask who gave it to you" in unknown["run.md"] and "ask who" not in known["run.md"]
    assert "ASK" not in str((unknown, known))
    assert "https://mybinder.org/v2/gh/us/regimes/main?labpath=lessons/00_start_here.ipynb" in known["run.md"]
    assert f"git clone {GITHUB}" in known["run.md"] and "ADDRESS" not in str(known)
    assert not Book((), "https://elsewhere.org/us/regimes").binder("lessons/00_start_here.ipynb")


def test_mathjax_comes_with_its_fonts(tmp_path):
    pytest.importorskip("sphinx-mathjax-offline", reason="needs pip install -e '.[site]'")
    mathjax(tmp_path)
    assert (tmp_path / "tex-chtml.js").stat().st_size > 1e6 and list(tmp_path.rglob("MathJax_Main-Regular.woff"))

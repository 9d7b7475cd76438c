"""A stale or hand-edited notebook is found by name, with its first differing cell, without running it."""

import json
import shutil

import pytest

from tools import notebooks
from tools.stale import stale


@pytest.fixture
def copy(built, tmp_path):
    """A copy of the built course that a test may spoil."""
    return shutil.copytree(built, tmp_path / "copy")


def edit(root, change, name="lessons/01_tiny.ipynb"):
    """Applies `change` to the JSON of a notebook."""
    node = json.loads((root / name).read_text())
    change(node)
    (root / name).write_text(json.dumps(node))


def test_a_fresh_build_is_not_stale(copy, capsys):
    assert stale(copy) == []
    assert notebooks.main(["check"], copy) == 0
    assert capsys.readouterr().err == ""


def test_an_edited_source_is_found_with_cell_and_line(copy):
    path = copy / "sources" / "01_tiny" / "exercises.py"
    text = path.read_text().replace("Twice x.", "Two times x.")
    path.write_text(text)
    found = stale(copy)
    assert ["exercises/01_tiny.ipynb" in p.message for p in found] == [True, False]
    assert "solutions/01_tiny.ipynb is stale or edited by hand: cell 5" in found[1].message
    assert text.split("\n")[found[1].line - 1] == '# %% exercise="double"'


HAND = {
    "text": (lambda n: n["cells"][0].update(source=["# Other"]), "cell 1, its source differs"),
    "id": (lambda n: n["cells"][2].update(id="other"), "cell 3, its id differs"),
    "tags": (lambda n: n["cells"][3]["metadata"].update(tags=[]), "cell 4, its metadata differs"),
    "type": (lambda n: n["cells"][0].update(cell_type="raw"), "cell 1, its cell_type differs"),
    "header": (lambda n: n["metadata"]["regimes"].update(minutes=6), "its metadata differ"),
    "widget state": (lambda n: n["metadata"].update(widgets={}), "its metadata differ"),
    "stripped": (lambda n: n["cells"][1].update(execution_count=None), "execution count is None, not 1"),
    "out of order": (lambda n: n["cells"][2].update(execution_count=7), "execution count is 7, not 2"),
    "cell added": (lambda n: n["cells"].append(dict(n["cells"][0], id="new")), "its number of cells"),
    "cell deleted": (lambda n: n["cells"].pop(), "its number of cells"),
}


@pytest.mark.parametrize("change, message", HAND.values(), ids=HAND)
def test_an_edit_by_hand_is_found(copy, change, message):
    edit(copy, change)
    (found,) = stale(copy)
    assert "lessons/01_tiny.ipynb" in found.message and message in found.message


def test_pictures_are_never_compared(copy):
    def repaint(node):
        for cell in node["cells"]:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    output["data"]["image/png"] = "other"

    before = (copy / "lessons" / "01_tiny.ipynb").read_text()
    edit(copy, repaint)
    assert '"other"' in (copy / "lessons" / "01_tiny.ipynb").read_text() and '"other"' not in before
    assert stale(copy) == []


def test_missing_broken_and_orphaned_notebooks(copy):
    shutil.copy(copy / "lessons" / "01_tiny.ipynb", copy / "lessons" / "02_gone.ipynb")
    (copy / "lessons" / "01_tiny.ipynb").unlink()
    (copy / "solutions" / "01_tiny.ipynb").write_text("<<<<<<< ours")
    assert [f"{p.path} {p.message}" for p in stale(copy)] == [
        "lessons/01_tiny.ipynb not built yet",
        "solutions/01_tiny.ipynb not a notebook (a merge gone wrong?)",
        "lessons/02_gone.ipynb no source gives this notebook; delete it",
    ]


def test_the_command_fails_and_says_what_mends_it(copy, capsys):
    edit(copy, HAND["text"][0])
    assert notebooks.main(["check"], copy) == 1
    assert "python3 course.py notebooks NN" in capsys.readouterr().err


def test_the_command_reports_bad_sources_and_unknown_lessons(copy, capsys):
    with pytest.raises(SystemExit, match="2"):
        notebooks.main(["build", "09"], copy)
    assert "no lesson 09; there are: 01_tiny" in capsys.readouterr().err
    path = copy / "sources" / "01_tiny" / "lesson.py"
    path.write_text(path.read_text().replace("minutes: 5", "minutes: 0"))
    for command in ("build", "check"):
        assert notebooks.main([command], copy) == 1
        assert "sources/01_tiny/lesson.py:1: header field 'minutes' is 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["build", "check"])
def test_a_folder_without_sources_is_not_green(tmp_path, capsys, command):
    with pytest.raises(SystemExit, match="2"):
        notebooks.main([command], tmp_path)
    assert "no sources: write sources/NN_name/lesson.py" in capsys.readouterr().err

"""Every claim of every lesson is measured again, on seeds its author never saw, and must come to the same verdict."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools.claims import kept, ledgers

ROOT = Path(__file__).resolve().parents[2]
MIME = "application/vnd.regimes.claims+json"
FIRST_SEED = 1000
HANGS = 1800  # seconds: no cell takes a tenth of them on a busy machine
# No claim needs a picture. What a figure says is still made of the fresh numbers; it is only not painted.
NOT_PAINTED = """from regimes_course.kit import page
from regimes_course.kit.widget import Widget

page.show = lambda *shown: None
Widget.film = lambda *settings, **options: None
Widget.filmstrip = lambda *settings, **options: ()"""


def claims(notebook) -> dict[str, dict]:
    """The ledger's entries in the outputs of a notebook, by id."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", []))
    return {c["id"]: c for o in outputs for c in o.get("data", {}).get(MIME, [])}


def load(path: Path):
    return nbformat.read(path, as_version=4)


LESSONS = [path for path in ledgers(ROOT) if claims(load(path))]


def test_there_are_ledgers():
    assert {path.name[:2] for path in LESSONS} >= {"01"}


@pytest.fixture(scope="module")
def again(request):
    """The lesson, run on fresh seeds."""
    notebook = load(request.param)
    notebook.cells = [cell for cell in notebook.cells if "widget" not in cell.metadata.get("tags", [])]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NOT_PAINTED))
    client = NotebookClient(
        notebook, timeout=HANGS, startup_timeout=HANGS, resources={"metadata": {"path": str(request.param.parent)}}
    )
    client.execute(env={**os.environ, "REGIMES_FIRST_SEED": str(FIRST_SEED), "OMP_NUM_THREADS": "1"})
    return claims(load(request.param)), claims(notebook)


@pytest.mark.parametrize("again", LESSONS, indirect=True, ids=lambda path: path.name[:2])
def test_fresh_seeds_give_the_same_verdicts(again):
    committed, fresh = again
    verdicts = {id: (c["verdict"], f"predicted {c['predicted']}, measured {c['spread']}") for id, c in fresh.items()}
    assert {id: v for id, (v, _) in verdicts.items()} == {id: c["verdict"] for id, c in committed.items()}, verdicts
    assert any(committed[id]["spread"] != fresh[id]["spread"] for id in committed), "the seeds did not change"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_lessons_show_what_the_ledger_holds(path):
    entries = list(claims(load(path)).values())
    assert json.loads(kept(ROOT, entries).read_text("utf8")) == entries


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_a_ledger_is_substantial_and_explained(path):
    entries = claims(load(path)).values()
    assert len(entries) >= 6
    assert sum("runs" in c["spread"] for c in entries) >= 6
    for c in entries:
        assert c["verdict"] == "reproduced" or c["note"], f"{c['id']} is {c['verdict']} without a note"

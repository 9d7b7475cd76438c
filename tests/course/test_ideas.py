"""The idea cells of a lesson can be changed and run again, as the text invites its reader to do.

A lesson runs here once, as a plain program, without a notebook. Each idea cell is then run again as it is, after the last cell:
it must leave the same numbers, whatever ran in between. And it is run with the change that its author proposes: it must run,
and something must come out differently.
"""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.compose import sources

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [source for source in sources(ROOT) if source.name == "lesson.py" and any("idea" in c.tags for c in source.cells)]


def ran(code, names):
    """The numbers and the text that `code` leaves, run in a copy of the namespace `names`; that copy is the third."""
    names, said = dict(names), io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, names)  # noqa: S102
    numbers = {
        k: v.numpy(force=True).copy() if isinstance(v, torch.Tensor) else np.array(v) for k, v in names.items() if _is_number(v)
    }
    return numbers, said.getvalue(), names


def _is_number(value):
    return isinstance(value, torch.Tensor | np.ndarray | float | int) and not isinstance(value, bool)


@pytest.fixture(scope="module", params=LESSONS, ids=lambda source: source.folder[:2])
def lesson(request, tmp_path_factory):
    """[(idea cell, the namespace before it, what it left: see `ran`)], and the namespace at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regimes_course.kit.page.display", lambda *shown, **options: None)
        patch.setenv("REGIMES_PROGRESS", str(tmp_path_factory.mktemp("progress") / "log"))
        names, ideas = {"__name__": "__main__"}, []
        for cell in request.param.cells:
            if cell.kind != "code" or {"widget", "personal"} & set(cell.tags):
                continue
            before, left = names, ran(cell.solved, names)
            names = left[2]
            if "idea" in cell.tags:
                ideas.append((cell, before, left))
        yield ideas, names


def test_an_idea_gives_the_same_numbers_when_it_is_run_again(lesson):
    ideas, end = lesson
    for cell, before, (first, said, after) in ideas:
        again, said_again, _ = ran(cell.solved, end)
        assert said == said_again, f"line {cell.line}"
        for name in (name for name in first if after[name] is not before.get(name)):
            np.testing.assert_array_equal(first[name], again[name], f"line {cell.line}: {name}")


def test_an_idea_can_be_changed(lesson):
    for cell, before, (first, said, _) in lesson[0]:
        old, _, new = (part.strip() for part in cell.meta["vary"].partition("->"))
        changed, said_then, _ = ran(cell.solved.replace(old, new), before)
        assert said != said_then or any(
            first[k].shape != changed[k].shape or not np.array_equal(first[k], changed[k]) for k in first if k in changed
        ), f"line {cell.line}: nothing comes out differently"

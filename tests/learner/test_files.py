"""Which files JupyterLab may write. That it opens the others as read-only stands in tests/browser/door."""

import asyncio
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_notebook
from tornado.web import HTTPError

from regimes_course.learner.files import CourseFiles


@pytest.fixture(params=["a clone", "an unpacked archive"])
def files(request, tmp_path):
    """The contents manager of a course folder, as git knows it or not."""
    for name in ("lessons/01_x.ipynb", "work/01_x.ipynb", "work/lessons/01_x.ipynb", "mine.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(), tmp_path / name)
    if request.param == "a clone":
        for words in (["init", "-q"], ["add", "lessons"], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return CourseFiles(root_dir=str(tmp_path))


def test_what_is_the_learners_can_be_written_and_what_is_the_courses_cannot(files):
    for path in ("work/01_x.ipynb", "work/lessons/01_x.ipynb", "mine.ipynb"):
        assert files.is_writable(path)
    assert not files.is_writable("lessons/01_x.ipynb") and not files.is_writable("/lessons")


@pytest.mark.parametrize(
    "ask",
    [
        lambda files: files.save({"type": "notebook", "content": new_notebook()}, "lessons/01_x.ipynb"),
        lambda files: files.save({"type": "file", "format": "text", "content": ""}, "lessons/new.txt"),
        lambda files: files.rename_file("lessons/01_x.ipynb", "work/x.ipynb"),
        lambda files: files.rename_file("work/01_x.ipynb", "lessons/x.ipynb"),
        lambda files: files.delete_file("lessons/01_x.ipynb"),
    ],
)
def test_whatever_would_change_the_course_is_refused_with_a_reason(files, ask):
    with pytest.raises(HTTPError, match="belongs to the course and stays as it is; your own copies are in work/"):
        asyncio.run(ask(files))

"""What `course.py` does for a learner: open the lessons, start exercises, check them, look at the machine."""

from pathlib import Path

FOLDERS = ("lessons", "exercises")


class Unusable(ValueError):
    """What was asked for cannot be done; the message says why and what to do."""


def course_folder(file: Path = Path(__file__)) -> Path:
    """The folder that holds lib/, lessons/ and exercises/; raises Unusable outside a copy of the course."""
    root = file.resolve().parents[3]
    if missing := [name for name in FOLDERS if not (root / name).is_dir()]:
        raise Unusable(f"{root} is not a complete copy of the course: no {' and no '.join(missing)} in it")
    return root

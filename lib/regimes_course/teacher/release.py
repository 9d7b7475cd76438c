"""`python3 course.py release DIR`: what a class gets. No solutions, and no code that computes an answer."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from regimes_course.exercises import LESSONS
from regimes_course.kit.released import save
from regimes_course.learner import Unusable
from regimes_course.learner.start import exercises

FILES = """course.py pyproject.toml environment.yml constraints.txt LICENSE LICENSE-TEXT CITATION.cff
tools/__init__.py tools/environment.py docs/NOTATION.md docs/CLAIMS.md docs/regimes.png""".split()
LEFT_OUT = shutil.ignore_patterns("checks", "teacher", "__pycache__", ".ipynb_checkpoints")
TEACHING = re.compile(r"^## (For teachers|The library in a few lines)$.*?(?=^## )|^python3 course\.py test .*?\n", re.M | re.S)
CHECKS = '''"""What answers the exercises here, for a class: see `regimes_course.kit.released`."""

from pathlib import Path

from regimes_course.kit.released import load

EXERCISES = load(Path(__file__).parent)
'''


def release(folder: Path, root: Path, lessons: Sequence[str] = ()) -> str:
    """Write the course for a class into `folder`; what there is to say of it.

    root: the course folder; lessons: numbers of those whose exercises are released, all if none is named.
    Raises Unusable for a folder that is there already and not empty, and for a lesson without exercises.
    """
    known = exercises(root)
    if strange := [number for number in lessons if number.zfill(2) not in known]:
        raise Unusable(f"no exercises for lesson {strange[0]!r}; there are {', '.join(known)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Unusable(f"{folder} is there already; name a new folder, so that nothing in it is overwritten")
    chosen = [number.zfill(2) for number in lessons] or list(known)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    (folder / "README.md").write_text(TEACHING.sub("", (root / "README.md").read_text("utf-8")), "utf-8")
    shutil.copytree(root / "lib", folder / "lib", ignore=LEFT_OUT)
    shutil.copytree(root / "lessons", folder / "lessons", ignore=LEFT_OUT)
    (folder / "exercises").mkdir()
    later = 0
    for lesson in LESSONS:
        number = lesson.EXERCISES[0].key[:2]
        checks = folder / f"lib/regimes_course/lesson{number}/checks"
        checks.mkdir()
        (checks / "__init__.py").write_text(CHECKS, "utf-8")
        later += save(lesson.EXERCISES if number in chosen else (), checks)
        if number in chosen:
            shutil.copy(known[number], folder / "exercises")
    return (
        f"{folder} holds the course with the exercises of {', '.join(chosen)}, without solutions and references.\n"
        f"Of {later} exercises its check says that your grader judges them: their check would give the answer away.\n"
        "Grade what comes back with this copy of the course: python3 course.py grade FOLDER"
    )

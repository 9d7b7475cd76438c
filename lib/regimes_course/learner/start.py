"""Copy exercises to work/, where a learner's answers live; nothing there is ever overwritten."""

from pathlib import Path

from regimes_course.learner import Unusable
from regimes_course.learner.handout import copied, keep, write


def exercises(root: Path) -> dict[str, Path]:
    """The exercise notebooks of the course by lesson number: {"01": root/exercises/01_....ipynb}."""
    return {path.name[:2]: path for path in sorted((root / "exercises").glob("[0-9][0-9]_*.ipynb"))}


def start(number: str, root: Path, again: bool = False) -> str:
    """Copy the exercises of lesson `number` ("1", "01") to root/work and say what to do next.

    again: move the copy that is there to a dated name first, and start from a fresh one.
    Raises Unusable, naming the lessons there are, when that lesson has no exercises.
    """
    known = exercises(root)
    source = known.get(number.zfill(2))
    if source is None:
        raise Unusable(f"no exercises for lesson {number!r}. {listing(root)}")
    target = root / "work" / source.name
    shown = f"work/{source.name}"
    if target.exists() and not again:
        return f"{shown} is there already and stays as it is.\n{next_steps(shown)}\n" + (
            f"For a fresh copy that keeps yours under another name: python3 course.py start {number} --again"
        )
    kept = keep(target) if target.exists() else None
    write(copied(source, root, target), target)
    return (f"Your work is kept as work/{kept.name}.\n" if kept else "") + f"Copied {shown}.\n{next_steps(shown)}"


def next_steps(shown: str) -> str:
    """The two commands that come next."""
    return f"Open it with:  python3 course.py lab\nCheck it with: python3 course.py check {shown}"


def listing(root: Path) -> str:
    """What can be started."""
    names = [f"  {number}  {path.stem[3:].replace('_', ' ')}" for number, path in exercises(root).items()]
    return "Lessons with exercises:\n" + ("\n".join(names) or "  none in this copy of the course")

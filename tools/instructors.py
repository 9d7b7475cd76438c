"""What teachers read of the course, written from the course itself: `python -m tools.instructors`."""

import re
from pathlib import Path

from regimes_course.exercises import EXERCISES
from regimes_course.learner.notebook import contents, load, title
from regimes_course.learner.start import exercises

ROOT = Path(__file__).resolve().parent.parent
PAGE, MISTAKES = ROOT / "docs/INSTRUCTORS.md", ROOT / "docs/MISTAKES.md"
TIMES = re.compile(r"(<!-- times: [^>]* -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = """# What students think

What the checks recognise, exercise by exercise, in the words the students get. Written by `python -m tools.instructors`.
"""


def minutes(folder: str, number: str) -> str:
    """What a built notebook states; "" without one."""
    found = sorted((ROOT / folder).glob(f"{number}_*.ipynb"))
    return str(load(found[0], ROOT)["metadata"]["regimes"]["minutes"]) if found else ""


def times() -> str:
    """A row a lesson: minutes to read, to go deeper, to exercise."""
    rows = ["| | lesson | minutes | deeper | exercises |", "|---|---|---|---|---|"]
    pages = {path.name[:2]: path for kind in ("exercises", "lessons") for path in (ROOT / kind).glob("[0-9]*.ipynb")}
    for number, path in sorted(pages.items()):  # of the capstones there are exercises alone
        cells = [number, title(load(path, ROOT)), minutes("lessons", number), minutes("lessons/deeper", number)]
        rows.append(f"| {' | '.join([*cells, minutes('exercises', number)])} |")
    return "\n".join(rows)


def mistakes() -> str:
    """Of each exercise what its check recognises: what students think, in the words that they get."""
    lines = [HEAD.rstrip()]
    for path in exercises(ROOT).values():
        lines += ["", f"## {title(load(path, ROOT)).partition(': ')[0]}"]
        for exercise in contents(path, ROOT):
            name = exercise.title.partition(": ")[2]
            lines += ["", f"**{exercise.key}** ({name}; {'★' * exercise.stars}, {exercise.minutes} minutes)", ""]
            lines += [f"- *{mistake.name}*: {mistake.says}" for mistake in EXERCISES[exercise.key].mistakes]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page for instructors with its table as it should be."""
    return TIMES.sub(lambda found: f"{found[1]}\n{times()}\n\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    MISTAKES.write_text(mistakes(), "utf-8")
    print("docs/INSTRUCTORS.md and docs/MISTAKES.md are written.")

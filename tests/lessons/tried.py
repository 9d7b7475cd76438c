"""What a lesson says when its reader changes numbers in it: a sentence has to be right then, too."""

from importlib import import_module

from tests.lessons.cells import lesson

NOT_RUN = {"hero", "widget", "personal"}


def told(number: str, *changes: tuple[str, str]) -> list[str]:
    """Titles and sentences of pictures, and outcomes, of a lesson run with ``changes``, pairs of old and new text."""
    said, cells = [], [cell for cell in lesson(number).cells if cell.kind == "code" and not NOT_RUN & set(cell.tags)]
    texts = [cell.text for cell in cells if "evidence(" not in cell.text]
    for old, new in changes:
        assert any(old in text for text in texts), f"lesson {number} has no {old!r}"
        texts = [text.replace(old, new) for text in texts]

    def show(figure, says, *movie):
        said.append(" ".join([figure.get_suptitle(), *(ax.get_title() for ax in figure.axes), says]).replace("\n", " "))

    def guess(answer, outcome, **more):
        said.append(outcome)

    names = {"show": show, "guess": guess, "draw": import_module(f"regimes_course.lesson{number}.figures")}
    for text in texts:
        exec(text, names)  # noqa: S102
    return said

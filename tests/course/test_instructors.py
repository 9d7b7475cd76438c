"""The pages for instructors tell of the course as it is."""

from tools.instructors import MISTAKES, PAGE, mistakes, page


def test_the_pages_are_those_of_the_course():
    text = PAGE.read_text("utf-8")
    assert page(text) == text and "| 05 |" in text, "write them anew: python -m tools.instructors"
    assert MISTAKES.read_text("utf-8") == mistakes(), "write them anew: python -m tools.instructors"
    assert "01/gn_direction" in mistakes()

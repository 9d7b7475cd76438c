"""A displayed formula has lines that a phone can hold, and a folded answer with numbers is a list."""

import re
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).resolve().parents[2] / "sources").glob("*/*.py"))
GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
ONE = rf"\s*(?:{GROUP}|(\\[a-zA-Z]+|[^\s{{}}]))"  # what a command or a ^ takes
SPACED = r"[=+<>-]|\\(?:leq?|geq?|to|leftarrow|mid|approx|[rR]ightarrow|Longrightarrow|sum|int)(?![a-zA-Z])"
UNSEEN = r"\\[,;!{}]|\\(?:[bB]igg?|left|right|sqrt|dot|bar|hat|tilde)(?![a-zA-Z])|[{}&\s]"
MOST = 38  # letters: over 40 formulas of the web book one takes 9.2 to 14 px, and a phone has 343 px


def displayed(path):
    """The displayed formulas of a source, each as a list of its lines."""
    text = re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.M)
    found = (re.sub(r"\\(begin|end)\{aligned\}", "", body) for body in re.findall(r"\$\$(.*?)\$\$", text, re.S))
    return [re.split(r"\\\\(?:\[\w+\])?", body) for body in found]


def letters(line):
    """About how many letters wide a line is: what stands high or low is small, a relation has space around it."""
    line = re.sub(r"\\text\w*" + GROUP, lambda m: "." * len(m[1]), line)
    line = re.sub(r"\\qquad", "....", re.sub(r"\\quad", "..", line))
    line = re.sub(r"\\math[a-z]+" + ONE, lambda m: "." * len(m[1] or m[2]), line)
    while (new := re.sub(r"\\[td]?frac" + ONE + ONE, _wider, line, count=1)) != line:
        line = new
    small = sum(0.6 * letters(m[1] or m[2]) for m in re.finditer("[_^]" + ONE, line))
    line = re.sub(UNSEEN, " ", re.sub(SPACED, "..", re.sub("[_^]" + ONE, "", line)))
    return small + len(re.sub(r"\\[a-zA-Z]+|\\.", ".", line).replace(" ", ""))


def _wider(fraction):
    return " " + max(fraction[1] or fraction[2], fraction[3] or fraction[4], key=letters)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_no_line_of_a_formula_is_certainly_too_wide_for_a_phone(path):
    assert [line for lines in displayed(path) for line in lines if letters(line) > MOST] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_numbered_answers_are_a_list(path):
    """Up to its first empty line what is folded is HTML, in which numbers run on."""
    assert not re.search(r"</summary>\s?1\. ", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line, wanted",
    [
        (r"a = b", 4),
        (r"\frac{a + b}{c}", 4),
        (r"\frac\Delta2 x", 2),
        (r"x_j^2", 2.2),
        (r"\text{of it} \quad \alpha", 8),
        (r"\tfrac12\big[\nabla\ell(p + au)\big]", 12),
    ],
)
def test_letters(line, wanted):
    assert letters(line) == pytest.approx(wanted)


def test_a_wide_formula_is_found():
    assert (
        letters(r"x_1 \leftarrow x_1 + F(x_2), \qquad x_2 \leftarrow x_2 + G(x_1), \qquad F(x) = [\phi(xV),\, 1]\;W .") > MOST
    )

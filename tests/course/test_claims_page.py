"""docs/CLAIMS.md is what the executed lessons say."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes

from tools.claims import MIME, PAGE, ROOT, main, page

CLAIM = {
    "id": "gn-rate",
    "lesson": "01",
    "paper": "Arbel et al. 2023",
    "place": "Theorem 1",
    "statement": "The residual shrinks\nat one rate |r|.",
    "setting": "3 seeds",
    "kind": "law",
    "predicted": "2.02",
    "measured": "2.02",
    "spread": "0.01",
    "tolerance": "1 %",
    "verdict": "reproduced",
    "note": "",
}


def lesson(root, *claims, name="01_tiny", title="Tiny"):
    """Writes an executed lesson whose ledger holds `claims`."""
    output = new_output("display_data", {"text/plain": "a table", MIME: list(claims)})
    cells = [new_code_cell("x = 1"), new_code_cell("ledger", outputs=[output])]
    path = root / "lessons" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(writes(new_notebook(cells=cells, metadata={"regimes": {"title": title}})))
    return root


def test_the_committed_page_is_fresh():
    assert page(ROOT) == (ROOT / PAGE).read_text(encoding="utf-8")


def test_one_table_a_lesson(tmp_path):
    lesson(tmp_path, CLAIM, dict(CLAIM, id="b", spread="", setting="", verdict="contradicts", note="see 3"))
    lesson(tmp_path, dict(CLAIM, id="c"), name="02_more", title="More")
    lesson(tmp_path, name="03_none", title="Nothing claimed")
    text = page(tmp_path)
    assert "Do not edit" in text and "3 claims: 2 reproduced, 1 contradicts." in text and "3 laws (a number" in text
    titles = [text.index(f"## {title}") for title in ("Where we disagree", "[01 Tiny](../lessons/01_tiny.ipynb)", "[02 More]")]
    assert titles == sorted(titles)
    assert "Nothing claimed" not in text
    rows = [line for line in text.split("\n") if "| The" in line or line.startswith("| [01 Tiny]")]
    shrinks = r"The residual shrinks at one rate \|r\|. *Arbel et al. 2023, Theorem 1"
    differs = f"{shrinks}. See 3.* | 2.02 1 % (law) | 2.02 | contradicts |"
    assert rows[:3] == [
        f"| [01 Tiny](../lessons/01_tiny.ipynb): {differs}",
        f"| {shrinks}. 3 seeds.* | 2.02 1 % (law) | 2.02 (0.01) | reproduced |",
        f"| {differs}",
    ]
    assert len(rows) == 4


def test_a_page_without_disagreement_says_nothing_of_it(tmp_path):
    assert "disagree" not in page(lesson(tmp_path, CLAIM))


def test_the_command_writes_and_checks(tmp_path, capsys):
    lesson(tmp_path, CLAIM)
    assert main(["--check"], tmp_path) == 1  # not written yet
    assert main([], tmp_path) == 0 and main(["--check"], tmp_path) == 0
    first = (tmp_path / PAGE).read_bytes()
    assert main([], tmp_path) == 0 and (tmp_path / PAGE).read_bytes() == first
    lesson(tmp_path, dict(CLAIM, measured="2.04"))
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    assert "python3 course.py claims" in capsys.readouterr().err


@pytest.mark.parametrize(
    "claims, message",
    [
        ([{k: v for k, v in CLAIM.items() if k != "note"}], "01_tiny.ipynb: claim gn-rate must have the keys"),
        ([dict(CLAIM, verdict="true")], "verdict 'true' of gn-rate; allowed: reproduced"),
        ([CLAIM, CLAIM], "claims with the same id: gn-rate"),
    ],
)
def test_bad_entries_are_refused(tmp_path, capsys, claims, message):
    assert main([], lesson(tmp_path, *claims)) == 1
    assert message in capsys.readouterr().err and not (tmp_path / PAGE).exists()

"""The committed notebooks are what their sources give; nothing is run to find out."""

from pathlib import Path

from tools.compose import notebooks
from tools.stale import stale

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_sources():
    assert notebooks(ROOT)


def test_no_notebook_is_stale_or_edited_by_hand():
    assert [str(problem) for problem in stale(ROOT)] == []

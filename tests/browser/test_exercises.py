"""An exercise in a real JupyterLab: typed, run, checked, drawn."""

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import ARTIFACTS

WRONG = "return J.T @ r"
RIGHT = "return J.T @ torch.linalg.solve(J @ J.T + damping * torch.eye(len(r), dtype=J.dtype), r)"

pytestmark = pytest.mark.browser


def test_an_answer_is_typed_and_checked(open_notebook):
    notebook = open_notebook("exercises/01_gradient_descent_and_gauss_newton.ipynb")
    answer, check, see = map(notebook.cell, ("def gn_direction", 'check("01/gn_direction"', 'see("01/gn_direction"'))
    notebook.menu("Edit", "Clear Outputs of All Cells")
    notebook.select(answer)
    notebook.menu("Run", "Run All Above Selected Cell")
    verdict = check.get_by_role("status")
    for line, code, says in [
        (None, None, "01/gn_direction: not attempted."),
        ("raise NotImplementedError()", WRONG, "01/gn_direction: wrong. This is J^T r, the gradient of the summed loss"),
        (WRONG, RIGHT, "01/gn_direction: passed."),
    ]:
        if code:
            notebook.replace_line(answer, line, code)
        notebook.run(answer)
        notebook.run(check)
        expect(verdict).to_contain_text(says)
        notebook.run(see)
        expect(see).to_contain_text(
            "Drawn with your gn_direction." if code == RIGHT else "Drawn with a solution: yours has not"
        )
        check.screenshot(path=ARTIFACTS / f"check_{says.split()[1].strip('.')}.png")

from pathlib import Path
import time


def test_explore(open_notebook):
    t = time.time()
    nb = open_notebook("lessons/01_gradient_descent_and_gauss_newton.ipynb", blank=True)
    print("open", time.time() - t)
    p = nb.page
    p.get_by_role("menuitem", name="Run", exact=True).click()
    print([x.inner_text() for x in p.get_by_role("menuitem").all()])
    p.keyboard.press("Escape")
    nb.menu("Run", "Run All Cells")
    p.get_by_role("slider").first.wait_for()
    print("slider", time.time() - t)
    nb.wait_for(nb.cells.last)
    print("done", time.time() - t)
    Path("/tmp/page.html").write_text(p.content())
    w = p.locator(".jp-Cell", has=p.get_by_role("slider"))
    print(w.count(), w.locator("img").count(), p.get_by_role("slider").count())
    w.screenshot(path="/tmp/w.png")
    s = nb.save()
    print("saved", time.time() - t, [c.execution_count for c in s.cells if c.cell_type == "code"])
    for i in range(3):
        print(p.get_by_role("slider").nth(i).evaluate("e=>e.outerHTML"))
    print(w.locator(".widget-subarea, .jupyter-widgets").first.evaluate("e=>e.outerHTML")[:3000])
    print(w.bounding_box())

"""Runs a notebook, refuses what must not be stored, and removes what differs from run to run."""

import base64
import io
import os
import re
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from tools.rules import ABSOLUTE

CELL_SECONDS = 180
# One thread and no progress bars: the same numbers, and no timings, in every run.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
    "REGIMES_PROGRESS": os.devnull,  # what the author has solved is not stored
}
WIDGET = "application/vnd.jupyter.widget-view+json"
SLIDERS = "Run this cell to see its sliders."
EMBEDDED = re.compile(r"(data:(?:image/png|video/webm);base64,)([\w+/=]+)")
COLOURS = 128
REFUSED = {
    "an absolute path": ABSOLUTE,
    "a memory address": re.compile(r"\bat 0x[0-9a-f]{6,}"),
    "a time": re.compile(
        r"\d(it/s|s/it)|\d ?(ms|µs|ns|sec|secs|seconds?)\b|\d\.\d+ ?s\b|\b\d+:\d\d:\d\d\b|CPU times|Wall time"
    ),
}


class Refused(Exception):
    """A cell failed, or left an output that must not be stored; `cell` is its index."""

    def __init__(self, cell: int, reason: str):
        self.cell = cell
        super().__init__(reason)


def execute(node: NotebookNode, folder: Path, on_cell=lambda: None) -> None:
    """Runs `node` in place, with `folder` as working directory, and makes its outputs fit to be stored.

    `on_cell` is called after every code cell. Raises Refused.
    """
    _run(node, folder, on_cell)
    for index, cell in enumerate(node.cells):
        for output in cell.get("outputs", []):
            if reason := _refuse(output):
                raise Refused(index, reason)
            _normalise(output)
    node.metadata["language_info"] = {"name": "python"}


def _run(node, folder, on_cell):
    current = [0]
    client = NotebookClient(
        node,
        timeout=CELL_SECONDS,
        startup_timeout=120,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: current.__setitem__(0, cell_index),
        on_cell_executed=lambda cell, cell_index, execute_reply: on_cell(),
    )
    try:
        client.execute(env=os.environ | ENVIRONMENT)
    except (CellControlSignal, DeadKernelError) as error:
        raise Refused(current[0], re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()) from None


def _refuse(output):
    if output.output_type == "error":  # an object that could not be displayed; the cell itself went on
        return f"an error: {output.ename}: {output.evalue}"
    if output.output_type == "stream" and output.name == "stderr":
        return f"stderr or a warning: {output.text.strip()}"
    for text in texts(output):
        for name, pattern in REFUSED.items():
            if match := pattern.search(text):
                return f"{name} in the output: {match[0]!r}"
    return None


def texts(output: NotebookNode) -> list[str]:
    """Every text of an output, images left out."""
    if output.output_type == "stream":
        return [output.text]
    data = output.get("data", {})
    return [EMBEDDED.sub(r"\1", str(value)) for mime, value in data.items() if not mime.startswith("image/")]


def _normalise(output):
    data = output.get("data", {})
    if WIDGET in data:  # its model dies with the kernel: JupyterLab would show "model not found"
        del data[WIDGET]
        data["text/plain"] = SLIDERS
    if "image/png" in data:
        data["image/png"] = quantise(data["image/png"])
    if "text/html" in data:
        still = "data:image/png;base64,"
        shrink = lambda found: found[1] + (quantise(found[2]) if found[1] == still else found[2])  # noqa: E731
        data["text/html"] = EMBEDDED.sub(shrink, data["text/html"])


def quantise(png: str) -> str:
    """A base64 PNG with a palette of 128 colours on white, or the same one where that is not smaller."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image)
    buffer = io.BytesIO()
    small = page.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    small.save(buffer, format="PNG", optimize=True)
    return min(base64.b64encode(buffer.getvalue()).decode(), png, key=len)

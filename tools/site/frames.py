"""A picture and a sentence for every position of a widget that the book shows, kept from one build to the next.

The pictures are WebP without loss, in few colours: text and lines are sharper than in a format for photographs, and the files
are smaller.
"""

import hashlib
import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import torch
from PIL import Image

from benchmarks.widgets import widgets
from regimes_course.kit.widget import Explorer, Widget
from tools.site.grid import positions

LIB = Path(__file__).resolve().parents[2] / "lib"
COLOURS = 48
CHUNK = 16  # neighbouring positions, for one process: what a widget remembers between moves helps


@dataclass(frozen=True)
class Frames:
    """The frames of a widget: picture ``i`` is ``folder/i.webp``, and ``sentences[i]`` says what it shows."""

    name: str
    widget: Widget
    values: Mapping[str, tuple]
    folder: Path
    sentences: list[str]


def webp(image: Image.Image) -> bytes:
    """An image as WebP in few colours."""
    file = io.BytesIO()
    image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB").save(file, "WEBP", lossless=True)
    return file.getvalue()


def render(name: str, settings: list[dict[str, Any]]) -> list[tuple[bytes, str]]:
    """Picture and sentence of some positions: what an explorer shows when its sliders are moved there."""
    explorer = Explorer(dict(widgets())[name])
    explorer.png()  # the panels keep the places that the first picture gives them
    explorer.panel.unobserve_all("ask")  # one picture a position, not one a slider
    shown = []
    for position in settings:
        for slider, value in position.items():
            explorer.sliders[slider].value = value
        png = explorer.png()
        shown.append((webp(Image.open(io.BytesIO(png))), explorer.sentence))
    return shown


def digest(name: str, widget: Widget, values: Mapping[str, tuple]) -> str:
    """What the frames depend on: the library, the kit, the lesson, the values and how a picture is written."""
    lesson = widget.compute.__module__.split(".")[1]
    folders = (LIB / "regimes", LIB / "regimes_course/kit", LIB / "regimes_course" / lesson)
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".json"))
    parts = [name, repr(dict(values)), str(COLOURS), matplotlib.__version__, torch.__version__, Image.__version__]
    known = hashlib.sha256("\0".join(parts).encode())
    for path in files:
        known.update(path.read_bytes())
    return known.hexdigest()[:16]


def all_frames(wanted: Mapping[str, Mapping[str, tuple]], cache: Path, jobs: int) -> dict[str, Frames]:
    """The frames of the widgets in ``wanted``, by name; those that are not in the cache are made by ``jobs`` processes."""
    known, found, tasks = dict(widgets()), {}, []
    for name, values in wanted.items():
        folder = cache / f"{name}-{digest(name, known[name], values)}"
        if not (folder / "sentences.json").exists():
            for old in cache.glob(f"{name}-*"):
                shutil.rmtree(old)
            places = list(positions(values))
            tasks += [(name, folder, start, places[start : start + CHUNK]) for start in range(0, len(places), CHUNK)]
        found[name] = folder
    _make(tasks, jobs)
    told = {name: json.loads((folder / "sentences.json").read_text("utf-8")) for name, folder in found.items()}
    return {name: Frames(name, known[name], values, found[name], told[name]) for name, values in wanted.items()}


def _make(tasks: list[tuple[str, Path, int, list[dict]]], jobs: int) -> None:
    """Render what is missing. A widget's sentences are written when all of its pictures are there."""
    if not tasks:
        return
    os.environ["TQDM_DISABLE"] = "1"  # for the processes
    told: dict[Path, dict[int, str]] = {}
    left = {folder: sum(one[1] == folder for one in tasks) for _, folder, _, _ in tasks}
    with multiprocessing.get_context("spawn").Pool(jobs, torch.set_num_threads, (1,)) as pool:
        results = [pool.apply_async(render, (name, places)) for name, _, _, places in tasks]
        for (name, folder, start, _), result in zip(tasks, results, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            for index, (picture, sentence) in enumerate(result.get(), start):
                (folder / f"{index}.webp").write_bytes(picture)
                told.setdefault(folder, {})[index] = sentence
            left[folder] -= 1
            if not left[folder]:
                sentences = [told[folder][index] for index in sorted(told[folder])]
                (folder / "sentences.json").write_text(json.dumps(sentences, ensure_ascii=False), "utf-8")
                print(f"  {name}: {len(sentences)} pictures", flush=True)
        pool.close()
        pool.join()  # let the processes end by themselves: they have things to put away

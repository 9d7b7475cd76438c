"""A film of pictures: they come back, and a browser's rules for the container are kept."""

import io

import numpy as np
import pytest
from PIL import Image

from regimes_course.kit.webm import pack, unpack


def coloured(*colours: str) -> list[Image.Image]:
    return [Image.new("RGB", (41, 20), colour) for colour in colours]


def test_the_frames_of_a_film_come_back_in_their_order():
    images = coloured("white", "black", "red")
    frames, milliseconds = unpack(pack(images, seconds=1.2))
    assert milliseconds == 400 and len(frames) == 3
    for frame, image in zip(frames, images, strict=True):
        shown = Image.open(io.BytesIO(frame))
        assert shown.format == "WEBP" and shown.size == image.size
        assert np.abs(np.asarray(shown.convert("RGB"), float) - np.asarray(image, float)).max() < 6


def test_a_film_of_one_frame_is_a_film():
    assert len(unpack(pack(coloured("white"), 4.0))[0]) == 1


def test_a_film_says_how_large_and_how_long_it_is():
    film = pack(coloured("white", "black"), seconds=3)
    assert film.startswith(bytes.fromhex("1a45dfa3")) and b"webm" in film[:40] and b"V_VP8" in film
    assert bytes.fromhex("b0 0100000000000004 00000029") in film  # 41 pixels wide


def test_pictures_that_webp_cannot_hold_as_vp8_are_refused(monkeypatch):
    monkeypatch.setattr(Image.Image, "save", lambda self, file, *_, **__: file.write(b"RIFF\0\0\0\0WEBPVP8X" + bytes(10)))
    with pytest.raises(ValueError, match="VP8X"):
        pack(coloured("white"), 1)

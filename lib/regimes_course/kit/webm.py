"""A film without a video encoder: a WebP picture holds a key frame of VP8, and a WebM film may be a row of key frames.

Browsers play it (Safari since 14.1), with buttons of their own; JupyterLab keeps it also in a notebook that it does not trust.
"""

import io
import struct
from collections.abc import Sequence

from PIL import Image

__all__ = ["pack", "unpack"]

QUALITY = 40  # lines and text stay sharp, colours blur over two pixels
BLOCK, CLUSTER = "A3", "1F43B675"  # of Matroska: a frame with its time, and a row of them


def pack(images: Sequence[Image.Image], seconds: float) -> bytes:
    """A film of images of one size, each shown for the same time, 32 seconds in all at most."""
    step = round(1000 * seconds / len(images))
    width, height = images[0].size
    size = _element("E0", _number("B0", width), _number("BA", height))
    track = _element("AE", *(_number(kind, 1) for kind in ("D7", "73C5", "83")), _element("86", b"V_VP8"), size)
    duration = _element("4489", struct.pack(">d", step * len(images)))
    writer = [_element(kind, b"regimes") for kind in ("4D80", "5741")]
    info = _element("1549A966", _number("2AD7B1", 1_000_000), duration, *writer)
    frames = [_element(BLOCK, b"\x81", (step * k).to_bytes(2), b"\x80", _key_frame(one)) for k, one in enumerate(images)]
    cluster = _element(CLUSTER, _number("E7", 0), *frames)
    head = _element("1A45DFA3", _element("4282", b"webm"), _number("4287", 2), _number("4285", 2))
    return head + _element("18538067", info, _element("1654AE6B", track), cluster)


def unpack(film: bytes) -> tuple[list[bytes], int]:
    """The frames of a film that `pack` made, as WebP, and for how many milliseconds each is shown."""
    frames, times, place = [], [], film.index(bytes.fromhex(CLUSTER)) + 12
    while place < len(film):
        start, size = place + 9, int.from_bytes(film[place + 2 : place + 9])
        if film[place] == int(BLOCK, 16):
            times.append(int.from_bytes(film[start + 1 : start + 3]))
            frames.append(_webp(film[start + 4 : start + size]))
        place = start + size
    return frames, times[1] if len(times) > 1 else 0


def _key_frame(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "WEBP", quality=QUALITY, method=6)
    webp = file.getvalue()
    if webp[12:16] != b"VP8 ":
        raise ValueError(f"Pillow wrote {webp[12:16]!r} into a WebP file, where VP8 was expected")
    return webp[20 : 20 + int.from_bytes(webp[16:20], "little")]


def _webp(frame: bytes) -> bytes:
    body = frame + bytes(len(frame) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8 " + struct.pack("<I", len(frame)) + body


def _element(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes.fromhex(kind) + (len(body) | 1 << 56).to_bytes(8) + body


def _number(kind: str, value: int) -> bytes:
    return _element(kind, value.to_bytes(4))

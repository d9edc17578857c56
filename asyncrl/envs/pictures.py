"""Converts what an environment's ``render`` returns to pictures of one kind: uint8 ``[H, W, 3]``."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]

CHANNELS = (1, 3, 4)  # grey, RGB, and RGB with alpha, which is dropped
MAX_SIDE = 8192  # pixels
ROUNDING = 0.01  # that a float in [0, 1] may exceed 1 by
DEFAULT_RATE = 30.0  # pictures a second, of an environment that names no rate
MIN_RATE, MAX_RATE = 0.1, 1000.0


def frames_per_second(metadata: object) -> float:
    """Return ``render_fps`` of an environment's metadata, or DEFAULT_RATE where that is no usable number."""
    rate: Any = metadata.get("render_fps") if isinstance(metadata, Mapping) else None
    if isinstance(rate, bool | np.bool_) or not isinstance(rate, int | float | np.number):
        return DEFAULT_RATE
    rate = np.real(rate)
    return float(rate) if MIN_RATE <= rate <= MAX_RATE else DEFAULT_RATE


class PictureConverter:
    """Converts the pictures of one environment.

    A picture may be grey ``[H, W]``, or have its channels last or first, and may be of any type of number: bytes in
    0 … 255, or floats in [0, 1] or [0, 255]. Floats are in [0, 1] until one of them is larger.
    """

    def __init__(self) -> None:
        """Expect floats in [0, 1]."""
        self._largest_float = 1.0

    def convert(self, rendered: Any) -> Picture:
        """Return uint8 ``[H, W, 3]``; raise ValueError if this is no picture."""
        if rendered is None:
            raise ValueError("render() returned None")
        pixels = np.asarray(rendered)
        if pixels.dtype.kind not in "buif":
            raise ValueError(f"render() returned {type(rendered).__name__}, no array of numbers")
        pixels = _channels_last(pixels)
        if not 0 < min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= MAX_SIDE:
            raise ValueError(f"render() returned {pixels.shape}, not 1 … {MAX_SIDE} pixels a side")
        pixels = self._bytes(pixels)
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[..., :3])

    def _bytes(self, pixels: NDArray[Any]) -> Picture:
        if pixels.dtype == np.uint8:
            return pixels
        if pixels.dtype.kind == "b":
            return 255 * pixels.astype(np.uint8)
        low, high = float(pixels.min()), float(pixels.max())
        # also false for NaN
        if not (low >= 0 and high <= 255):
            raise ValueError(f"render() returned numbers from {low:g} to {high:g}, not in 0 … 255")
        if pixels.dtype.kind == "f":
            self._largest_float = max(self._largest_float, high)
            is_fraction = self._largest_float <= 1 + ROUNDING
            pixels = np.rint(np.minimum(255.0 * pixels, 255) if is_fraction else pixels)
        return pixels.astype(np.uint8)


def _channels_last(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return ``[H, W, C]`` for ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``."""
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim == 3 and pixels.shape[2] in CHANNELS:
        return pixels
    if pixels.ndim == 3 and pixels.shape[0] in CHANNELS:
        return np.moveaxis(pixels, 0, 2)
    raise ValueError(f"render() returned {pixels.shape}, not [H, W], [H, W, 3] or [3, H, W]")


def fit(picture: Picture, height: int, width: int) -> Picture:
    """Return a picture of a size: enlarged or reduced to fit, with its ratio of sides, and with black edges."""
    h, w = picture.shape[:2]
    if (h, w) == (height, width):
        return picture
    scale = min(height / h, width / w)
    new_h, new_w = max(1, round(h * scale)), max(1, round(w * scale))
    rows, columns = np.arange(new_h) * h // new_h, np.arange(new_w) * w // new_w
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - new_h) // 2, (width - new_w) // 2
    canvas[top : top + new_h, left : left + new_w] = picture[rows][:, columns]
    return canvas

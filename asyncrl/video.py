"""A video of an agent at play."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncrl import experiment
from asyncrl.errors import InputError
from asyncrl.store import runs

Picture = NDArray[np.uint8]

EMULATOR_HZ = 60  # Atari frames a second
OTHER_HZ = 30  # pictures a second elsewhere
SMALL = 400  # pixels: smaller pictures are enlarged by a whole factor


def record(run: Path, which: str, out: Path, episodes: int, max_seconds: float | None) -> list[float]:
    """Film whole games of a checkpoint, one after another, and return their scores.

    The file appears under its name only when it is complete.

    Args:
        run: its directory.
        which: ``last``, ``best`` or a step.
        out: ``.mp4`` or ``.gif``.
        episodes: games.
        max_seconds: of video, where it is then cut; None for all of it.

    Raises:
        InputError: the file cannot be written, or the environment has no pictures; nothing was written.
    """
    _check(out)
    skipped = runs.read_document(run)["frames_per_step"]
    rate = EMULATOR_HZ // skipped if skipped > 1 else OTHER_HZ
    scores: list[float] = []
    pictures = islice(_games(run, which, episodes, scores), int(max_seconds * rate) if max_seconds else None)
    _write(pictures, out, rate)
    return scores


def _games(run: Path, which: str, episodes: int, scores: list[float]) -> Iterator[Picture]:
    for game in range(episodes):
        scores.append(0.0)
        for picture, scores[-1] in experiment.play(run, which, seed=1 + game):
            yield picture


def _check(out: Path) -> None:
    if out.suffix not in (".mp4", ".gif"):
        raise InputError(f"A video is an .mp4 or a .gif; got {out.name!r}.")
    if not out.parent.is_dir():
        raise InputError(f"Cannot write {out}: there is no directory {out.parent}.")
    if any(find_spec(module) is None for module in ("imageio", "imageio_ffmpeg")):
        raise InputError('Videos need imageio, an extra: pip install "asyncrl[video]".')


def _write(pictures: Iterator[Picture], out: Path, rate: int) -> None:
    imageio: Any = import_module("imageio.v2")  # an extra
    first = next(pictures)  # an environment without pictures raises here, before there is a file
    temporary = out.with_name(f".tmp-{out.name}")
    options: dict[str, Any] = {"macro_block_size": 2} if out.suffix == ".mp4" else {"loop": 0}
    speed = {"fps": rate} if out.suffix == ".mp4" else {"duration": 1000 / rate}
    try:
        with imageio.get_writer(temporary, **speed, **options) as writer:
            for picture in chain([first], pictures):
                writer.append_data(_enlarged(picture))
        temporary.replace(out)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _enlarged(picture: Picture) -> Picture:
    """Repeat pixels until the picture's shorter side has enough of them."""
    times = max(1, SMALL // min(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)

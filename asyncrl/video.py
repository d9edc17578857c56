"""Records a video of an agent."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncrl import experiment
from asyncrl.envs.render import make_rendered
from asyncrl.errors import InputError
from asyncrl.store.settings import config_of

Picture = NDArray[np.uint8]

MIN_PIXELS = 400  # of the shorter side, below which pictures are enlarged by a whole factor


def record(run: Path, which: str, out: Path, episodes: int, max_seconds: float | None) -> list[float]:
    """Record whole episodes of a checkpoint, one after another, and return their scores.

    The file gets its final name only when it is complete. Its rate is that of the environment.

    Args:
        run: its directory.
        which: ``last``, ``best`` or a step.
        out: ``.mp4`` or ``.gif``.
        episodes: how many.
        max_seconds: the length at which the video is cut; None: no limit.

    Raises:
        InputError: the file cannot be written, or the environment cannot render; nothing was written.
    """
    _check(out)
    rate = frames_per_second(run)
    scores: list[float] = []
    pictures = islice(_pictures(run, which, episodes, scores), int(max_seconds * rate) if max_seconds else None)
    _write(pictures, out, rate)
    return scores


def _pictures(run: Path, which: str, episodes: int, scores: list[float]) -> Iterator[Picture]:
    for episode in range(episodes):
        scores.append(0.0)
        for picture, scores[-1] in experiment.play(run, which, seed=1 + episode):
            yield picture


def frames_per_second(run: Path) -> int:
    """Return the rate at which the environment of a run is shown: its ``render_fps``; on Atari 60 / frame skip."""
    config = config_of(run)
    rendered = make_rendered(config.env, config.atari)
    rendered.close()
    return rendered.frames_per_second


def _check(out: Path) -> None:
    if out.suffix not in (".mp4", ".gif"):
        raise InputError(f"A video is an .mp4 or a .gif; got {out.name!r}.")
    if not out.parent.is_dir():
        raise InputError(f"Cannot write {out}: there is no directory {out.parent}.")
    if any(find_spec(module) is None for module in ("imageio", "imageio_ffmpeg")):
        raise InputError('Videos need imageio, an extra: pip install "asyncrl[video]".')


def _write(pictures: Iterator[Picture], out: Path, rate: int) -> None:
    # The package is an extra, so it may be missing.
    imageio: Any = import_module("imageio.v2")
    # An environment that cannot render raises here, before the file is created.
    first = next(pictures)
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
    """Repeat pixels by a whole factor, so that the shorter side has about MIN_PIXELS."""
    times = max(1, MIN_PIXELS // min(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)

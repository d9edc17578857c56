"""Records a video of an agent."""

import math
import secrets
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from asyncrl import experiment
from asyncrl.envs.pictures import Picture, fit
from asyncrl.envs.render import make_rendered
from asyncrl.errors import InputError, needs
from asyncrl.store.settings import config_of

MAX_SECONDS = 86_400  # the longest video
MIN_PIXELS = 400  # of the shorter side, below which pictures are enlarged by a whole factor
MAX_PIXELS = 1600  # of the longer side, beyond which none is enlarged
GIF_RATE = 50  # pictures a second, the most that programs show: faster GIFs are shown at ten


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
    count = None if max_seconds is None else max(1, int(min(max_seconds, MAX_SECONDS) * rate))
    _write(islice(_pictures(run, which, episodes, scores), count), out, rate)
    return scores


def _pictures(run: Path, which: str, episodes: int, scores: list[float]) -> Iterator[Picture]:
    for episode in range(episodes):
        scores.append(0.0)
        for picture, scores[-1] in experiment.play(run, which, seed=1 + episode):
            yield picture


def frames_per_second(run: Path) -> float:
    """Return the rate at which the environment of a run is shown: its ``render_fps``; on Atari 60 / frame skip."""
    config = config_of(run)
    rendered = make_rendered(config.env, config.atari, config.channels, config.env_args)
    rendered.close()
    return rendered.frames_per_second


def _check(out: Path) -> None:
    if out.suffix not in (".mp4", ".gif"):
        raise InputError(f"A video is an .mp4 or a .gif; got {out.name!r}.")
    if not out.parent.is_dir():
        raise InputError(f"Cannot write {out}: there is no directory {out.parent}.")
    if any(find_spec(module) is None for module in ("imageio", "imageio_ffmpeg")):
        raise InputError(needs("A video", "imageio", "video"))


def _write(pictures: Iterator[Picture], out: Path, rate: float) -> None:
    # The package is an extra, so it may be missing.
    imageio: Any = import_module("imageio.v2")
    # An environment that cannot render raises here, before the file is created.
    first = next(pictures)
    height, width = _size(*first.shape[:2])
    # H.264 needs even sides
    edges = (0, height % 2), (0, width % 2), (0, 0)
    temporary = out.with_name(f".tmp-{secrets.token_hex(4)}{out.suffix}")
    every = math.ceil(rate / GIF_RATE) if out.suffix == ".gif" else 1
    options: dict[str, Any] = {"duration": 1000 * every / rate, "loop": 0}
    if out.suffix == ".mp4":
        options = {"fps": rate, "macro_block_size": 2}
    try:
        with imageio.get_writer(temporary, **options) as writer:
            for picture in islice(chain([first], pictures), 0, None, every):
                writer.append_data(np.pad(fit(picture, height, width), edges))
        temporary.replace(out)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror or 'the program ffmpeg failed'}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _size(height: int, width: int) -> tuple[int, int]:
    """Enlarge by a whole factor: the shorter side to about MIN_PIXELS, the longer one to at most MAX_PIXELS."""
    times = max(1, min(MIN_PIXELS // min(height, width), MAX_PIXELS // max(height, width)))
    return height * times, width * times

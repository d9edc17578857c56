"""Short texts of numbers for tables and messages, and texts from outside made safe to store and to print."""

import math
import re
import traceback
from collections.abc import Sequence
from itertools import accumulate, pairwise

NOTHING = "–"
BARS = "▁▂▃▄▅▆▇█"
NO_BAR = "·"  # of a value that is not finite
JOINERS = "\u200c\u200d"  # not printable by themselves; parts of Persian words and of emoji
LONGEST = 1_000  # characters of a text from outside
LONGEST_NAME, LONGEST_LINE, LONGEST_TEXT = 100, 500, 6_000  # characters of an error's type, a message, a traceback
HEAD_SHARE = 3  # a third of what is kept is the head: a traceback ends with its cause
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)  # not tab and newline
# For an encoding without them; each is one character, so that columns stay aligned.
ASCII = dict(zip(f"{NOTHING}…×·→±εµ−{BARS}", "-~x.>~eu-_.:-=+*#", strict=True))


def count(number: float | None) -> str:
    """Write 1,234,567 as ``1.23M``; anything under 10,000 in full; ``–`` where there is no number."""
    if number is None:
        return NOTHING
    if not -1e15 < number < 1e15:  # NaN, too
        return _float_text(number)
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * unit:  # so that 999,999 is 1M, not 1000k
            return f"{float(f'{number / unit:.3g}'):g}{name}"
    raise AssertionError(number)


def natural(name: str) -> list[str | float]:
    """Return a key that sorts names by the numbers in them: 2 threads, 16 threads."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", name)
    return [float(part) if i % 2 else part for i, part in enumerate(parts)]


def counted(things: int, name: str) -> str:
    """Write ``1 run`` and ``2 runs``."""
    return f"{things:,} {name}{'s' * (things != 1)}"


def duration(seconds: float) -> str:
    """Write less than a minute as ``0.46 s`` or ``32 s``, and more as ``clock`` does."""
    return f"{seconds:.2g} s" if 0 < seconds < 59.5 else clock(seconds)


def clock(seconds: float | None) -> str:
    """Write 3,725 seconds as ``1:02:05``, and more than two days as ``3d 4h``; ``–`` where there is no number."""
    if seconds is None:
        return NOTHING
    if not math.isfinite(seconds):
        return _float_text(seconds)
    if seconds < 0:
        return f"-{clock(-seconds)}"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 24_000:
        return f"{count(hours // 24)}d"
    if hours >= 48:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def number(value: float | None) -> str:
    """Write a statistic with three digits: ``0.123``, ``6.1e-4``, ``1.23e5``."""
    if value is None:
        return NOTHING
    return _float_text(value) if value and not 1e-3 <= abs(value) < 1e5 else f"{float(f'{value:.3g}'):g}"


def _float_text(value: float) -> str:
    """Write ``1.23e5``, ``nan``, ``inf`` or ``-inf``."""
    try:
        mantissa, exponent = f"{value:.2e}".split("e")
    except OverflowError:  # an integer beyond float64
        return "inf" if value > 0 else "-inf"
    except ValueError:
        return f"{value:f}"
    return f"{float(mantissa):g}e{int(exponent)}"


def score(value: float | None) -> str:
    """Write an episode's score: with one decimal, or none if it is whole or large; ``nan`` and ``inf`` as they are."""
    if value is None:
        return NOTHING
    if not abs(value) < 100_000:
        return count(value)
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.1f}"


def escape(text: object, keep: str = "") -> str:
    r"""Write characters that a terminal would interpret, or not show, as ``\n`` or ``\u001b``.

    These are control characters, directional marks, lone surrogates and unusual spaces. The result is still valid in a
    string of JSON or TOML.

    Args:
        text: from outside: a name, an option, a stored text.
        keep: characters that stay, such as a newline.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS or c in keep else _code(c) for c in text)


def _code(character: str) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    number = ord(character)
    return short or (f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}")


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return the beginning of a text that is longer, with its length."""
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks by a similar ASCII character, or by its code: an error handler of ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_similar(c) or _code(c) for c in lacking), error.end


def _similar(character: str) -> str:
    is_braille = "\u2800" <= character <= "\u28ff"  # of a spinner
    return "*" if is_braille else ASCII.get(character, "")


def downsampled(values: Sequence[float], width: int) -> list[float]:
    """Return at most ``width`` values: the values themselves, or means of neighbours if there are more."""
    edges = [i * len(values) // width for i in range(width + 1)] if len(values) > width else range(len(values) + 1)
    # Each value is divided before it is added: a sum of large values may overflow.
    return [sum(value / (high - low) for value in values[low:high]) for low, high in pairwise(edges)]


def _heights(values: Sequence[float], most: int) -> list[int | None]:
    """Scale values to whole numbers from 0 to ``most``, the lowest to the highest; None for one that is not finite."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0) / 2, max(finite, default=0.0) / 2
    span = (high - low) or 1.0  # of half the values: a difference of large values may overflow
    return [round(most * ((value / 2 - low) / span)) if math.isfinite(value) else None for value in values]


def bars(values: Sequence[float], width: int, height: int) -> list[str]:
    """Draw values as bars of ``height`` rows, the top row first.

    The bar of the lowest value is an eighth of a row high; a value that is not finite has no bar.
    """
    heights = _heights(downsampled(values, width), 8 * height - 1)
    eighths = [0 if eighth is None else 1 + eighth for eighth in heights]
    rows = range(height - 1, -1, -1)
    return ["".join(f" {BARS}"[max(0, min(8, eighth - 8 * row))] for eighth in eighths) for row in rows]


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw the last ``width`` values as one line of bars; ``·`` is a value that is not finite."""
    return "".join(NO_BAR if height is None else BARS[height] for height in _heights(values[-width:], 7))


def printable(text: str) -> str:
    r"""Replace what cannot be encoded or displayed by escapes such as ``\u001b``; tab and newline stay."""
    return UNPRINTABLE.sub(lambda found: _code(found[0]), text)


def bounded(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a printable text of at most ``longest`` characters: head, number of characters left out, tail."""
    if len(text) <= longest:
        shown = printable(text)
        if len(shown) <= longest:
            return shown
    room = longest - 60  # the rest is for the note
    head = _fitting(text[:room], room // HEAD_SHARE)
    tail = _fitting(text[-room:][::-1], room - room // HEAD_SHARE)
    note = f" [… {len(text) - head - tail:,} characters left out …] "
    return printable(text[:head]) + note + printable(text[len(text) - tail :])


def _fitting(text: str, room: int) -> int:
    """Return how many of the first characters, escaped, are not longer than ``room``."""
    ends = accumulate(len(printable(character)) for character in text)
    return sum(1 for end in ends if end <= room)


def one_line(text: str, most: int = LONGEST_LINE) -> str:
    """Return a text, bounded to ``most`` characters, on one line."""
    return " ".join(bounded(text, most).split())


def error_text(error: BaseException) -> str:
    """Return ``ValueError: what happened`` on one line, also where the error's own text cannot be made."""
    name = bounded(type(error).__name__, LONGEST_NAME)
    try:
        message = str.__str__(str(error))  # the text may be of a subclass of str
    except BaseException as failed:
        message = f"its text cannot be made: {type(failed).__name__} in __str__"
    shown = one_line(message, LONGEST_LINE - LONGEST_NAME - 2)
    return f"{name}: {shown}" if shown else name


def traceback_text(error: BaseException) -> str:
    """Return the bounded traceback of an error; see ``error_text``."""
    try:
        return bounded("".join(traceback.format_exception(error)))
    except BaseException as failed:
        return f"the traceback cannot be made: {type(failed).__name__}\n"

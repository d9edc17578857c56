"""Texts from outside: bounded, printable, and made of any error."""

import pytest

from asyncrl import text


@pytest.mark.parametrize(
    ("unclean", "shown"),
    [
        ("caf\udce9.rom", r"caf\udce9.rom"),
        ("\x1b[31mred\x00", r"\u001b[31mred\u0000"),
        ("a\rb\u202ec\x9b", r"a\rb\u202ec\u009b"),
        ("two\nlines\tof café, 日本 and 🎮", "two\nlines\tof café, 日本 and 🎮"),
    ],
)
def test_printable_text_escapes_what_cannot_be_encoded_or_displayed(unclean, shown):
    assert text.printable(unclean) == shown
    assert text.bounded(unclean) == shown


@pytest.mark.parametrize("unit", ["x", "line\n", "\udce9", "\x00", "é"])
def test_bounded_text_keeps_head_and_tail_and_counts_the_rest(unit):
    long = f"HEAD{unit * 1_000_000}TAIL"
    found = text.bounded(long)
    assert len(found) <= text.LONGEST_TEXT
    assert found.startswith("HEAD")
    assert found.endswith("TAIL")
    left_out = int(found.split("[… ")[1].split(" characters")[0].replace(",", ""))
    assert len(long) - text.LONGEST_TEXT <= left_out < len(long)
    assert text.bounded(found) == found


def test_one_line_of_a_million_lines_is_short():
    assert len(text.one_line("a b\n" * 1_000_000)) <= text.LONGEST_LINE


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Exiting(Exception):
    def __str__(self):
        raise SystemExit(3)


class OwnText(str):
    __slots__ = ()

    def __format__(self, how):
        raise ValueError(how)


class Formatted(Exception):
    def __str__(self):
        return OwnText("mine")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (Silent(), "Silent: its text cannot be made: RuntimeError in __str__"),
        (Exiting(), "Exiting: its text cannot be made: SystemExit in __str__"),
        (Formatted(), "Formatted: mine"),
        (type("Od\x1bd", (Exception,), {})("name"), r"Od\u001bd: name"),
    ],
)
def test_error_text_names_type_and_message_of_any_error(error, shown):
    assert text.error_text(error) == shown.strip()
    assert text.traceback_text(error)


def test_error_text_of_long_name_and_message_shows_both():
    found = text.error_text(type("N" * 5_000, (Exception,), {})("x" * 30_000_000))
    assert len(found) <= text.LONGEST_LINE
    assert found.startswith("NNN")
    assert found.endswith("xxx")


def test_traceback_text_of_a_huge_chain_is_bounded():
    error = ValueError("y" * 1_000_000)
    for _ in range(300):
        outer = ValueError("again")
        outer.__cause__ = error
        error = outer
    assert len(text.traceback_text(error)) <= text.LONGEST_TEXT

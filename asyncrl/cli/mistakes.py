"""Explains mistakes in a command line: what is wrong, the names that may be meant, and where to look."""

import re
from typing import Any

from asyncrl.config import field_names
from asyncrl.errors import similar

MAX_TEXT = 400  # characters of a message, which repeats what was typed


def explain(error: Any) -> str:
    """Return one line for a usage error of typer: an unknown option, command or argument, or a bad value."""
    text = "".join(character if character.isprintable() else "?" for character in _text(error))[:MAX_TEXT]
    context = getattr(error, "ctx", None)
    sentences = [f"{text.rstrip('.')}.", *_meant(error, context)]
    if context is not None:
        sentences.append(f"See: {context.command_path} --help")
    return " ".join(sentences)


def _text(error: Any) -> str:
    if hasattr(error, "possibilities"):
        return f"There is no option {error.option_name}"
    text: str = error.format_message()
    return text


def _meant(error: Any, context: Any) -> list[str]:
    """Return a sentence with the names that an unknown option or command may mean; none for another mistake."""
    if context is None:
        return []
    if hasattr(error, "possibilities"):
        options = {name: name for parameter in context.command.params for name in parameter.opts if "--" in name}
        if "--set" in options:
            options |= {name: f"--set {name}=VALUE" for name in field_names() if name not in options}
        return _question([options[name] for name in similar(error.option_name, options)])
    commands = getattr(context.command, "commands", {})
    if commands and (word := re.search("'(.*)'", error.message)):
        return _question(similar(word[1], commands)) or [f"The commands are {', '.join(commands)}."]
    return []


def _question(names: list[str]) -> list[str]:
    return [f"Did you mean {' or '.join(names)}?"] if names else []

"""Explains mistakes in a command line: what is wrong, the names that may be meant, and where to look."""

import re
from typing import Any

from pydantic import ValidationError

from asyncrl.config import field_names
from asyncrl.errors import shown, similar
from asyncrl.setting_types import reworded

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
    if command := _unknown_command(error):
        return f"There is no command '{command}'"
    text: str = error.format_message()
    # typer has pydantic check the values of options
    if isinstance(cause := error.__cause__, ValidationError):
        first = cause.errors()[0]
        text = text.replace(first["msg"], f"it {reworded(first['msg'])}; got {shown(first['input'])}")
    return text


def _unknown_command(error: Any) -> str | None:
    """Return the command that does not exist, with escapes; typer gives it in the message only."""
    found = re.match("No such command '(.*?)'", error.message)
    return found[1] if found else None


def _meant(error: Any, context: Any) -> list[str]:
    """Return a sentence with the names that an unknown option or command may mean; none for another mistake."""
    if context is None:
        return []
    if hasattr(error, "possibilities"):
        options = {name: name for parameter in context.command.params for name in parameter.opts if "--" in name}
        if "--set" in options:
            known = {name.strip("-").replace("-", "_") for name in options}
            options |= {name: f"--set {name}=VALUE" for name in field_names() if name not in known}
        return _question([options[name] for name in similar(error.option_name, options)])
    if command := _unknown_command(error):
        commands = [name for name, each in context.command.commands.items() if not each.hidden]
        return _question(similar(command, commands)) or [f"The commands are {', '.join(commands)}."]
    return []


def _question(names: list[str]) -> list[str]:
    return [f"Did you mean {' or '.join(names)}?"] if names else []

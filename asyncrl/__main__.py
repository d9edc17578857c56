"""The ``asyncrl`` command, also as ``python -m asyncrl``.

Importing this file imports nothing: every process that a run starts does so again.
"""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; until it is there, Ctrl-C ends it without a word."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from asyncrl import cli

    cli.main()


if __name__ == "__main__":
    main()

"""The ``asyncrl`` command, also as ``python -m asyncrl``.

Importing this file imports nothing: every process that a run starts imports it again.
"""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; during its imports Ctrl-C ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from asyncrl.cli import app

    app.main()


if __name__ == "__main__":
    main()

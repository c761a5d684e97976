"""``python -m training``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

_OURS = ("app", "encore", "training")
# Exit statuses above are those of signals.
_SIGNALLED = 128


def run() -> int:
    """Runs the command line of this process, and returns its exit status."""
    # A training that is terminated, or whose terminal closes, cleans up like an interrupted one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(_SIGNALLED + number))
    # Interrupted imports fail in ways of their own, so Ctrl-C waits until all are done.
    early: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: early.append(number))
    try:
        from training.cli import main  # noqa: PLC0415 - without the extra it is not installed

        signal.signal(signal.SIGINT, signal.default_int_handler)
        if early:
            raise KeyboardInterrupt
        return main()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("error: interrupted\n")
        return _SIGNALLED + signal.SIGINT
    except ImportError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        sys.stderr.write(f"error: {_remedy(error)}\n")
        return 1
    finally:
        # The interpreter joins threads when it ends; another Ctrl-C then would be a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _remedy(error: ImportError) -> str:
    """Returns what cannot be imported, and what to do."""
    if isinstance(error, ModuleNotFoundError):
        return (
            f"`python -m training` needs the extra `training`, of which {error.name} is not "
            "installed: in the folder of Encore, run pip install '.[training]'"
        )
    if "libgomp" in str(error):
        return f"{error}. It comes with the system: apt-get install libgomp1"
    return f"a library cannot be loaded: {error}"


def leave(status: int) -> NoReturn:
    """Ends the process.

    After a signal it ends at once, without the end of the interpreter: threads of libraries may
    still run compiled code, and an interpreter that ends around them aborts the process. Whatever
    had to be cleaned up has been, on the way here.
    """
    if status > _SIGNALLED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _run_to_the_end() -> int:
    try:
        return run()
    except SystemExit as ending:
        if isinstance(ending.code, int) and ending.code > _SIGNALLED:
            return ending.code
        raise


if __name__ == "__main__":
    leave(_run_to_the_end())

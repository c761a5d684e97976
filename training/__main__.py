"""``python -m training``."""

from __future__ import annotations

import signal
import sys

_OURS = ("app", "encore", "training")


def run() -> int:
    """Runs the command line of this process, and returns its exit status."""
    # A training that is terminated, or whose terminal closes, cleans up like an interrupted one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
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
        return 128 + signal.SIGINT
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


if __name__ == "__main__":
    sys.exit(run())

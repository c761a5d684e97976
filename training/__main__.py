"""``python -m training``."""

import signal
import sys

from training.cli import main

if __name__ == "__main__":
    # A training that is terminated, or whose terminal closes, cleans up like an interrupted one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())

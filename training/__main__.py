"""``python -m training``."""

import signal
import sys

from training.cli import main

if __name__ == "__main__":
    # A terminated training cleans up behind itself like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())

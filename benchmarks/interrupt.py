"""Endings of commands that Ctrl-C interrupts at random moments.

    python -m benchmarks.interrupt [TRIES] [COMMAND...]

Makes a sample of about 50,000 rows. Each command runs once to its end, for its duration, and then
TRIES times (default: 100) with a SIGINT at a random moment of that duration, every third time with
two. Printed and written, after each command, are the exit statuses and what was wrong; results of
commands that were not run stay. Right are 130 with one line,
``error: interrupted``, and nothing left behind that is not whole, or 0 where the command ended
before the signal. Not counted are signals in the first moment, before Python runs any code of ours.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.artifacts.models_folder import ModelsFolder
from benchmarks.conditions import conditions

RESULTS: Final = Path(__file__).parent / "results" / "interrupt.json"
INTERRUPTED: Final = "error: interrupted"
_ROWS: Final = ("--users", "1000", "--artists", "1500")
_SIZE: Final = ("--factors", "32", "--iterations", "10")
_COMMANDS: Final = {
    "train": ("train", *_SIZE, "--models", "{out}/models"),
    "evaluate": ("evaluate", *_SIZE),
    "tune": ("tune", "--trials", "2", "--out", "{out}/tuned.toml"),
}
_LONGEST: Final = 300
_BETWEEN: Final = 0.05
# Bars of steps, and what a search says: its trials, and how to go on.
_PROGRESS: Final = re.compile(
    r"\d:\d\d:\d\d|^trial \d|trials? (are )?saved in|^with --trials|best so far"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended.

    Attributes:
        status: its exit status; negative for a signal.
        lines: what it wrote on stderr, without empty lines.
        left: the files and folders that it left.
        seconds: how long it ran.
    """

    status: int
    lines: Sequence[str]
    left: Sequence[str]
    seconds: float

    @property
    def is_of_python(self) -> bool:
        """Whether Python was starting, and had run no code of ours."""
        return self.status == -signal.SIGINT and not any("training" in line for line in self.lines)

    @property
    def fault(self) -> str:
        """What is wrong about it; empty where nothing is."""
        if self.status == 0 or self.is_of_python:
            return ""
        if self.status != 128 + signal.SIGINT:
            return f"status {self.status}: {list(self.lines)}"
        if list(self.lines) != [INTERRUPTED]:
            return f"stderr: {list(self.lines)}"
        return f"left behind: {self.left}" if self.left else ""


def run(
    command: Sequence[str], sample: Path, delay: float | None = None, *, presses: int = 1
) -> Ending:
    """Runs a command on a sample, with SIGINTs after a delay in seconds, or to its end."""
    with tempfile.TemporaryDirectory() as name:
        out, data = Path(name), ("--dataset", "synthetic", "--data", str(sample))
        tokens = [token.format(out=out) for token in command]
        environment = {key: value for key, value in os.environ.items() if "ENCORE" not in key}
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "training", *tokens, *data],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            if delay is not None:
                time.sleep(delay)
                for _ in range(presses):
                    process.send_signal(signal.SIGINT)
                    time.sleep(_BETWEEN)
            written = process.communicate(timeout=_LONGEST)[1]
        finally:
            process.kill()
        seconds = time.perf_counter() - start
        left = _left(out)
    lines = [line for line in written.splitlines() if line.strip() and not _PROGRESS.search(line)]
    return Ending(process.returncode, lines, left, seconds)


def _left(out: Path) -> list[str]:
    """Returns what a command left, other than whole models, and the trials of a search."""
    folder = ModelsFolder(out / "models")
    for version in folder.versions():
        folder.verify(version)
    models = [out / "models" / name for name in (".lock", "current", *folder.versions())]
    known = {*models, out / "models", out / "tuned.search", out / "tuned.toml"}
    return sorted(
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path not in known and path.parent not in known - {out / "models"}
    )


def main() -> int:
    """Interrupts commands, prints their endings and writes them to ``RESULTS``."""
    tries = int(sys.argv[1]) if sys.argv[1:] else 100
    names = sys.argv[2:] or list(_COMMANDS)
    moments = random.Random(0)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        sample = Path(name) / "sample"
        generate = [sys.executable, "-m", "training", "generate", *_ROWS, "--out", str(sample)]
        subprocess.run(generate, check=True, capture_output=True)
        for command in names:
            whole = run(_COMMANDS[command], sample)
            if whole.status:
                raise SystemExit(f"{command} failed: {whole}")
            statuses: Counter[int] = Counter()
            faults: Counter[str] = Counter()
            for number in range(tries):
                moment = moments.uniform(0.1, whole.seconds)
                presses = 2 if number % 3 == 2 else 1
                ending = run(_COMMANDS[command], sample, moment, presses=presses)
                statuses[ending.status] += 1
                if ending.fault:
                    faults[ending.fault] += 1
                    print(f"{command} {number}: {ending.fault}", flush=True)
            results[command] = {
                **conditions(),
                "tries": tries,
                "seconds": round(whole.seconds, 1),
                "statuses": {str(status): count for status, count in sorted(statuses.items())},
                "faults": dict(faults),
            }
            print(json.dumps({command: results[command]}), flush=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(results[command]["faults"] for command in names))


if __name__ == "__main__":
    sys.exit(main())

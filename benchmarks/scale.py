"""The cost of the size of a model: models from 2,000 to 2,000,000 users.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.scale --work /tmp/scale --chart docs/scale.svg
    python -m benchmarks.scale --chart docs/scale.svg     # draws the committed results

The models are made up (``benchmarks/made_up_model.py``), published once into the folder of work and
used again from there; all sizes take 4 GB on disk. Measured are, with one worker but for the last:

- seconds from the start of the process to the first 200 of ``/health/ready``, in a new process
  whose files the kernel still holds in memory;
- throughput and latency at 16 connections, of lists of random users, of live scoring
  (``include_seen=true``) and of popular artists. Each size is driven in turns with the reference
  size, both servers started afresh in each round, so that a ratio is taken between neighbours;
- memory of the process before and after that, its own apart from mapped files, and beside it that
  of the service without a model;
- what several workers of the largest model share: memory after lists were asked for, by number of
  workers, of all their processes together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from app.artifacts.format import ARRAYS
from app.artifacts.manifest import total_bytes
from app.artifacts.models_folder import ModelsFolder
from benchmarks.load import Figures, Load, Server, drive, encore, lists_by, serving_conditions
from benchmarks.made_up_model import FACTORS

RESULTS: Final = Path(__file__).parent / "results" / "scale.json"
CONNECTIONS: Final = 16
_STARTS: Final = 3
_TARGETS: Final = 50_000
_LOADS: Final = ("precomputed", "live", "popularity")
_WORKERS: Final = (1, 2, 4)
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "encore",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws alike
    "font.size": 9,
    "axes.edgecolor": "#555555",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
}


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a model."""

    users: int
    artists: int

    def models(self, work: Path) -> Path:
        """Returns its models folder, with a model of this version of Encore."""
        models = work / f"{self.users}x{self.artists}x{FACTORS}"
        folder = ModelsFolder(models)
        version = folder.current()
        # A made-up model has no half-life, and so none of the parts that a half-life needs.
        arrays = {name for name, spec in ARRAYS.items() if not spec.essential}
        if version is None or folder.manifest(version)["files"].keys() != arrays:
            command = [sys.executable, "-m", "benchmarks.made_up_model", "--models", str(models)]
            command += ["--users", str(self.users), "--artists", str(self.artists)]
            # In a process of its own, since making the largest takes several gigabytes.
            subprocess.run([*command, "--factors", str(FACTORS)], check=True)
        return models


LADDER: Final = (
    Size(2_000, 3_000),
    Size(20_000, 67_000),
    Size(200_000, 180_000),
    Size(2_000_000, 500_000),
)
REFERENCE: Final = LADDER[1]


@dataclass(frozen=True, slots=True)
class Turn:
    """The results of one server in one round.

    Attributes:
        figures: load to its result.
        idle, driven: memory before and after all loads.
    """

    figures: dict[str, Figures]
    idle: dict[str, float]
    driven: dict[str, float]


Pair: TypeAlias = dict[Size, Turn]


def main() -> None:
    """Measures, prints and writes the results, and draws them."""
    given = _parse()
    if given.work:
        results = measure(given)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(results, indent=2) + "\n")
        show(results)
    if given.chart:
        draw(json.loads(given.out.read_text()), given.chart)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the results of all sizes up to a largest one."""
    said = serving_conditions()
    sizes = [size for size in LADDER if size.users <= max(given.largest, REFERENCE.users)]
    folders = {size: size.models(given.work) for size in sizes}
    empty = _measure_empty(given.work / "empty")
    ready = {size: _ready_seconds(folder) for size, folder in folders.items()}
    pairs: defaultdict[Size, list[Pair]] = defaultdict(list)
    for number in range(given.rounds):
        for size in sizes:
            if size != REFERENCE:
                pair = (REFERENCE, size) if number % 2 == 0 else (size, REFERENCE)
                turns = _drive_pair(pair, folders, given, number)
                pairs[size].append(turns)
                _tell(number, turns)
    return {
        "conditions": said,
        "factors": FACTORS,
        "connections": CONNECTIONS,
        "seconds": given.seconds,
        "rounds": given.rounds,
        "reference": REFERENCE.users,
        "without_model": empty,
        "sizes": [_summarise(size, folders[size], ready[size], pairs, empty) for size in sizes],
        "workers": [_measure_workers(folders[sizes[-1]], number, given) for number in _WORKERS],
    }


def _measure_empty(models: Path) -> dict[str, Any]:
    """Returns starting time and memory of the service without a model."""
    models.mkdir(parents=True, exist_ok=True)
    seconds, memory = [], []
    for _ in range(_STARTS):
        with encore(models, ready="/health/live") as server:
            server.get("/health/live")
            seconds.append(server.ready_s)
            memory.append(server.memory())
    return {"live_s": round(median(seconds), 3), **_medians(memory)}


def _ready_seconds(models: Path) -> list[float]:
    seconds = []
    for _ in range(_STARTS):
        with encore(models, verified=False) as server:
            seconds.append(round(server.ready_s, 3))
    return seconds


def _measure_workers(models: Path, workers: int, given: argparse.Namespace) -> dict[str, Any]:
    """Returns the memory of all processes of a service after its lists were requested."""
    load = _loads(models, seed=0)["precomputed"]
    with encore(models, workers=workers) as server:
        drive(server, load, connections=CONNECTIONS * workers, seconds=given.seconds)
        memory = server.memory()
    return {"workers": workers, **{name: round(value, 1) for name, value in memory.items()}}


def _drive_pair(
    pair: Sequence[Size], folders: dict[Size, Path], given: argparse.Namespace, number: int
) -> Pair:
    """Drives two new servers in turns, load by load; the other one is idle meanwhile."""
    first, second = pair
    with encore(folders[first]) as one, encore(folders[second]) as other:
        servers = {first: one, second: other}
        loads = {size: _loads(folders[size], number) for size in pair}
        figures: dict[Size, dict[str, Figures]] = {size: {} for size in pair}
        idle = {size: server.memory() for size, server in servers.items()}
        for name in _LOADS:
            for size, server in servers.items():
                figures[size][name] = _drive(server, loads[size][name], given)
        return {
            size: Turn(figures[size], idle[size], server.memory())
            for size, server in servers.items()
        }


def _drive(server: Server, load: Load, given: argparse.Namespace) -> Figures:
    load.try_out(server)
    # Both begin with the same users, whose pages the process has mapped by then.
    drive(server, load, connections=CONNECTIONS, seconds=given.warm_up)
    return drive(server, load, connections=CONNECTIONS, seconds=given.seconds)


def _loads(models: Path, seed: int) -> dict[str, Load]:
    """Returns the loads for random users of a model."""
    users = ModelsFolder(models).open_current().users
    drawn = np.random.default_rng(seed).integers(len(users), size=_TARGETS)
    paths = [f"/recommend/{quote(users.id(user), safe='')}?n=10" for user in drawn.tolist()]
    queries = {
        "precomputed": ("", "als"),
        "live": ("&include_seen=true", "als"),
        "popularity": ("&strategy=popularity", "popularity"),
    }
    return {
        name: Load(name, [path + query for path in paths], lists_by(source))
        for name, (query, source) in queries.items()
    }


def _summarise(
    size: Size,
    models: Path,
    ready: Sequence[float],
    pairs: dict[Size, list[Pair]],
    empty: dict[str, Any],
) -> dict[str, Any]:
    turns = [pair[size] for of_size in pairs.values() for pair in of_size if size in pair]
    driven = _medians([turn.driven for turn in turns])
    above = driven["private_mb"] - empty["private_mb"]
    folder = ModelsFolder(models)
    version = folder.find()
    return {
        "users": size.users,
        "artists": size.artists,
        "version": version,
        "megabytes": round(total_bytes(folder.manifest(version)) / 1e6),
        "ready_s": median(ready),
        "ready_starts_s": list(ready),
        "memory_idle": _medians([turn.idle for turn in turns]),
        "memory_driven": driven,
        "private_above_empty_mb": round(above, 1),
        "loads": {
            name: Figures.median([turn.figures[name] for turn in turns]).to_json()
            for name in _LOADS
        },
        "throughput_of_reference": _ratios(size, pairs),
    }


def _ratios(size: Size, pairs: dict[Size, list[Pair]]) -> dict[str, Any]:
    """Returns throughput as a share of that of the reference in the same round."""
    if size == REFERENCE:
        return {}
    shares = {
        name: [
            pair[size].figures[name].throughput / pair[REFERENCE].figures[name].throughput
            for pair in pairs[size]
        ]
        for name in _LOADS
    }
    return {
        name: {"median": round(median(one), 3), "rounds": [round(value, 3) for value in one]}
        for name, one in shares.items()
    }


def _medians(memory: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(one[name] for one in memory), 1) for name in memory[0]}


def _tell(number: int, pair: Pair) -> None:
    for size, turn in pair.items():
        rates = ", ".join(f"{name} {one.throughput:.0f}" for name, one in turn.figures.items())
        print(f"round {number + 1}, {size.users} users: {rates} a second", flush=True)


def show(results: dict[str, Any]) -> None:
    """Prints the sizes."""
    console = Console(width=110)
    empty = results["without_model"]
    table = Table(title="start and memory of one worker, after all loads")
    for name in ("users", "artists", "MB on disk", "ready s", "own MB", "above empty", "file MB"):
        table.add_column(name, justify="right")
    for one in results["sizes"]:
        cells = [f"{one[name]:,}" for name in ("users", "artists", "megabytes")]
        cells += [f"{one['ready_s']:.2f}", f"{one['memory_driven']['private_mb']:.1f}"]
        above, files = one["private_above_empty_mb"], one["memory_driven"]["file_mb"]
        table.add_row(*cells, f"{above:.1f}", f"{files:,.0f}")
    own, files = f"{empty['private_mb']:.1f}", f"{empty['file_mb']:,.0f}"
    table.add_row("empty", "", "", f"{empty['live_s']:.2f}", own, "", files)
    console.print(table)
    table = Table(title="memory of several workers of the largest model, together")
    for name in ("workers", "own MB", "file MB", "of it in memory MB"):
        table.add_column(name, justify="right")
    for one in results["workers"]:
        sizes = (one[name] for name in ("private_mb", "file_mb", "file_once_mb"))
        table.add_row(str(one["workers"]), *(f"{size:,.0f}" for size in sizes))
    console.print(table)
    title = f"{results['connections']} connections, median of {results['rounds']} rounds"
    table = Table("load", title=title)
    for name in ("users", "a second", "of reference", "p50 ms", "p99 ms", "cpu us"):
        table.add_column(name, justify="right")
    for name in _LOADS:
        for one in results["sizes"]:
            figures = one["loads"][name]
            share = one["throughput_of_reference"].get(name, {}).get("median", 1.0)
            cells = [f"{one['users']:,}", f"{figures['throughput']:,.0f}", f"{share:.2f}"]
            cells += [f"{figures[latency] / 1000:.2f}" for latency in ("p50_us", "p99_us")]
            table.add_row(name, *cells, f"{figures['cpu_us']:,.0f}")
        table.add_section()
    console.print(table)


def draw(results: dict[str, Any], path: Path) -> None:
    """Draws time of a request, time to ready and memory over the number of users, as SVG."""
    sizes = results["sizes"]
    users = [one["users"] for one in sizes]
    panels = {
        "microseconds a precomputed list": [
            1e6 / one["loads"]["precomputed"]["throughput"] for one in sizes
        ],
        "seconds from start to ready": [one["ready_s"] for one in sizes],
        "megabytes of a worker's own": [one["memory_driven"]["private_mb"] for one in sizes],
    }
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 2.6), layout="constrained", facecolor="white")
        every_axes = figure.subplots(1, len(panels))
        for axes, (title, values) in zip(every_axes, panels.items(), strict=True):
            _draw_panel(axes, title, users, values)
        # No date, so that the same results give the same file.
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_panel(axes: Axes, title: str, users: Sequence[int], values: Sequence[float]) -> None:
    axes.plot(users, values, color="#1f5fa8", marker="o", markersize=4)
    for user, value in zip(users, values, strict=True):
        text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
        axes.annotate(text, (user, value), (0, 7), textcoords="offset points", ha="center")
    axes.set_title(title)
    axes.set_xscale("log")
    axes.set_xlabel("users")
    axes.set_xticks(list(users), [f"{user:,}" for user in users])
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
    axes.margins(x=0.12)
    axes.set_ylim(0, 1.25 * max(values))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, help="folder of the models; without it only --chart")
    parser.add_argument("--largest", type=int, default=LADDER[-1].users, help="users at most")
    parser.add_argument("--seconds", type=int, default=5, help="of each drive")
    parser.add_argument("--warm-up", type=int, default=3, help="seconds before each drive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--chart", type=Path, help="SVG to draw")
    given = parser.parse_args()
    if given.work is None and given.chart is None:
        parser.error("give --work to measure, --chart to draw, or both")
    return given


if __name__ == "__main__":
    main()

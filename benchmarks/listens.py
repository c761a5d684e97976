"""The cost of reading a large dump of ListenBrainz of which one line is broken.

    python -m benchmarks.listens [--lines 5000000]

Writes made-up listens of about 1 kB each, a month a file, breaks one line, and reads them as the
dataset ``listenbrainz`` in a process of its own. Then it packs one month as ``.tar.zst`` and reads
that. Printed and written are elapsed time, processor time and the largest memory of the process,
and the rows that were dropped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.conditions import conditions

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RESULTS: Final = Path(__file__).parent / "results" / "listens.json"
LIMIT_SECONDS: Final = 90
LIMIT_GB: Final = 2.0
_MONTHS: Final = 12
# Of 2024, each of 30 days.
_BEGIN: Final = 1_704_067_200
_MONTH: Final = 30 * 24 * 3600
# Bytes on the disk for each line, with the archive.
_ROOM: Final = 1_500
_USERS: Final = 20_000
_ARTISTS: Final = 200_000
_BATCH: Final = 50_000
_READ: Final = """
import json, resource, sys, time
from pathlib import Path
from training.datasets import LoadOptions, load_dataset
start = time.perf_counter()
records = load_dataset("listenbrainz", Path(sys.argv[1]), LoadOptions())
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "rows": records.rows.read,
    "records": len(records),
    "users": len(records.user_ids),
    "artists": len(records.items),
    "dropped": dict(records.rows.dropped),
    "examples": dict(records.rows.examples),
    "noted": dict(records.rows.noted),
    "wall_s": round(time.perf_counter() - start, 1),
    "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
    "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
}))
"""


def _mbid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def lines(rng: np.random.Generator, count: int, begin: int) -> Iterator[str]:
    """Yields made-up listens: a tenth has two artists, a fifth has no MBID."""
    users = rng.zipf(1.2, count) % _USERS
    artists = rng.zipf(1.3, (count, 2)) % _ARTISTS
    kinds = rng.random(count)
    seconds = begin + np.sort(rng.integers(0, 28 * 24 * 3600, count))
    tracks = rng.integers(0, 20, count)
    for user, (first, second), kind, time, track in zip(
        users.tolist(),
        artists.tolist(),
        kinds.tolist(),
        seconds.tolist(),
        tracks.tolist(),
        strict=True,
    ):
        mbids = [] if kind < 0.2 else [_mbid(first)]
        name = f"Artist number {first}"
        if kind > 0.9:
            mbids.append(_mbid(second))
            name += f" feat. artist number {second}"
        about = {
            "artist_mbids": mbids,
            "release_mbid": _mbid(first * 7),
            "recording_mbid": _mbid(first * 20 + track),
            "recording_msid": _mbid(first * 20 + track + 1),
            "duration_ms": 180_000 + track * 1000,
            "tracknumber": track,
            "media_player": "A player of made-up music",
            "submission_client": "a client of made-up listens",
            "submission_client_version": "1.2.3",
            "music_service": "music.example.org",
            "origin_url": f"https://music.example.org/tracks/{first * 20 + track}",
            "tags": ["made up", "benchmark", "no music"],
            "comment": "no listen of anybody " * 8,
        }
        yield json.dumps(
            {
                "user_id": user,
                "user_name": f"listener_{user}",
                "timestamp": time,
                "track_metadata": {
                    "artist_name": name,
                    "track_name": f"Track {track} of artist number {first}",
                    "release_name": f"Release of artist number {first}",
                    "additional_info": about,
                },
                "recording_msid": _mbid(first * 20 + track + 1),
            }
        )


def write(folder: Path, count: int) -> int:
    """Writes listens with one broken line; returns the bytes."""
    rng = np.random.default_rng(0)
    size = 0
    per_month = count // _MONTHS
    for month in range(_MONTHS):
        file = folder / "listens" / "2024" / f"{month + 1}.listens"
        file.parent.mkdir(parents=True, exist_ok=True)
        wanted = per_month if month + 1 < _MONTHS else count - per_month * (_MONTHS - 1)
        with file.open("w") as out:
            for done in range(0, wanted, _BATCH):
                text = list(lines(rng, min(_BATCH, wanted - done), _BEGIN + month * _MONTH))
                if (month, done) == (_MONTHS // 2, 0):
                    text[len(text) // 2] = text[len(text) // 2][:500]
                out.write("\n".join(text) + "\n")
        size += file.stat().st_size
    return size


def pack(folder: Path, archive: Path) -> None:
    """Packs a month as dumps are packed."""
    with zstd.open(archive, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        tar.add(folder / "listens" / "2024" / "7.listens", "a-dump/listens/2024/7.listens")


def read(path: Path) -> dict[str, Any]:
    """Reads listens in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-c", _READ, path], check=True, capture_output=True, text=True
    )
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--in", dest="place", type=Path, help="folder for the temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.place) as temporary:
        folder = Path(temporary)
        if shutil.disk_usage(folder).free < _ROOM * options.lines:
            raise SystemExit(f"{folder} has no room for {options.lines:,} lines; give fewer")
        size = write(folder / "dump", options.lines)
        result = read(folder / "dump")
        print(json.dumps(result), flush=True)
        pack(folder / "dump", folder / "month.tar.zst")
        packed = read(folder / "month.tar.zst")
        print(json.dumps(packed))
    met = {
        "one broken line counted": result["dropped"].get("line is no JSON object") == 1,
        f"at most {LIMIT_SECONDS} s": result["wall_s"] <= LIMIT_SECONDS,
        f"at most {LIMIT_GB:g} GB": result["peak_gb"] <= LIMIT_GB,
    }
    entry = {
        "conditions": conditions(),
        "lines": options.lines,
        "bytes": size,
        "dump": result,
        "one month as tar.zst": packed,
        "met": met,
    }
    RESULTS.write_text(json.dumps(entry, indent=2) + "\n")
    if not all(met.values()):
        raise SystemExit(f"not met: {[what for what, is_met in met.items() if not is_met]}")


if __name__ == "__main__":
    main()

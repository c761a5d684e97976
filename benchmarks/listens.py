"""The cost of reading a large dump of ListenBrainz of which one line is broken.

    python -m benchmarks.listens [--lines 5000000] [--dump FOLDER]

Writes made-up listens of about 1 kB each, a month a file, breaks one line, and reads them as the
dataset ``listenbrainz`` in a process of its own. Then it packs one month as ``.tar.zst`` and reads
that. Printed and written are elapsed time, processor time and the largest memory of the process,
and the rows that were dropped. The limit of time is held against the processor time of all threads,
since elapsed time depends on what else the machine does; its load is written as well.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

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
_LINE: Final = (
    '{"user_id": <>, "user_name": "listener_<>", "timestamp": <>, "track_metadata": '
    '{"artist_name": "<>", "track_name": "<>", "release_name": "<>", "additional_info": '
    '{"artist_mbids": [<>], "release_mbid": "<>", "recording_mbid": "<>", "recording_msid": "<>", '
    '"duration_ms": 180000, "tracknumber": <>, "media_player": "A player of made-up music", '
    '"submission_client": "a client of made-up listens", "submission_client_version": "1.2.3", '
    '"music_service": "music.example.org", "origin_url": "https://music.example.org/tracks/<>", '
    '"tags": ["made up", "benchmark", "no music"], "comment": "'
    + "no listen of anybody "
    * 10
    + '"}}'
    ', "recording_msid": "<>"}'
)
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
    "examples": [text.replace(sys.argv[1], "…") for text in records.rows.examples.values()],
    "noted": dict(records.rows.noted),
    "wall_s": round(time.perf_counter() - start, 1),
    "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
    "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
}))
"""


def _mbid(number: pl.Expr) -> pl.Expr:
    digits = number.cast(pl.String).str.zfill(12)
    return pl.format("{}-0000-4000-8000-{}", digits.str.slice(4), digits)


def lines(rng: np.random.Generator, count: int, begin: int) -> pl.Series:
    """Returns made-up listens: a tenth has two artists, a fifth has no MBID."""
    drawn = pl.DataFrame(
        {
            "user": rng.zipf(1.2, count) % _USERS,
            "artist": rng.zipf(1.3, count) % _ARTISTS,
            "guest": rng.zipf(1.3, count) % _ARTISTS,
            "kind": rng.random(count),
            "time": begin + np.sort(rng.integers(0, 28 * 24 * 3600, count)),
            "track": rng.integers(0, 20, count),
        }
    )
    artist, has_guest = pl.col("artist"), pl.col("kind") > 0.9
    recording = artist * 20 + pl.col("track")
    name = pl.format("Artist number {}", artist)
    mbids = pl.format('"{}"', _mbid(artist))
    values = [
        pl.col("user"),
        pl.col("user"),
        pl.col("time"),
        pl.when(has_guest)
        .then(pl.format("{} feat. artist number {}", name, "guest"))
        .otherwise(name),
        pl.format("Track {} of artist number {}", "track", artist),
        pl.format("Release of artist number {}", artist),
        pl.when(has_guest)
        .then(pl.format('{}, "{}"', mbids, _mbid(pl.col("guest"))))
        .when(pl.col("kind") >= 0.2)
        .then(mbids)
        .otherwise(pl.lit("")),
        _mbid(artist * 7),
        _mbid(recording),
        _mbid(recording + 1),
        pl.col("track"),
        recording,
        _mbid(recording + 1),
    ]
    texts = [pl.lit(text) for text in _LINE.split("<>")]
    parts = [part for pair in zip(texts, values, strict=False) for part in pair]
    return drawn.select(pl.concat_str(*parts, texts[-1])).to_series()


def write(folder: Path, count: int) -> None:
    """Writes listens, of which one line is broken."""
    rng = np.random.default_rng(0)
    per_month = count // _MONTHS
    for month in range(_MONTHS):
        file = folder / "listens" / "2024" / f"{month + 1}.listens"
        file.parent.mkdir(parents=True, exist_ok=True)
        wanted = per_month if month + 1 < _MONTHS else count - per_month * (_MONTHS - 1)
        with file.open("w") as out:
            for done in range(0, wanted, _BATCH):
                drawn = lines(rng, min(_BATCH, wanted - done), _BEGIN + month * _MONTH)
                text: list[str] = drawn.to_list()
                if (month, done) == (_MONTHS // 2, 0):
                    text[len(text) // 2] = text[len(text) // 2][:500]
                out.write("\n".join(text) + "\n")


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
    parser.add_argument("--dump", type=Path, help="folder of the dump, written if it is missing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        dump, archive = options.dump or Path(temporary) / "dump", Path(temporary) / "month.tar.zst"
        if not dump.exists():
            place = dump.parent
            if shutil.disk_usage(place).free < _ROOM * options.lines:
                raise SystemExit(f"{place} has no room for {options.lines:,} lines; give fewer")
            write(dump, options.lines)
        size = sum(file.stat().st_size for file in dump.rglob("*.listens"))
        result = read(dump)
        print(json.dumps(result), flush=True)
        pack(dump, archive)
        packed = read(archive)
        print(json.dumps(packed))
    met = {
        "one broken line counted": result["dropped"].get("line is no JSON object") == 1,
        f"at most {LIMIT_SECONDS} s of processor time": result["cpu_s"] <= LIMIT_SECONDS,
        f"at most {LIMIT_GB:g} GB": result["peak_gb"] <= LIMIT_GB,
    }
    entry = {
        "conditions": conditions(),
        "load average": [round(load, 1) for load in os.getloadavg()],
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

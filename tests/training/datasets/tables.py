"""Writes tables, and reads what a table holds."""

from __future__ import annotations

from pathlib import Path

from training.data.records import Records
from training.datasets import LoadOptions
from training.datasets.table import load


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def pairs(records: Records) -> list[tuple[str, str, float]]:
    return [
        (records.user_ids[int(user)], records.item_ids[int(item)], float(plays))
        for user, item, plays in zip(
            records.user_codes, records.item_codes, records.plays, strict=True
        )
    ]


def read_csv(folder: Path, text: str | bytes, options: LoadOptions | None = None) -> Records:
    return load(write(folder / "plays.csv", text), options or LoadOptions())

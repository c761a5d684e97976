"""The layout of the code: sizes of folders, modules and functions; imports are import-linter's."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("app", "training") for path in (ROOT / folder).rglob("*.py"))
MODULES_IN_A_FOLDER = 16
LINES_IN_A_MODULE = 400
LINES_IN_A_FUNCTION = 60
# All of one kind: one module is one dataset, or one section of the report.
FOLDERS_OF_ONE_KIND = frozenset({"training/datasets", "training/report"})
TABLES_OF_DATA: frozenset[str] = frozenset()


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_folders_are_small() -> None:
    counts = Counter(named(path.parent) for path in SOURCES if path.name != "__init__.py")
    large = {folder: count for folder, count in counts.items() if count > MODULES_IN_A_FOLDER}
    assert large.keys() <= FOLDERS_OF_ONE_KIND, large


def test_modules_are_short() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in SOURCES}
    long = {module: lines for module, lines in lengths.items() if lines > LINES_IN_A_MODULE}
    assert long.keys() <= TABLES_OF_DATA, long


def test_functions_are_short() -> None:
    lengths = {
        f"{named(path)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {name: lines for name, lines in lengths.items() if lines > LINES_IN_A_FUNCTION}
    assert not long


def test_folders_say_what_lives_there() -> None:
    folders = [path for path in SOURCES if path.name == "__init__.py"]
    silent = [named(path) for path in folders if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent

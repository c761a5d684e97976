"""Puts the packages of the wheel under the import name ``encore``.

In the clone the code lies in ``app`` and ``training`` and is imported by these names. In the
site-packages of others they would meet other packages called ``app``. So the wheel has one package:
``encore`` (from ``encore.py``), with ``encore.app`` and ``encore.training`` in it; import
statements, and commands that messages name, are changed accordingly. ``docs/python.md`` says why.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME: Final = "encore"
PACKAGES: Final = ("app", "training")
_NAMES: Final = "|".join(PACKAGES)
_COMMAND: Final = re.compile(rf"\bpython -m ({_NAMES})\b")


class ImportNames(BuildHookInterface[Any]):
    """Hands the renamed packages to hatchling, which builds the wheel from them."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the package into a temporary folder; an editable install has none.

        Args:
            version: of the target: ``standard`` or ``editable``.
            build_data: told which files the wheel has.
        """
        if version == "editable":
            return
        self._place = TemporaryDirectory(prefix="encore-wheel-")
        place = Path(self._place.name)
        write_package(Path(self.root), place)
        build_data["force_include"][str(place)] = NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the temporary folder."""
        del build_data, artifact_path
        if version != "editable":
            self._place.cleanup()


def write_package(root: Path, place: Path) -> None:
    """Writes the package that a wheel has.

    Args:
        root: the clone.
        place: an empty folder; becomes the package.
    """
    (place / "__init__.py").write_text(
        renamed((root / f"{NAME}.py").read_text(encoding="utf-8")), encoding="utf-8"
    )
    (place / "py.typed").touch()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            within = path.relative_to(root)
            if path.is_dir() or any(part.startswith((".", "__pycache__")) for part in within.parts):
                continue
            target = place / within
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".py":
                target.write_text(renamed(path.read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copyfile(path, target)


def renamed(source: str) -> str:
    """Returns a module with the import names of the wheel.

    Raises:
        ValueError: an import statement binds the name of a package itself (``import app.errors``),
            so that uses of that name would have to be changed as well.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            ours = [alias for alias in node.names if _is_ours(alias.name)]
            if any(alias.asname is None for alias in ours):
                raise ValueError(f"line {node.lineno}: write `from … import …` instead")
            pattern = rf"(?<=[\s,])({_NAMES})(?=[.\s])"
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module or ""):
            pattern = rf"(?<=from )({_NAMES})(?=[.\s])"
        else:
            continue
        lines[node.lineno - 1] = re.sub(pattern, rf"{NAME}.\1", lines[node.lineno - 1])
    return _COMMAND.sub(rf"python -m {NAME}.\1", "".join(lines))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES

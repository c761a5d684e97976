"""The report: a study as one self-contained HTML file.

matplotlib and jinja2 take a second to import, so they are imported when a report is rendered.
"""

from __future__ import annotations

from pathlib import Path

from training.files import check_place, write_text
from training.study import Study


def render(study: Study) -> str:
    """Returns the report of a study.

    Args:
        study: the contents.

    Returns:
        An HTML document without scripts and without references to other files; the same study
        gives the same text.
    """
    from training.report.page import page  # noqa: PLC0415 - see the top of this module

    return page(study)


def write(study: Study, path: Path) -> None:
    """Writes the report of a study; an earlier file is replaced when all is written.

    Args:
        study: the contents.
        path: the HTML file.

    Raises:
        TrainingError: the folder is missing, or the path is a folder.
        WriteError: the disk is full, or the file cannot be written.
    """
    check_place(path)
    write_text(path, render(study))

"""Checks what the service needs of its machine, so that a failure is one sentence."""

from __future__ import annotations

from app.errors import InvalidSettings
from app.files import shared_folder
from app.observe.start_failures import too_few_files


def check_machine() -> None:
    """Checks the limit of open files, and that there is a folder for the shared table.

    Raises:
        InvalidSettings: something is missing; the message says what to set.
    """
    if too_few := too_few_files():
        raise InvalidSettings(too_few)
    shared_folder()

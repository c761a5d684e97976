"""Forms of numbers: decimal point or comma, and separators of thousands.

``1,234`` may be 1234 or 1.234. A form is taken from a column only where every other one that could
read its values gives the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import polars as pl

from training.errors import DatasetError

_DECIMALS: Final = (".", ",")
# What stands for a separator of thousands: programs write spaces that do not break a line.
_THOUSANDS: Final = {
    "": "",
    ",": ",",
    ".": r"\.",
    " ": "[ \u00a0\u2009\u202f]",
    "'": "['\u2019]",
}
_SPACES: Final = " \u00a0\u2009\u202f"
_NAMES: Final = {".": "a point", ",": "a comma", " ": "a space", "'": "an apostrophe"}
_EXPONENT: Final = r"(?:[eE][+-]?[0-9]+)?"


@dataclass(frozen=True)
class NumberForm:
    """A form of numbers.

    Attributes:
        decimal: before the fraction, ``.`` or ``,``.
        thousands: between groups of digits, empty where there is none. A space also stands for
            the spaces that do not break a line, an apostrophe for the typographic one.
        others: forms that the first rows leave open as well, since these hold whole numbers only.
    """

    decimal: str = "."
    thousands: str = ""
    others: tuple[NumberForm, ...] = field(default=(), compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as in Python."""
        return self == NumberForm()

    @property
    def is_open(self) -> bool:
        """Whether the first rows leave other forms open."""
        return bool(self.others)

    @staticmethod
    def is_other(text: pl.Expr) -> pl.Expr:
        """Returns an expression that marks texts that are no plain whole numbers."""
        return text.str.strip_chars(" ").cast(pl.Int64, strict=False).is_null()

    def refuse_others(self, values: Iterable[str], path: object, column: str) -> None:
        """Refuses values that have another form than the one taken, or two meanings.

        Args:
            values: those that are no plain whole numbers.
            path: the file, for a message.
            column: its name, for a message.

        Raises:
            DatasetError: a value is, or may be, another number in another form.
        """
        candidates = [self, *self.others]
        form = form_of(values, candidates, path, column)
        if form == self:
            return
        number = next(text for text in _numbers(values, candidates) if self.value_of(text) is None)
        raise DatasetError(
            f"{path}: the first rows have whole numbers in the column '{column}', and a later one "
            f"has '{number}'; {form.flags} reads it"
        )

    @staticmethod
    def candidates(decimal: str | None, thousands: str | None) -> list[NumberForm]:
        """Returns the forms that options leave open, the simplest first.

        Args:
            decimal: the value of ``--decimal``.
            thousands: the value of ``--thousands``.

        Raises:
            DatasetError: a value cannot be, or both are the same.
        """
        if decimal is not None and decimal not in _DECIMALS:
            raise DatasetError(f"--decimal is {decimal!r}; expected '.' or ','")
        if thousands is not None:
            thousands = {"space": " ", "\u00a0": " ", "\u202f": " ", "\u2019": "'"}.get(
                thousands, thousands
            )
            if not thousands or thousands not in _THOUSANDS:
                raise DatasetError(
                    f"--thousands is {thousands!r}; expected ',', '.', a space or an apostrophe"
                )
            if decimal == thousands:
                raise DatasetError(
                    f"--decimal and --thousands are both {decimal!r}; one character cannot be both"
                )
        return [
            NumberForm(one, group)
            for group in (_THOUSANDS if thousands is None else (thousands,))
            for one in (_DECIMALS if decimal is None else (decimal,))
            if one != group
        ]

    def read(self, text: pl.Expr) -> pl.Expr:
        """Returns an expression that reads text as Float32; what is no number becomes null."""
        if self.is_plain:
            return text.str.strip_chars(" ").cast(pl.Float32, strict=False)
        text = text.str.strip_chars(_SPACES)
        digits = text
        if self.thousands:
            digits = digits.str.replace_all(_THOUSANDS[self.thousands], "")
        digits = digits.str.replace(self.decimal, ".", literal=True)
        is_number = text.str.contains(rf"^[+-]?(?:{self._groups}|[0-9]*){self._fraction}$")
        return pl.when(is_number).then(digits).cast(pl.Float32, strict=False)

    def value_of(self, text: str) -> float | None:
        """Returns the number that a text certainly is in this form; None where it is another one.

        A form with a separator of thousands does not leave it out of ``1234``.
        """
        if self._pattern.fullmatch(text) is None:
            return None
        if self.thousands:
            text = re.sub(_THOUSANDS[self.thousands], "", text)
        return float(text.replace(self.decimal, "."))

    @property
    def words(self) -> str:
        """What is particular about the form, for a message."""
        parts = [f"{_NAMES[self.decimal]} before decimals"] if self.decimal != "." else []
        parts += [f"{_NAMES[self.thousands]} between thousands"] if self.thousands else []
        return " and ".join(parts)

    @property
    def flags(self) -> str:
        """The options that set it."""
        is_implied = self.thousands in _DECIMALS  # the other one is the decimal separator
        parts = [] if is_implied else [f'--decimal "{self.decimal}"']
        parts += [f'--thousands "{self.thousands}"'] if self.thousands else []
        return " ".join(parts)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        whole = "[0-9]{1,3}|" + self._groups if self.thousands else "[0-9]+"
        return re.compile(rf"[+-]?(?:(?:{whole}){self._fraction}|{self._small})")

    @property
    def _groups(self) -> str:
        """Groups of three digits; in India all but the last one have two."""
        if not self.thousands:
            return "[0-9]+"
        one = _THOUSANDS[self.thousands]
        return (
            rf"[1-9][0-9]{{0,2}}(?:{one}[0-9]{{3}})+|[1-9][0-9]?(?:{one}[0-9]{{2}})+{one}[0-9]{{3}}"
        )

    @property
    def _fraction(self) -> str:
        return rf"(?:{re.escape(self.decimal)}[0-9]*)?{_EXPONENT}"

    @property
    def _small(self) -> str:
        return rf"{re.escape(self.decimal)}[0-9]+{_EXPONENT}"


def form_of(
    values: Iterable[str], candidates: Sequence[NumberForm], path: object, column: str
) -> NumberForm:
    """Returns the form of a column; the simplest one, where its values do not tell.

    Args:
        values: of the column, as text.
        candidates: the forms that options leave open, the simplest first.
        path: the file, for a message.
        column: its name, for a message.

    Raises:
        DatasetError: two forms read the values as different numbers.
    """
    numbers = _numbers(values, candidates)
    fitting = [form for form in candidates if None not in map(form.value_of, numbers)]
    for number in numbers if len(fitting) > 1 else ():
        by_value = _by_value(number, fitting)
        if len(by_value) > 1:
            (one, form), (other, second), *_ = by_value.items()
            raise DatasetError(
                f"{path}: '{number}' in the column '{column}' can be {one:.9g} or {other:.9g}; "
                f"{form.flags} or {second.flags} says which"
            )
    chosen, *others = fitting or candidates
    is_whole = all(number.isdigit() for number in numbers)
    return replace(chosen, others=tuple(others)) if is_whole else chosen


def flags_for(text: str) -> str:
    """Returns the options with which a text is a number, for a message; or nothing."""
    by_value = _by_value(text.strip(_SPACES), NumberForm.candidates(None, None))
    return " or ".join(form.flags for form in by_value.values())


def _by_value(text: str, forms: Sequence[NumberForm]) -> dict[float, NumberForm]:
    """Returns the numbers that a text can be, each with the first form that reads it so."""
    found: dict[float, NumberForm] = {}
    for form in forms:
        if (value := form.value_of(text)) is not None:
            found.setdefault(value, form)
    return found


def _numbers(values: Iterable[str], candidates: Sequence[NumberForm]) -> list[str]:
    """Returns the values that some form reads; none where all are plain whole numbers."""
    texts = sorted({text.strip(_SPACES) for text in values})
    if all(text.isdigit() for text in texts):
        return []
    return [text for text in texts if any(form.value_of(text) is not None for form in candidates)]

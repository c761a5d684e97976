"""Numbers for people: three significant digits, thousands separators, signs, nouns.

A report has typographic signs and no-break spaces. A terminal has plain signs and always four
decimals, so that columns are aligned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol, assert_never

MISSING: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
# A difference with a p-value below this is significant.
SIGNIFICANT: Final = 0.05
_SPACE: Final = "\N{NO-BREAK SPACE}"
_MOST_DECIMALS: Final = 6
_PLAIN_DECIMALS: Final = 4


class Form(Enum):
    """The form of a number for people."""

    NUMBER = "number"
    SHARE = "share"
    COUNT = "count"


class HasInterval(Protocol):
    """A number with the bounds of its interval; None where it has none."""

    @property
    def value(self) -> float:
        """The number."""
        ...

    @property
    def low(self) -> float | None:
        """The lower bound."""
        ...

    @property
    def high(self) -> float | None:
        """The upper bound."""
        ...


def decimals_of(value: float) -> int:
    """Returns the number of decimals for three digits; more if a value below 1 would read 1."""
    if not math.isfinite(value) or value == 0:
        return 0
    exponent = int(f"{value:.2e}".rpartition("e")[2])  # of the rounded value: 9.999 is 10.0
    decimals = min(max(2 - exponent, 0), _MOST_DECIMALS)
    while abs(value) < 1 and round(abs(value), decimals) == 1 and decimals < _MOST_DECIMALS:
        decimals += 1
    return decimals


def number(value: float, decimals: int | None = None) -> str:
    """Returns a number, such as ``0.208``."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:,.{decimals_of(value) if decimals is None else decimals}f}"
    return text.replace("-", MINUS)


def count(value: float) -> str:
    """Returns a count, such as ``17,632``."""
    return f"{value:,.0f}".replace("-", MINUS) if math.isfinite(value) else MISSING


def percent(share: float) -> str:
    """Returns a share, such as ``8.41 %``."""
    if not math.isfinite(share):
        return MISSING
    decimals = 0 if share in (0, 1) else decimals_of(100 * share)
    return f"{number(100 * share, decimals)}{_SPACE}%"


def written(value: float, form: Form) -> str:
    """Returns a number in its form, for a report."""
    match form:
        case Form.NUMBER:
            return number(value)
        case Form.SHARE:
            return percent(value)
        case Form.COUNT:
            return count(value)
        case _:
            assert_never(form)


def plainly(value: float, form: Form) -> str:
    """Returns a number in its form, for a terminal; shares are plain numbers there."""
    return f"{value:,.0f}" if form is Form.COUNT else f"{value:.{_PLAIN_DECIMALS}f}"


def round_percent(share: float) -> str:
    """Returns a share without needless digits, such as ``15 %``, for ticks and round numbers."""
    return f"{tick(round(100 * share, 10))}{_SPACE}%"


def amount(value: float) -> str:
    """Returns an amount, for instance of plays: whole from 1,000 on, four digits below."""
    if not math.isfinite(value):
        return MISSING
    return count(value) if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def signed(value: float) -> str:
    """Returns a difference, such as ``+0.177``."""
    return f"+{number(value)}" if 0 < value < math.inf else number(value)


def interval_of(estimate: HasInterval, *, plain: bool = False) -> str:
    """Returns the bounds with a dash between, or with ``to`` if the lower bound is negative.

    Args:
        estimate: the number; its decimals are those of the bounds.
        plain: whether the text is for a terminal.

    Returns:
        The text; empty without bounds.
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    dash = " to " if low < 0 else "\N{EN DASH}"
    if plain:
        return f"{low:.{_PLAIN_DECIMALS}f}{dash}{high:.{_PLAIN_DECIMALS}f}"
    decimals = decimals_of(estimate.value or max(abs(low), abs(high)))
    return f"{number(low, decimals)}{dash}{number(high, decimals)}"


def with_interval(estimate: HasInterval) -> str:
    """Returns the value, and its bounds in brackets."""
    value = number(estimate.value)
    bounds = interval_of(estimate)
    return f"{value} ({bounds})" if bounds else value


def p_value(p: float, *, plain: bool = False) -> str:
    """Returns ``p < 0.001`` or ``p = 0.042``.

    Args:
        p: the p-value.
        plain: whether the text is for a terminal.
    """
    space = " " if plain else _SPACE
    if not math.isfinite(p):
        return f"p{space}unknown"
    if p < 0.001:
        return f"p{space}<{space}0.001"
    return f"p{space}={space}{p:.{3 if plain or p < 0.1 else 2}f}"


def tick(value: float) -> str:
    """Returns a short label for a tick: ``0.25``, ``800``, ``10k``, ``2M``."""
    if value == 0:
        return "0"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:.4g}{letter}".replace("-", MINUS)
    return f"{value:,.4g}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Returns a duration, such as ``3 min 20 s``."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{number(seconds, 1 if seconds < 10 else 0)}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{minutes // 60:,}{_SPACE}h {minutes % 60}{_SPACE}min"


def setting(value: Any) -> str:
    """Returns the value of a setting: numbers short, booleans as words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", MINUS)
    if isinstance(value, Mapping):
        return settings(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(setting(one) for one in value)
    return str(value)


def settings(values: Mapping[str, Any]) -> str:
    """Returns settings as a phrase, such as ``test fraction 0.2, seed 0``, without None values."""
    return ", ".join(
        f"{name.replace('_', ' ')} {setting(value)}"
        for name, value in values.items()
        if value is not None
    )


def joined(parts: Sequence[str]) -> str:
    """Returns an enumeration, such as ``1, 2 and 3``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def plural(number: float, one: str, many: str | None = None) -> str:
    """Returns a count with its noun, such as ``1 user`` or ``12 users``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"

"""How new artists get into lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class NewcomerRules:
    """How an artist that the model does not know gets into lists.

    Attributes:
        min_listeners: how many listeners with a vector it needs to be ranked.
        length_quantile: the length of its vector, as a quantile of the lengths of established
            artists' vectors.
    """

    min_listeners: int = 3
    length_quantile: float = 0.99


DEFAULT_NEWCOMER_RULES: Final = NewcomerRules()

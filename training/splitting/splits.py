"""The table of splits: the values of ``--split`` with their classes.

A new split is a class, which declares its names and options, and a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from training.splitting.drawn import HeldOutUsers, KFold, RandomPerUser
from training.splitting.timed import GlobalTime, LeaveLastOut, Yambda

MadeHere: TypeAlias = RandomPerUser | KFold | GlobalTime | LeaveLastOut | HeldOutUsers | Yambda


def _by_option(*kinds: type[MadeHere]) -> Mapping[str, type[MadeHere]]:
    splits = {kind.option: kind for kind in kinds}
    if len(splits) < len(kinds):
        raise ValueError("two splits take the same --split")
    return MappingProxyType(splits)


SPLITS: Final = _by_option(RandomPerUser, KFold, GlobalTime, LeaveLastOut, HeldOutUsers, Yambda)

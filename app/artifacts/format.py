"""The artifact's formats, as a table: the arrays of a model, and how they belong together.

Format 1 is that of a model whose only block is that of ALS; format 2 names the blocks. A version is
a folder. Arrays are ``.npy`` files, which are mapped; the rest is ``manifest.json``; nothing is
unpickled. Writer, reader, checks and documentation all read this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from app.artifacts import values
from app.artifacts.values import Check
from app.model.id_map import MAX_ID_BYTES, IdMap, StringTable
from app.model.model import Model

# Of a model whose only block is that of ALS, and of all others.
ALS_ALONE: Final = 1
WITH_BLOCKS: Final = 2
FORMAT_VERSIONS: Final = (ALS_ALONE, WITH_BLOCKS)
MANIFEST: Final = "manifest.json"
REPORT: Final = "report.html"

Getter = Callable[[Model], NDArray[Any] | None]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """The declaration of one array.

    Attributes:
        dtype: its numpy type, little-endian.
        shape: sizes by name (equal names are equal sizes everywhere), by expression
            (``n_users+1``), or free (a name that no other array uses).
        of: returns the array of a model; None if the model has none (optional arrays only).
        check: what is wrong with its values, beside those of the arrays above it in the table.
        optional: whether a model may lack it.
        essential: whether a reader that does not know the array would answer wrongly; the manifest
            then does not call it optional.
        may_be_empty: whether it may have length 0 instead of the size that ``shape`` names.
        pair: the optional array that has to be present with it.
        offsets_into: the array that these offsets split; they rise from 0 to its length.
        is_hash_table: whether the offsets bound the buckets of a hash table, a power of two of
            them.
    """

    dtype: str
    shape: tuple[str, ...]
    of: Getter
    check: Check
    optional: bool = False
    essential: bool = False
    may_be_empty: bool = False
    pair: str = ""
    offsets_into: str = ""
    is_hash_table: bool = False

    @property
    def may_be_ignored(self) -> bool:
        """Whether the manifest calls it optional: an older reader answers correctly without it."""
        return self.optional and not self.essential


def _texts(
    prefix: str, size: str, of: Callable[[Model], StringTable], longest: int | None = None
) -> Mapping[str, ArraySpec]:
    """The two arrays of a table of texts."""
    data = f"{prefix}_data"
    return {
        data: ArraySpec(
            "|u1", (f"{prefix}_bytes",), lambda model: of(model).data, check=values.text
        ),
        f"{prefix}_offsets": ArraySpec(
            "<i8",
            (f"{size}+1",),
            lambda model: of(model).offsets,
            check=values.texts_in(data, longest),
            offsets_into=data,
        ),
    }


def _ids(prefix: str, size: str, of: Callable[[Model], IdMap]) -> Mapping[str, ArraySpec]:
    """The four arrays of an id map."""
    order = f"{prefix}_order"
    return {
        **_texts(prefix, size, lambda model: of(model).strings, longest=MAX_ID_BYTES),
        f"{prefix}_buckets": ArraySpec(
            "<i8",
            (f"{prefix}_buckets",),
            lambda model: of(model).buckets,
            check=values.rising,
            offsets_into=order,
            is_hash_table=True,
        ),
        order: ArraySpec(
            "<i4", (size,), lambda model: of(model).order, check=values.ids_by_hash(prefix)
        ),
    }


def _idf(model: Model) -> NDArray[Any]:
    """The idf of the first block that has one; idf depends on the data only."""
    found = [block.weighting.idf for block in model.blocks]
    return next((idf for idf in found if len(idf)), found[0])


# In the order in which a manifest lists them, and in which their values are checked.
ARRAYS: Final[Mapping[str, ArraySpec]] = {
    "user_factors": ArraySpec(
        "<f4", ("n_users", "factors"), lambda model: model.user_factors, check=values.factors
    ),
    "item_factors": ArraySpec(
        "<f4", ("n_items", "factors"), lambda model: model.item_factors, check=values.factors
    ),
    "item_gramian": ArraySpec(
        "<f8",
        ("als_factors", "als_factors"),
        lambda model: None if model.als is None else model.als.gramian,
        check=values.item_gramian,
        optional=True,
        essential=True,
    ),
    "history_factors": ArraySpec(
        "<f4",
        ("n_items", "linear_rank"),
        lambda model: None if model.linear is None else model.linear.history_factors,
        check=values.factors,
        optional=True,
        essential=True,
    ),
    **_texts("item_names", "n_items", lambda model: model.items.names),
    "popularity_by_listeners": ArraySpec(
        "<i4",
        ("n_items",),
        lambda model: model.popularity.by_listeners,
        check=values.ranked_by("popularity_listeners"),
    ),
    "popularity_by_plays": ArraySpec(
        "<i4",
        ("n_items",),
        lambda model: model.popularity.by_plays,
        check=values.ranked_by("popularity_plays"),
    ),
    "popularity_listeners": ArraySpec(
        "<i8", ("n_items",), lambda model: model.popularity.listeners, check=values.counts
    ),
    "popularity_plays": ArraySpec(
        "<f8", ("n_items",), lambda model: model.popularity.plays, check=values.counts
    ),
    "user_items_indptr": ArraySpec(
        "<i8",
        ("n_users+1",),
        lambda model: model.user_items.indptr,
        check=values.rising,
        offsets_into="user_items_indices",
    ),
    "user_items_indices": ArraySpec(
        "<i4", ("nnz",), lambda model: model.user_items.indices, check=values.item_rows
    ),
    "user_items_plays": ArraySpec(
        "<f4", ("nnz",), lambda model: model.user_items.plays, check=values.plays
    ),
    "weighting_idf": ArraySpec(
        "<f4",
        ("n_items",),
        _idf,
        check=values.counts,
        may_be_empty=True,
    ),
    **_ids("user_ids", "n_users", lambda model: model.users),
    **_ids("item_ids", "n_items", lambda model: model.items),
    "user_items_recency": ArraySpec(
        "<f4",
        ("nnz",),
        lambda model: model.user_items.recency,
        check=values.shares,
        optional=True,
        essential=True,
    ),
    "top_items": ArraySpec(
        "<i4",
        ("n_users", "list_length"),
        lambda model: None if model.top_lists is None else model.top_lists.items,
        check=values.lists,
        optional=True,
        pair="top_scores",
    ),
    "top_scores": ArraySpec(
        "<f4",
        ("n_users", "list_length"),
        lambda model: None if model.top_lists is None else model.top_lists.scores,
        check=values.list_scores,
        optional=True,
        pair="top_items",
    ),
}


def arrays_of(model: Model) -> dict[str, NDArray[Any]]:
    """Returns the arrays of a model by their names in the format, without those it lacks."""
    found = ((name, spec.of(model)) for name, spec in ARRAYS.items())
    return {name: array for name, array in found if array is not None}


def format_of(model: Model) -> int:
    """Returns the number of the oldest format that holds a model."""
    alone = len(model.blocks) == 1 and model.als is not None
    return ALS_ALONE if alone else WITH_BLOCKS


def array_path(folder: Path, name: str) -> Path:
    """Returns where an array lies in the folder of a version."""
    return folder / f"{name}.npy"

"""What a model needs of all users: their vectors, histories and lists, made in tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from app.model.blocks import Block
from app.model.event_unit import EventUnit
from app.model.id_map import IdMap, StringTable
from app.model.interactions import UserItems
from app.model.items import Items
from app.model.model import Model, Popularity, TopLists
from training.engines.spark.tables import Matrix, Rows, by_rows
from training.errors import WriteError
from training.fitting.assembling import solve_users
from training.fitting.top_lists import with_top_lists

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.core.broadcast import Broadcast
    from pyspark.sql import DataFrame

_USERS: Final = 4096
_SCHEMA: Final = (
    "first int, lengths binary, indices binary, plays binary, recency binary, vectors binary, "
    "items binary, scores binary"
)


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What every task needs of a model.

    Attributes:
        item_factors: float32, shape (n_items, factors).
        blocks: the parts of the vectors.
        popularity: of the items.
        number: int32, shape (n_items,), the number in the model of each item of the matrix.
    """

    item_factors: NDArray[np.float32]
    blocks: tuple[Block, ...]
    popularity: Popularity
    number: NDArray[np.int32]

    def model_of(self, user_items: UserItems) -> Model:
        """Returns a model of some users, who are called by their places, as items are."""
        places = IdMap.build([str(place) for place in range(user_items.n_users)])
        texts = [str(place) for place in range(user_items.n_items)]
        return Model(
            version="in-task",
            card={},
            users=places,
            items=Items.of(IdMap.build(texts), StringTable.build(texts)),
            user_factors=solve_users(user_items, self.item_factors, self.blocks),
            item_factors=self.item_factors,
            blocks=self.blocks,
            user_items=user_items,
            popularity=self.popularity,
            event_units=tuple(EventUnit(1.0, 1.0) for _ in self.blocks),
        )


def renumbered(user_items: UserItems, number: NDArray[np.int32]) -> UserItems:
    """Returns the same rows with other numbers of items, ascending in each row."""
    items = number[user_items.indices]
    order = np.lexsort((items, user_items.row_of_each_pair()))
    recency = None if user_items.recency is None else user_items.recency[order]
    return UserItems(
        user_items.indptr, items[order], user_items.plays[order], user_items.n_items, recency
    )


def user_parts(matrix: Matrix, shared: Broadcast[Shared], list_length: int) -> DataFrame:
    """Solves all users, and makes their lists.

    Args:
        matrix: all pairs.
        shared: the model without users.
        list_length: items of each list, 0 for none.

    Returns:
        One row for some thousand users, with arrays as bytes.
    """

    def make(rows: Rows, _part: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa  # noqa: PLC0415

        for start in range(0, len(rows.users), _USERS):
            within = np.arange(start, min(start + _USERS, len(rows.users)))
            user_items = renumbered(rows.user_items.take(within), shared.value.number)
            model = with_top_lists(shared.value.model_of(user_items), list_length)
            lists = model.top_lists
            columns: dict[str, Any] = {
                "first": pa.array([int(rows.users[start])], pa.int32()),
                "lengths": _bytes(user_items.row_lengths().astype("<i8")),
                "indices": _bytes(user_items.indices),
                "plays": _bytes(user_items.plays),
                "recency": _bytes(user_items.recency),
                "vectors": _bytes(model.user_factors),
                "items": _bytes(None if lists is None else lists.items),
                "scores": _bytes(None if lists is None else lists.scores),
            }
            yield pa.RecordBatch.from_pydict(columns)

    return by_rows(matrix.pairs, matrix.n_items, make, _SCHEMA)


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Returns an array in a file, which has its room on the disk from the beginning.

    Raises:
        WriteError: the disk has no room for it.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    try:
        with path.open("wb") as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise WriteError(path, error) from error
    return np.memmap(path, dtype, mode="r+", shape=shape) if size else np.zeros(shape, dtype)


def _bytes(array: NDArray[Any] | None) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415

    return pa.array([None if array is None else np.ascontiguousarray(array).tobytes()], pa.binary())


@dataclass(frozen=True, slots=True, eq=False)
class UserArrays:
    """What a model has of all users, in files that are mapped.

    Attributes:
        user_items: the plays.
        vectors: float32, shape (n_users, factors).
        top_lists: the lists; None without.
    """

    user_items: UserItems
    vectors: NDArray[np.float32]
    top_lists: TopLists | None

    @classmethod
    def gather(
        cls,
        parts: Iterable[Any],
        matrix: Matrix,
        factors: int,
        list_length: int,
        folder: Path,
        *,
        has_recency: bool,
    ) -> UserArrays:
        """Writes the rows of ``user_parts``, one after the other, into files.

        Args:
            parts: the rows, in the order of the users.
            matrix: all pairs.
            factors: length of the vectors.
            list_length: items of each list, 0 for none.
            folder: for the files.
            has_recency: whether the pairs have a recency.
        """

        def made(name: str, dtype: str, *shape: int) -> NDArray[Any]:
            return _mapped(folder / f"{name}.npy", np.dtype(dtype), shape)

        n_users, n_pairs = matrix.n_users, matrix.n_pairs
        indptr = np.zeros(n_users + 1, dtype=np.int64)
        pairs = {"indices": made("indices", "<i4", n_pairs), "plays": made("plays", "<f4", n_pairs)}
        if has_recency:
            pairs["recency"] = made("recency", "<f4", n_pairs)
        rows = {"vectors": made("vectors", "<f4", n_users, factors)}
        if list_length:
            rows["items"] = made("items", "<i4", n_users, list_length)
            rows["scores"] = made("scores", "<f4", n_users, list_length)
        user = pair = 0
        for part in parts:
            lengths = np.frombuffer(part["lengths"], dtype="<i8")
            if part["first"] != user:
                raise AssertionError(f"users come in order: {part['first']} after {user}")
            indptr[user + 1 : user + 1 + len(lengths)] = pair + np.cumsum(lengths)
            for name, array in pairs.items():
                values = np.frombuffer(part[name], dtype=array.dtype)
                array[pair : pair + len(values)] = values
            for name, array in rows.items():
                values = np.frombuffer(part[name], dtype=array.dtype)
                array[user : user + len(lengths)] = values.reshape(len(lengths), -1)
            user, pair = user + len(lengths), pair + int(lengths.sum())
        if (user, pair) != (n_users, n_pairs):
            raise AssertionError(f"{user} of {n_users} users and {pair} of {n_pairs} pairs came")
        user_items = UserItems(
            indptr, pairs["indices"], pairs["plays"], matrix.n_items, pairs.get("recency")
        )
        lists = TopLists(rows["items"], rows["scores"]) if list_length else None
        return cls(user_items, rows["vectors"], lists)

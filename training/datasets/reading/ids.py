"""Ids: which of them differ by little, how they are normalised, and artists without one.

All of it looks at the distinct texts only, never at single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.reading.sources import shorten
from training.errors import DatasetError

NAME_PREFIX: Final = "name:"
# What programs write for a missing value.
NULLS: Final = (
    *("NULL", "null", "(null)", "<null>", "None", "nan", "NaN", "NA", "<NA>", "N/A", "n/a", "#N/A"),
    *("\\N", "undefined"),
)
_NULL: Final = "null"
_STRIP: Final = "strip"
_SPACED: Final = "with spaces around it"
_FLOAT: Final = "float"
_POINTED: Final = "that is a whole number with .0"

# Every id that a step changes, other than ``NULLS``, and few others: looking at these is cheaper.
_SUSPECT: Final = rf"^\s|\s$|[^\x00-\x7f]|\.0+$|^{NAME_PREFIX}\s"


def _strip(ids: pl.Expr) -> pl.Expr:
    # The id of an artist that is known by its name has the name inside.
    return ids.str.strip_chars().str.replace(rf"^{NAME_PREFIX}\s+", NAME_PREFIX)


def _without_nulls(ids: pl.Expr) -> pl.Expr:
    bare = ids.str.strip_chars()
    return pl.when((bare == "") | bare.is_in(NULLS)).then(pl.lit("")).otherwise(ids)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the normalisation.

    Attributes:
        apply: makes texts equal; a missing id is empty.
        difference: what it takes away, in words.
    """

    apply: Callable[[pl.Expr], pl.Expr]
    difference: str


# In the order in which they are applied.
STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "nfc": Step(lambda ids: ids.str.normalize("NFC"), "Unicode normalisation"),
        _STRIP: Step(_strip, "surrounding spaces"),
        _FLOAT: Step(lambda ids: ids.str.replace(r"^([+-]?[0-9]+)\.0+$", "${1}"), "a trailing .0"),
        _NULL: Step(_without_nulls, "looks like a missing value"),
    }
)


@dataclass(frozen=True, slots=True)
class Normalization:
    """How ids are normalised.

    Attributes:
        steps: of ``STEPS``, in the order of that table.
    """

    steps: tuple[str, ...] = ()

    @classmethod
    def of(cls, option: str | None) -> Normalization:
        """Reads an option such as ``nfc,strip``.

        Raises:
            DatasetError: a step is not known.
        """
        if option is None:
            return cls()
        asked = [step.strip().lower() for step in option.split(",")]
        if unknown := [step for step in asked if step not in STEPS]:
            raise DatasetError(
                f"--normalize-ids {option!r}: {unknown[0]!r} is not known; it takes some of "
                f"{','.join(STEPS)}"
            )
        return cls(tuple(step for step in STEPS if step in asked))

    def apply(self, ids: pl.Series) -> pl.Series:
        """Returns normalised texts; a missing id is empty."""
        return _applied(ids, self.steps)


@dataclass(frozen=True, slots=True)
class OddIds:
    """Ids of one kind that differ from another by little, or look missing.

    Attributes:
        ids: oddity in words to the number of ids.
        rows: the same to the number of their rows.
        examples: the same to one such id.
        remedies: steps that would act on them and were not asked for.
    """

    ids: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    remedies: set[str] = field(default_factory=set)

    @property
    def left(self) -> int:
        """Number of ids that the remedies would act on."""
        return sum(count for what, count in self.ids.items() if "joined" not in what)


def odd_ids(
    kind: str,
    ids: pl.Series,
    rows: Callable[[], NDArray[np.intp]],
    normalization: Normalization,
) -> OddIds:
    """Counts the ids that differ from another by little, or look missing.

    Of ids that are equal after a step, all but one are counted, under the first step that makes
    them equal. So the counts of the steps that were asked for are exactly the ids that they join.

    Args:
        kind: ``user`` or ``artist``, for the words.
        ids: String, as they were read, with repetitions; missing ones are empty.
        rows: returns the number of usable rows of each, shape (n_ids,); asked only where needed.
        normalization: the steps that were asked for.
    """
    odd = OddIds()
    suspects = ids.filter(ids.str.contains(_SUSPECT) | ids.is_in(NULLS))
    if not any((_applied(suspects, [step]) != suspects).any() for step in STEPS):
        return odd
    found = pl.DataFrame({"id": ids, "rows": rows()}).filter(pl.col("rows") > 0, pl.col("id") != "")
    # ``changed_by`` has the steps that were not asked for and led to a text.
    found = found.group_by("id").agg(pl.col("rows").sum(), changed_by=pl.lit(""))
    spaced = found.filter(_strip(pl.col("id")) != pl.col("id"), _without_nulls(pl.col("id")) != "")
    bare = _strip(pl.col("id"))
    pointed = found.filter(STEPS[_FLOAT].apply(bare) != bare)
    asked = [step for step in normalization.steps if step != _NULL]
    for name in (*asked, *(step for step in STEPS if step not in asked and step != _NULL)):
        found = _join(found, name, kind, odd, is_asked=name in asked)
    if _STRIP not in odd.remedies | set(asked):
        # They differ from no other id here, but mostly do from those in requests and events.
        _enter(odd, f"{kind} id {_SPACED}", spaced, "'{}'")
        odd.remedies.update([_STRIP] if len(spaced) else [])
    if _FLOAT not in odd.remedies | set(asked):
        # Likewise the ids that went through a column of floats.
        _enter(odd, f"{kind} id {_POINTED}", pointed, "'{}'")
        odd.remedies.update([_FLOAT] if len(pointed) else [])
    if _NULL not in normalization.steps:
        missing = found.filter(_without_nulls(pl.col("id")) == "")
        _enter(odd, f"{kind} id that {STEPS[_NULL].difference}", missing, "'{}'")
        odd.remedies.update([_NULL] if len(missing) else [])
    return odd


def _join(
    found: pl.DataFrame, name: str, kind: str, odd: OddIds, *, is_asked: bool
) -> pl.DataFrame:
    """Joins the ids that a step makes equal, counts them, and returns all with their rows."""
    step = STEPS[name]
    after = found.with_columns(after=step.apply(pl.col("id"))).with_columns(
        changed_by=pl.when(pl.lit(not is_asked) & (pl.col("id") != pl.col("after")))
        .then(pl.col("changed_by") + f"{name},")
        .otherwise("changed_by")
    )
    changed = after.filter(pl.col("id") != pl.col("after"))
    if changed.is_empty():
        return found
    same = after.filter(pl.col("after").is_in(changed["after"].implode()), pl.col("after") != "")
    same = same.sort("after", pl.col("id") != pl.col("after"), "id").with_columns(
        beside=pl.col("id").first().over("after")
    )
    joined = same.filter(~pl.col("after").is_first_distinct())
    words = f"{kind} id that differs from another only in {step.difference}"
    if is_asked:
        words = f"{kind} id joined with another that differs only in {step.difference}"
    _enter(odd, words, joined, "'{}' beside '{}'")
    equal = same.filter(pl.col("after").is_in(joined["after"].implode()))
    odd.remedies.update(filter(None, "".join(equal["changed_by"]).split(",")))
    return after.group_by(id="after").agg(pl.col("rows").sum(), pl.col("changed_by").str.join())


def _enter(odd: OddIds, words: str, found: pl.DataFrame, form: str) -> None:
    if found.is_empty():
        return
    odd.ids[words] = len(found)
    odd.rows[words] = int(found["rows"].sum())
    first = found.sort("id").row(0, named=True)
    one, other = shorten(first["id"]), shorten(first.get("beside", ""))
    odd.examples[words] = f"for example {form.format(one, other)}"


def close_ids(ids: pl.Series, others: pl.Series) -> int:
    """Returns how many distinct ids are not among others, but would be after all steps."""
    distinct, steps = ids.unique(), [step for step in STEPS if step != _NULL]
    new = distinct.filter(~distinct.is_in(others.implode()))
    suspects = others.filter(others.str.contains(_SUSPECT))
    forms = pl.concat([others, _applied(suspects, steps).rename(others.name)])
    return int(_applied(new, steps).is_in(forms.implode()).sum())


def advise(users: OddIds, items: OddIds) -> str:
    """Returns one sentence about odd ids and the option that acts on them; empty for none."""
    counts = [
        f"{odd.left:,} {kind} id{'s' if odd.left > 1 else ''}"
        for kind, odd in (("user", users), ("artist", items))
        if odd.left
    ]
    if not counts:
        return ""
    steps = ",".join(step for step in STEPS if step in users.remedies | items.remedies)
    is_one = users.left + items.left == 1
    s, have, them = ("s", "has", "it") if is_one else ("", "have", "them")
    whats = [what for odd in (users, items) for what in odd.ids]
    how = {
        "differs from another": f"differ{s} from another by very little",
        _SPACED: f"{have} spaces around {them}",
        _POINTED: "is a whole number with .0" if is_one else "are whole numbers with .0",
        STEPS[_NULL].difference: f"look{s} like a missing value",
    }
    kinds = [said for words, said in how.items() if any(words in what for what in whats)]
    return (
        f"{' and '.join(counts)} {' or '.join(kinds)}; --normalize-ids "
        f"{steps} acts on that (events and requests then have to use the normalised ids)"
    )


def artist_ids(
    ids: pl.Series, names: pl.Series, rows: NDArray[np.intp]
) -> tuple[pl.Series, pl.Series]:
    """Finds ids for artists that have only a name.

    Such an artist has the one id that stands beside its name in other rows. If there is none, or
    several, its id is ``name:<name>``.

    Args:
        ids: String, empty where missing.
        names: String, as long, empty where missing.
        rows: number of usable rows of each; only ids with one count.

    Returns:
        The ids, String, null where the name is missing too; and the number of ids beside the name
        of each artist without id, UInt32, null for others.
    """
    table = pl.DataFrame({"id": ids, "name": names, "rows": rows})
    beside = (
        table.filter(pl.col("rows") > 0, pl.col("id") != "", pl.col("name") != "")
        .group_by("name")
        .agg(pl.col("id").unique())
        .select("name", only=pl.col("id").list.first(), count=pl.col("id").list.len())
    )
    known = table.join(beside, on="name", how="left", maintain_order="left")
    by_name = pl.when(pl.col("name") != "").then(NAME_PREFIX + pl.col("name"))
    found = known.select(
        id=pl.coalesce(
            pl.when(pl.col("id") != "").then("id"),
            pl.when(pl.col("count") == 1).then("only"),
            by_name,
        ),
        count=pl.when(pl.col("id") == "").then(pl.col("count").fill_null(0)),
    )
    return found["id"], found["count"]


def _applied(ids: pl.Series, steps: Sequence[str]) -> pl.Series:
    expression = pl.col("id")
    for step in steps:
        expression = STEPS[step].apply(expression)
    return ids.alias("id").to_frame().select(expression).to_series()

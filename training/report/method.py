"""The section "How it was measured": the facts that are needed to repeat or check the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from training.measuring.figures import Figures
from training.numbers import count, number, plural, setting, settings
from training.report.comparison import cutoffs_of
from training.report.contenders import Contenders
from training.report.elements import Cell, Column, Table
from training.study import Study


@dataclass(frozen=True, slots=True)
class Fact:
    """A term with its explanation.

    Attributes:
        term: the term.
        text: the explanation.
    """

    term: str
    text: str


def facts_of(study: Study, contenders: Contenders) -> list[Fact]:
    """Returns the facts about the method."""
    figures = study.figures
    facts = [
        Fact("Data", _data(study)),
        *_period(study),
        Fact("Split", _split(figures)),
        *([Fact("Folds", _folds(figures, contenders))] if figures.folds > 1 else []),
        Fact("Users", _users(figures)),
        Fact("Cut-offs", _cutoffs(figures)),
        Fact(
            "Intervals",
            "95 % bootstrap intervals over users, and paired t-tests over the same users. They "
            "show how much other users would change the figures, not another split or seed.",
        ),
    ]
    facts += [
        Fact(contenders.label(name), _asked(asked))
        for name in contenders.looks
        if (asked := figures.asked.get(name))
    ]
    if study.parameters:
        facts.append(Fact("Parameters", f"{settings(study.parameters)}."))
    return facts


def _asked(asked: Mapping[str, Any]) -> str:
    """Returns in words how the lists of a contender were made."""
    match asked:
        case {"strategy": "popularity", "popularity_by": by, "include_seen": seen}:
            what = "stay in" if seen else "are left out"
            return f"One list for all, by {by}; artists that the user has {what}."
        case {"strategy": "auto" | "als" as strategy, **rest} if not rest.get("include_seen"):
            dial = rest.get("discovery")
            at = f", discovery {setting(dial)}" if dial else ""
            return f"The lists that the service answers with, strategy {strategy}{at}."
        case {"search": {"tried": []}, **rest}:
            return f"{settings(rest)}; there was no validation part to choose by."
        case {"search": {"tried": tried, "objective": goal, "users": n, "ndcg": best}, **rest}:
            return (
                f"{settings(rest)}; chosen from {plural(len(tried), 'set')} of options by {goal} "
                f"on {plural(n, 'validation user')}, where it reached {number(best)}."
            )
    return f"{settings(asked)}."


def _data(study: Study) -> str:
    user_items = study.user_items
    sources = ", ".join(study.dataset.get("sources", {}))
    return (
        f"{study.dataset.get('name', 'unnamed')}: {plural(user_items.n_users, 'user')}, "
        f"{plural(user_items.n_items, 'artist')}, {plural(user_items.nnz, 'pair')}"
        + (f"; from {sources}." if sources else ".")
    )


def _period(study: Study) -> list[Fact]:
    period = study.dataset.get("period")
    return [Fact("Period", f"{period['first']} to {period['last']}.")] if period else []


def _split(figures: Figures) -> str:
    split = dict(figures.split)
    name = split.pop("name", None)
    rest = settings(split)
    text = f"{name}: {rest}" if name and rest else str(name or rest)
    return f"{text}."


def _folds(figures: Figures, contenders: Contenders) -> str:
    main = contenders.main
    values = [fold[main]["ndcg"] for fold in figures.per_fold if "ndcg" in fold.get(main, {})]
    text = f"All figures are means over {figures.folds} training and test parts"
    if values:
        text += (
            f"; NDCG@{figures.k} of {contenders.label(main)} was {number(min(values))} to "
            f"{number(max(values))} in them"
        )
    return f"{text}."


def _users(figures: Figures) -> str:
    if figures.users < figures.users_with_test:
        return (
            f"A sample of {count(figures.users)} of the {count(figures.users_with_test)} users "
            "with a hidden artist."
        )
    return f"All {plural(figures.users, 'user')} with a hidden artist."


def _cutoffs(figures: Figures) -> str:
    cutoffs = ", ".join(str(k) for k in cutoffs_of(figures))
    return (
        f"k = {cutoffs}; the main one is {figures.k}. The whole catalogue is ranked; a user's "
        "training artists are left out of the list, unless a model says otherwise."
    )


# Counts of the events, by how the data are made of them.
_OF_EVENTS: Final = {
    "plays": "plays of events, added",
    "plays_in_data": "plays of events that the data hold already",
    "plays_in_both": "plays of events at a second in which the data have them, counted once",
}


def rows_table(study: Study) -> Table | None:
    """Returns the table of rows read and left out, by reason; None where that is unknown."""
    dataset = study.dataset
    rows: list[Sequence[Cell]] = []
    if "rows_read" in dataset:
        rows.append(_row("rows in the files", dataset["rows_read"]))
    rows += [
        _row(f"left out: {reason}", -number)
        for reason, number in _largest(dataset.get("rows_dropped", {}))
    ]
    rows += [
        [
            Cell(f"kept, although {remark}"),
            Cell(count(number)),
            *(
                Cell(count(dataset[ids][remark]) if remark in dataset.get(ids, {}) else "")
                for ids in ("users_noted", "artists_noted")
            ),
        ]
        for remark, number in _largest(dataset.get("rows_noted", {}))
    ]
    events = dataset.get("events") or {}
    rows += [_row(words, events[name]) for name, words in _OF_EVENTS.items() if events.get(name)]
    rows += [
        _row(step["name"], step["records"], step["users"], step["items"])
        for step in dataset.get("filters", [])
    ]
    if not rows:
        return None
    columns = [Column("", numeric=False), Column("Rows"), Column("Users"), Column("Artists")]
    return Table("From the files to the data", columns, rows)


def _largest(counts: Any) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: -entry[1])


def _row(name: str, *numbers: float) -> list[Cell]:
    cells = [Cell(count(number)) for number in numbers]
    return [Cell(name), *cells, *[Cell("")] * (3 - len(numbers))]

"""The section "Who gains": measures by activity of users and by popularity of artists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes

from training.measuring.figures import Estimate, Figures, ItemBand
from training.numbers import count, interval_of, joined, number, percent, plural, signed
from training.report.axes import Row, dots, dots_height, label_ticks
from training.report.contenders import Contenders
from training.report.elements import Cell, Chart, Column, Section, Table, key_of, mark_key
from training.report.svg import INK, draw, variable_of

_NAN: Final = float("nan")
_HIDDEN: Final = "share of hidden artists"


def bands_section(figures: Figures, contenders: Contenders) -> Section | None:
    """Returns the section; None without bands."""
    charts, tables = [], []
    if figures.user_bands:
        charts.append(_user_chart(figures, contenders))
        tables.append(_user_table(figures, contenders))
    if figures.item_bands:
        charts += [_recall_chart(figures, contenders), _exposure_chart(figures, contenders)]
        tables.append(_item_table(figures.item_bands, contenders))
    if not charts:
        return None
    lead = "The same lists, told apart by how much a user listens and by how known an artist is."
    return Section("bands", "Who gains", [lead], charts, tables)


def _user_chart(figures: Figures, contenders: Contenders) -> Chart:
    bands = figures.user_bands
    rows = [
        Row(
            [band.models.get(name, Estimate(_NAN)) for band in bands],
            look.colour,
            look.marker,
        )
        for name, look in contenders.looks.items()
    ]
    groups = [f"{band.label} · {plural(band.users, 'user')}" for band in bands]
    title = f"NDCG@{figures.k} by activity of users"
    svg = _draw_dots(groups, rows, ident="bands-users", title=title, x=f"NDCG@{figures.k}")
    keys = [key_of(look, line=False) for look in contenders.looks.values()]
    return Chart(title, svg, _user_says(figures, contenders), keys)


def _user_says(figures: Figures, contenders: Contenders) -> str:
    main, rival = contenders.main, contenders.rival
    label = contenders.label(main)
    if rival is None:
        values = [
            f"{number(_value(band.models, main))} ({band.label})" for band in figures.user_bands
        ]
        return f"{label}: {', '.join(values)}."
    gains = {
        band.label: _value(band.models, main) - _value(band.models, rival)
        for band in figures.user_bands
    }
    gains = {band: gain for band, gain in gains.items() if math.isfinite(gain)}
    if not gains:
        return ""
    most, least = max(gains, key=lambda one: gains[one]), min(gains, key=lambda one: gains[one])
    over = f"{label} over {contenders.label(rival)}"
    if most == least:
        return f"{over}: {signed(gains[most])} for users with {most}."
    return (
        f"{over}: most for users with {most} ({signed(gains[most])}), least for those with "
        f"{least} ({signed(gains[least])})."
    )


def _value(models: Mapping[str, Estimate], name: str) -> float:
    return models[name].value if name in models else _NAN


def _recall_chart(figures: Figures, contenders: Contenders) -> Chart:
    bands = figures.item_bands
    rows = [
        Row([Estimate(band.recall.get(name, _NAN)) for band in bands], look.colour, look.marker)
        for name, look in contenders.looks.items()
    ]
    title = f"Recall@{figures.k} by popularity of artists"
    groups = _item_groups(bands)
    svg = _draw_dots(
        groups, rows, ident="bands-recall", title=title, x="hidden artists found", share="x"
    )
    keys = [key_of(look, line=False) for look in contenders.looks.values()]
    return Chart(title, svg, _recall_says(bands, contenders), keys)


def _recall_says(bands: Sequence[ItemBand], contenders: Contenders) -> str:
    parts = []
    for name in (contenders.main, contenders.rival):
        if name is not None:
            found = joined([percent(band.recall.get(name, _NAN)) for band in bands])
            parts.append(f"{contenders.label(name)} finds {found}")
    return f"Of the hidden artists, from the best known band down: {'; '.join(parts)}."


def _exposure_chart(figures: Figures, contenders: Contenders) -> Chart:
    bands = figures.item_bands
    rows = [Row([Estimate(band.test_share) for band in bands], INK, "|")]
    rows += [
        Row([Estimate(band.exposure.get(name, _NAN)) for band in bands], look.colour, look.marker)
        for name, look in contenders.looks.items()
    ]
    title = "Places by popularity of artists"
    groups = _item_groups(bands)
    svg = _draw_dots(
        groups, rows, ident="bands-exposure", title=title, x="share of places", share="x"
    )
    keys = [mark_key(_HIDDEN, INK, "|")]
    keys += [key_of(look, line=False) for look in contenders.looks.values()]
    first = bands[0]
    says = (
        f"{contenders.label(contenders.main)} gives the best known band, “{first.label}”, "
        f"{percent(first.exposure.get(contenders.main, _NAN))} of its places; that band holds "
        f"{percent(first.test_share)} of what was hidden."
    )
    return Chart(title, svg, says, keys)


def _item_groups(bands: Sequence[ItemBand]) -> list[str]:
    return [f"{band.label} · {plural(band.items, 'artist')}" for band in bands]


def _draw_dots(
    groups: Sequence[str],
    rows: Sequence[Row],
    *,
    ident: str,
    title: str,
    x: str,
    share: str = "",
) -> str:
    def paint(axes: Axes) -> None:
        dots(axes, groups, rows)
        axes.set_xlabel(x)
        label_ticks(axes, y=False, share=share)

    return draw(
        paint,
        ident=ident,
        title=title,
        description=f"Dots for each model, {x} from left to right, in groups: {'; '.join(groups)}.",
        height=dots_height(len(groups), len(rows)),
    )


def _user_table(figures: Figures, contenders: Contenders) -> Table:
    columns = [Column("Users", numeric=False), Column("How many"), *_model_columns(contenders)]
    rows = []
    for band in figures.user_bands:
        estimates = [band.models.get(name, Estimate(_NAN)) for name in contenders.looks]
        cells = [Cell(number(one.value), interval_of(one)) for one in estimates]
        rows.append([Cell(band.label), Cell(count(band.users)), *cells])
    title = f"The figures by activity of users, NDCG@{figures.k}"
    return Table(title, columns, rows, folded=True)


def _item_table(bands: Sequence[ItemBand], contenders: Contenders) -> Table:
    columns = [
        Column("Artists", numeric=False),
        Column("How many"),
        Column("Of hidden artists"),
        *(
            Column(look.label, "found · places", colour=variable_of(look.colour))
            for look in contenders.looks.values()
        ),
    ]
    rows = []
    for band in bands:
        cells = [Cell(band.label), Cell(count(band.items)), Cell(percent(band.test_share))]
        for name in contenders.looks:
            found = percent(band.recall.get(name, _NAN))
            cells.append(Cell(f"{found} · {percent(band.exposure.get(name, _NAN))}"))
        rows.append(cells)
    return Table("The figures by popularity of artists", columns, rows, folded=True)


def _model_columns(contenders: Contenders) -> list[Column]:
    return [
        Column(look.label, colour=variable_of(look.colour)) for look in contenders.looks.values()
    ]

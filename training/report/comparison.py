"""The comparison of the models: all measures, the tests, and the curves by length of the list."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.measuring.figures import Comparison, Figures
from training.measuring.measures import OverUsers, compared, shown
from training.numbers import (
    MISSING,
    interval_of,
    number,
    p_value,
    signed,
    written,
)
from training.report import reference_study
from training.report.axes import from_zero, label_ticks, line, point
from training.report.contenders import Contenders, figure_of
from training.report.elements import (
    Cell,
    Chart,
    Column,
    Key,
    Section,
    Table,
    key_of,
    published_key,
)
from training.report.svg import draw, variable_of
from training.report.verdict import is_significant
from training.study import Study


def comparison_section(study: Study, contenders: Contenders) -> Section:
    """Returns the section with all measures of all contenders, and the tests between them."""
    figures = study.figures
    lead = [
        f"Every measure at {figures.k} artists, with 95 % bootstrap intervals over "
        f"users. The best of each row is marked."
        if len(figures.models) > 1
        else f"Every measure at {figures.k} artists, with 95 % bootstrap intervals over users."
    ]
    if study.preset == reference_study.PRESET:
        lead.append(published_note(study))
    tables = [_figures_table(study, contenders)]
    if figures.comparisons:
        tables.append(_tests_table(figures, contenders))
    return Section("comparison", "How the models compare", lead, (), tables)


def published_note(study: Study) -> str:
    """Returns the origin of the published figures, and whether they are of these data."""
    name = study.dataset.get("name")
    start = (
        "The columns “published” hold the figures of the public notebook that this preset repeats, "
        f"measured on Last.fm 360K at k = {reference_study.K}."
    )
    if name != reference_study.DATASET:
        return (
            f"{start} They are of another data set than {name}, so only the pattern can be "
            "compared, not the numbers."
        )
    return (
        f"{start} The data may differ a little: the notebook lost some rows while reading, drew "
        "another random split, and chose its hyperparameters on its test part."
    )


def _figures_table(study: Study, contenders: Contenders) -> Table:
    figures = study.figures
    columns = [Column("", numeric=False)]
    columns += [
        Column(look.label, colour=variable_of(look.colour)) for look in contenders.looks.values()
    ]
    published = _published(study, contenders)
    columns += [
        Column(contenders.label(name), f"published, k = {reference_study.K}", quiet=True)
        for name in published
    ]
    rows = []
    for kind in shown(figures.measures):
        estimates = [figure_of(figures, contender, kind.name) for contender in contenders.looks]
        values = [one.value for one in estimates if math.isfinite(one.value)]
        if not values:
            continue
        is_contest = len(set(values)) > 1
        best = kind.best(values)
        cells = [Cell(kind.title(figures.k))]
        cells += [
            Cell(
                written(one.value, kind.form),
                interval_of(one),
                best=is_contest and one.value == best,
            )
            for one in estimates
        ]
        for contender in published:
            value = reference_study.MODELS[contender].get(kind.name)
            cells.append(Cell(MISSING if value is None else written(value, kind.form)))
        rows.append(cells)
    return Table(f"All measures at k = {figures.k}", columns, rows)


def _published(study: Study, contenders: Contenders) -> list[str]:
    """Returns the contenders with published figures to show."""
    if study.preset != reference_study.PRESET:
        return []
    return [name for name in contenders.looks if name in reference_study.MODELS]


def _tests_table(figures: Figures, contenders: Contenders) -> Table:
    columns = [
        Column("Result", numeric=False),
        Column("Measure", numeric=False),
        Column("Difference"),
        Column("Paired test"),
    ]
    rows = []
    for one in figures.comparisons:
        kind = figures.measures.get(one.figure)
        rows.append(
            [
                Cell(_in_words(one, contenders)),
                Cell(kind.title(figures.k) if kind else one.figure),
                Cell(signed(one.difference.value), interval_of(one.difference)),
                Cell(p_value(one.p_value)),
            ]
        )
    note = "Each test is a paired t-test over the same users; p below 0.05 counts as significant."
    if len(rows) > 1:
        note += f" With {len(rows)} tests, one near 0.05 proves little."
    return Table("Tests between models", columns, rows, note=note)


def _in_words(one: Comparison, contenders: Contenders) -> str:
    first, second = contenders.label(one.first), contenders.label(one.second)
    if not is_significant(one):
        return f"{first} and {second}: no significant difference"
    if one.difference.value < 0:
        return f"{first} is behind {second}"
    return f"{first} is ahead of {second}"


def length_section(study: Study, contenders: Contenders) -> Section:
    """Returns the section with the curves by length of the list."""
    figures = study.figures
    cutoffs = cutoffs_of(figures)
    charts = [
        _length_chart(study, contenders, measure, cutoffs) for measure in compared(figures.measures)
    ]
    lead = ["How right, how complete and how well ordered lists are. Bands are 95 % intervals."]
    tables = [_cutoffs_table(figures, contenders, cutoffs)] if len(cutoffs) > 1 else []
    return Section("length", "By length of the list", lead, charts, tables)


def cutoffs_of(figures: Figures) -> list[int]:
    """Returns all measured cut-offs, ascending."""
    return sorted({k for at_k in figures.models.values() for k in at_k})


def _length_chart(
    study: Study, contenders: Contenders, measure: OverUsers, cutoffs: list[int]
) -> Chart:
    figures, name = study.figures, measure.name
    published = [
        contender
        for contender in _published(study, contenders)
        if reference_study.K in cutoffs and name in reference_study.MODELS[contender]
    ]

    def paint(axes: Axes) -> None:
        for contender, look in contenders.looks.items():
            estimates = [figure_of(figures, contender, name, k) for k in cutoffs]
            line(axes, cutoffs, estimates, look)
        for contender in published:
            value = reference_study.MODELS[contender][name]
            point(axes, reference_study.K, value, contenders.looks[contender], hollow=True)
        frame_lengths(axes, cutoffs)

    title = measure.title("k")
    svg = draw(
        paint,
        ident=f"length-{name}",
        title=f"{title} by length of the list",
        description=f"Lines of {title} over k, one for each model, with bands of their intervals.",
    )
    keys: list[Key] = [key_of(look) for look in contenders.looks.values()]
    keys += [published_key(contenders.looks[contender]) for contender in published]
    return Chart(title, svg, _length_says(figures, contenders, measure, cutoffs), keys)


def frame_lengths(axes: Axes, cutoffs: list[int]) -> None:
    """Marks the cut-offs on the x axis of finished curves, and begins the y axis at zero."""
    axes.set_xticks(cutoffs if len(cutoffs) <= 8 else cutoffs[:: len(cutoffs) // 6])
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("k, length of the list")
    from_zero(axes)
    label_ticks(axes)


def _length_says(
    figures: Figures, contenders: Contenders, measure: OverUsers, cutoffs: list[int]
) -> str:
    def at(contender: str, k: int) -> str:
        value = figure_of(figures, contender, measure.name, k).value
        return written(value, measure.form_in_words or measure.form)

    first, last = cutoffs[0], cutoffs[-1]
    ends = [first] if first == last else [first, last]
    told = {
        contender: " and ".join(at(contender, k) for k in ends)
        for contender in (contenders.main, contenders.rival)
        if contender is not None
    }
    where = f"k = {first}" if first == last else f"k = {first} and {last}"
    whose = "; ".join(f"{contenders.label(contender)} {text}" for contender, text in told.items())
    return f"{measure.gist} at {where}: {whose}."


def _cutoffs_table(figures: Figures, contenders: Contenders, cutoffs: list[int]) -> Table:
    columns = [Column("", numeric=False), *(Column(f"k = {k}") for k in cutoffs)]
    rows = []
    for measure in compared(figures.measures):
        for contender, look in contenders.looks.items():
            cells = [Cell(f"{measure.title('k')}, {look.label}")]
            for k in cutoffs:
                one = figure_of(figures, contender, measure.name, k)
                cells.append(Cell(number(one.value), interval_of(one)))
            rows.append(cells)
    return Table("The figures by length of the list", columns, rows, folded=True)

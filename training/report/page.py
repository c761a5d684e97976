"""The page: fills the sections into the template."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.text import visible_lines
from training import numbers
from training.measuring.measures import shown
from training.report.bands import bands_section
from training.report.comparison import comparison_section, length_section
from training.report.contenders import contenders_of
from training.report.distributions import data_section
from training.report.elements import Section
from training.report.exposure import exposure_section
from training.report.method import Fact, facts_of, rows_table
from training.report.svg import variable_of
from training.report.tuning import tuning_section
from training.report.variety import variety_section
from training.report.verdict import verdict_of
from training.study import Study

_FOLDER: Final = Path(__file__).parent


def page(study: Study) -> str:
    """Returns the report of a study as an HTML document."""
    contenders = contenders_of(study.figures)
    figures = study.figures
    later: list[Section | None] = [
        length_section(study, contenders),
        bands_section(figures, contenders),
        variety_section(study, contenders),
        exposure_section(figures, contenders),
        data_section(study),
        tuning_section(study, contenders),
    ]
    definitions = [Fact(one.title("k"), one.says.format(k="k")) for one in shown(figures.measures)]
    template = _environment().get_template("report.html.jinja")
    html = template.render(
        study=study,
        name=study.dataset.get("name", "unnamed"),
        date=study.created_at,
        verdict=verdict_of(study, contenders),
        comparison=comparison_section(study, contenders),
        facts=facts_of(study, contenders),
        rows=rows_table(study),
        sections=[section for section in later if section is not None],
        listeners=study.listeners,
        contenders=contenders,
        definitions=definitions,
    )
    return f"{visible_lines(html.strip())}\n"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = numbers.count
    environment.filters["variable"] = variable_of
    environment.filters["amount"] = numbers.amount
    return environment

"""The section about tuning: convergence and search."""

from __future__ import annotations

from training.report.contenders import Contenders
from training.report.convergence import convergence_part
from training.report.elements import Section
from training.report.search import search_part
from training.study import Study


def tuning_section(study: Study, contenders: Contenders) -> Section | None:
    """Returns the section with convergence and search; None without both."""
    parts = [convergence_part(study, contenders), search_part(study)]
    present = [part for part in parts if part is not None]
    if not present:
        return None
    return Section(
        "tuning",
        " and ".join(part.title for part in present).capitalize(),
        [sentence for part in present for sentence in part.lead],
        [chart for part in present for chart in part.charts],
        [table for part in present for table in part.tables],
    )

"""Charts of results, with the drawing of the report."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Final

from matplotlib.figure import Figure

from training.measuring.figures import Figures
from training.measuring.measures import OverUsers
from training.report.axes import line
from training.report.comparison import cutoffs_of, frame_lengths
from training.report.contenders import contenders_of, figure_of
from training.report.svg import FONT_SIZE, PAPER, on_paper, themed

# In inches.
_SIZE: Final = (6.4, 4.0)


class Chart(Figure):
    """A figure that shows itself in a notebook, whatever backend that has."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png")
        return image.getvalue()


def by_length(figures: Figures, measure: OverUsers) -> Chart:
    """Draws a measure by length of the list, a line with the band of its intervals for each."""
    cutoffs = cutoffs_of(figures)
    with themed(on_paper):
        chart = Chart(figsize=_SIZE, layout="constrained", facecolor=on_paper(PAPER))
        axes = chart.subplots()
        for name, look in contenders_of(figures).looks.items():
            estimates = [figure_of(figures, name, measure.name, k) for k in cutoffs]
            line(axes, cutoffs, estimates, replace(look, colour=on_paper(look.colour)))
            drawn = axes.get_lines()[-1]
            drawn.set_label(look.label)
            drawn.set_markeredgecolor(on_paper(PAPER))
        frame_lengths(axes, cutoffs)
        axes.set_title(measure.title("k"))
        axes.legend(frameon=False, fontsize=FONT_SIZE - 2)
    return chart

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from tests.builders import user_items_of
from tests.test_architecture import loaded_by
from tests.training.report.builders import (
    dial,
    estimates,
    exposure,
    full_study,
    small_listener,
    small_search,
    small_study,
)
from tests.training.report.pages import Page
from training.errors import TrainingError, WriteError
from training.measuring.convergence import Convergence
from training.measuring.figures import Comparison, Estimate
from training.report import render, write
from training.tuning.trials import Search, Trial

pytestmark = pytest.mark.slow  # all of it makes models or pages

HEADINGS = [
    "How the models compare",
    "How it was measured",
    "By length of the list",
    "Who gains",
    "Accuracy and variety",
    "Who gets shown",
    "The data",
    "Convergence and search",
    "A few listeners",
    "What the measures mean",
]
NAN = float("nan")
DASH = "\N{EN DASH}"


def test_the_sections_tell_the_story_in_order(full_page: str) -> None:
    headline, *sections = Page(full_page).headings
    assert headline.startswith("Personal lists beat the popular one")
    assert sections == HEADINGS


def test_sections_without_data_are_left_out(small_page: str) -> None:
    missing = {"Who gains", "Convergence and search", "A few listeners"}
    assert Page(small_page).headings[1:] == [name for name in HEADINGS if name not in missing]


def test_every_link_leads_to_a_place_in_the_page(full_page: str) -> None:
    page = Page(full_page)
    idents = page.attributes("id")
    assert [ident for ident, times in Counter(idents).items() if times > 1] == []
    assert {link.removeprefix("#") for link in page.attributes("href")} <= set(idents)
    clips = re.findall(r"url\(#(.*?)\)", full_page)
    assert clips
    assert set(clips) <= set(idents)
    labels = " ".join(page.attributes("aria-labelledby")).split()
    assert set(labels) <= set(idents)


def test_nothing_is_loaded_and_nothing_runs(reference_page: str) -> None:
    page = Page(reference_page)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "image", "iframe", "object", "embed", "base"}
    attributes = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in attributes if name.startswith("on")} | attributes & {"src"}
    assert all(link.startswith("#") for link in page.attributes("href"))
    without_namespaces = re.sub(r'xmlns="[^"]*"', "", reference_page)
    assert "//" not in without_namespaces.replace("</", "")
    assert "@import" not in reference_page
    assert "@font-face" not in reference_page


def test_the_page_forbids_what_it_does_not_need(small_page: str) -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in Page(
        small_page
    ).attributes("content")


def test_charts_can_be_read_without_seeing_them(full_page: str) -> None:
    charts = Page(full_page).charts
    assert len(charts) > 10
    for chart in charts:
        title, description = (
            chart.find(f"{{http://www.w3.org/2000/svg}}{name}") for name in ("title", "desc")
        )
        assert title is not None
        assert title.text
        assert description is not None
        assert description.text


def test_charts_take_fonts_and_colours_from_the_page(full_page: str) -> None:
    charts = "".join(re.findall(r"<svg.*?</svg>", full_page, re.DOTALL))
    assert "font-family" not in charts
    assert "<metadata" not in charts
    assert "<style" not in charts
    assert not re.search(r"(fill|stroke): ?#", charts)
    used = set(re.findall(r"var\((--[\w-]+)\)", charts))
    defined = set(re.findall(r"(--[\w-]+):", full_page.split("</style>", maxsplit=1)[0]))
    assert used <= defined


def test_every_chart_has_a_sentence(full_page: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", full_page)
    assert len(captions) == len(Page(full_page).charts)
    assert all(caption.endswith(".") for caption in captions)


def test_the_same_study_gives_the_same_page(full_page: str) -> None:
    assert render(full_study()) == full_page


def test_a_machines_own_settings_of_matplotlib_change_nothing_and_stay(small_page: str) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        before = dict(mpl.rcParams)
        assert render(small_study()) == small_page
        assert dict(mpl.rcParams) == before


def test_the_heading_says_what_and_when(small_page: str) -> None:
    words = Page(small_page).words
    assert "hetrec-lastfm-2k 2026-11-23 · preset default · Encore 0.1.0" in words


def test_figures_stand_with_their_intervals_and_the_best_is_marked(small_page: str) -> None:
    row = re.search(r'<th scope="row">NDCG@10</th>(.*?)</tr>', small_page, re.DOTALL)
    assert row is not None
    ours, theirs = row[1].strip().splitlines()
    assert "best" in ours
    assert f"0.200 <small>(0.180{DASH}0.220)</small>" in ours
    assert "best" not in theirs
    assert f"0.100 <small>(0.090{DASH}0.110)</small>" in theirs


def test_what_a_contender_chose_is_told() -> None:
    tried = {"objective": "NDCG@10", "users": 1800, "ndcg": 0.2, "tried": [{}, {}]}
    none = {"objective": "NDCG@10", "users": 0, "ndcg": None, "tried": []}
    options = {"strategy": "ease", "relative_regularization": 3.0}
    for search, says in (
        (
            tried,
            "chosen from 2 sets of options by NDCG@10 on 1,800 validation users, where it reached "
            "0.200.",
        ),
        (none, "there was no validation part to choose by."),
    ):
        study = small_study(models=("als", "ease"), asked={"ease": {**options, "search": search}})
        words = Page(render(study)).words
        assert f"strategy ease, relative regularization 3; {says}" in words


def test_what_fell_out_is_counted(small_page: str) -> None:
    words = Page(small_page).words
    assert "rows in the files 12,345" in words
    assert "left out: plays below one −45" in words  # noqa: RUF001


@pytest.mark.parametrize(
    ("users", "says"),
    [(50, "All 50 users with a hidden artist."), (20, "A sample of 20 of the 50 users")],
)
def test_a_sample_of_users_is_named(users: int, says: str) -> None:
    assert says in Page(render(small_study(users=users))).words


def test_folds_are_told_with_their_spread() -> None:
    per_fold = [{"als": {"ndcg": 0.19}}, {"als": {"ndcg": 0.21}}]
    words = Page(render(small_study(folds=2, per_fold=per_fold))).words
    assert "means over 2 training and test parts; NDCG@10 of ALS was 0.190 to 0.210" in words


def test_listeners_have_numbers_and_their_hits_are_marked() -> None:
    page = Page(render(small_study(listeners=[small_listener(), small_listener("a", "b", "c")])))
    assert "Listener 1" in page.words
    assert "Listener 2" in page.words
    assert "Plays most, of 12 artists: The Doors 1,234" in page.words
    assert "Hidden: Tom Waits" in page.words
    hits = re.findall(r'<li class="hit"><bdi>(.*?)</bdi>', page.html)
    assert hits == ["Tom Waits", "c"]


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "AC&DC", "\"'><b", "$x$ \\frac{", "مرحبا", "🎸 live", "x" * 200],
)
def test_any_name_is_shown_as_it_is(name: str) -> None:
    study = small_study(
        name=name,
        models=("als", name),
        listeners=[small_listener(name)],
        search=small_search(space={name: name}),
    )
    page = Page(render(study))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.words.count(name) >= 3


def test_no_name_hides_anything_in_the_page() -> None:
    # Was wrong: a control character in the name of a contender was no XML, and ended the training.
    name = "x\x00\x1b[2J\x9b\u202egpj\u2066\ny"
    study = small_study(
        name=name,
        models=("als", name),
        listeners=[small_listener(name)],
        search=small_search(space={name: name}),
    )
    html = render(study)
    assert not {"\x00", "\x1b", "\x9b", "\u202e", "\u2066"} & {*html}
    assert html.count(r"\u001b[2J\u009b\u202egpj\u2066") >= 3


def test_published_figures_stand_beside_ours_only_with_the_preset_that_repeats_them(
    full_page: str, reference_page: str
) -> None:
    assert "published" not in full_page
    words = Page(reference_page).words
    assert "ALS published, k = 10 popularity published, k = 10" in words
    assert "0.154 0.0322" in words  # NDCG
    assert "4,352 10" in words  # artists shown
    assert "0.0190 (1), 0.111 (3), 0.127 (5), 0.138 (10), 0.142 (15), 0.144 (20)" in words
    assert "1,357,032 pairs of 20,000 users and 66,959 artists" in words


def test_published_figures_of_other_data_are_called_so(reference_page: str) -> None:
    assert "They are of another data set than hetrec-lastfm-2k" in Page(reference_page).words


def test_published_figures_of_the_same_data_may_still_differ() -> None:
    words = Page(render(small_study(preset="reference", name="lastfm-360k"))).words
    assert "The data may differ a little" in words
    assert "another data set" not in words


def test_published_figures_are_left_off_charts_of_another_length() -> None:
    page = Page(render(small_study(preset="reference", cutoffs=(5,), k=5)))
    assert "published, k = 10" in page.words
    assert "ALS, published" not in page.words


def test_unknown_figures_are_dashes_not_errors() -> None:
    models = {
        name: {10: {figure: Estimate(NAN, NAN, NAN) for figure in estimates(1)}}
        for name in ("als", "popularity")
    }
    comparison = Comparison("als", "popularity", "ndcg", Estimate(NAN, NAN, NAN), NAN)
    study = small_study()
    figures = replace(study.figures, models=models, comparisons=[comparison])
    words = Page(render(replace(study, figures=figures))).words
    assert "cannot be compared: a figure is missing" in words
    assert "nan" not in words


def test_nothing_found_and_nothing_shown_is_a_report_too() -> None:
    study = small_study(
        exposure={"als": exposure(0, 0), "popularity": exposure(0, 0)},
        comparisons=[Comparison("als", "popularity", "ndcg", Estimate(0.0, 0.0, 0.0), NAN)],
    )
    models = {name: {10: estimates(0.0, items=0)} for name in ("als", "popularity")}
    page = Page(render(replace(study, figures=replace(study.figures, models=models))))
    assert page.headings[0].startswith("No significant difference")
    assert "Who gets shown" not in page.headings
    assert "best" not in page.attributes("class")


def test_one_user_one_artist_one_model() -> None:
    study = small_study(models=["als"], users=1, users_with_test=1, exposure={"als": exposure(1)})
    page = Page(render(replace(study, user_items=user_items_of([[3]]))))
    assert page.headings[0] == "ALS reaches an NDCG@10 of 0.200."
    assert "1 pair of 1 user and 1 artist: 100 % of all possible pairs" in page.words
    assert "Half of all places go to 1 artist with ALS." in page.words


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"search": small_search(1), "discovery": [dial(0, 0.1, 10)]},
        {"search": small_search(200)},
        {"search": Search([Trial(0, {"x": None}, NAN, [], True, 1.0)], 0, 10, 3, {})},
        {"convergence": Convergence(10, 3, [0.0, 0.0], 1, 1)},
        {"discovery": [dial(0, 0.0, 0), dial(1, 0.0, 0)]},
        {"models": ["als", *(f"model {number}" for number in range(9))]},
    ],
    ids=["one trial", "200 trials", "no value", "flat curve", "useless dial", "ten models"],
)
def test_odd_studies_are_reports_too(changes: dict[str, Any]) -> None:
    page = Page(render(full_study(**changes)))
    assert page.headings[1:] == HEADINGS
    assert len(page.html) < 500_000


def test_a_report_of_big_data_stays_small(rng: np.random.Generator) -> None:
    study = small_study(exposure={"als": rng.poisson(1, 200_000).astype(np.int64)})
    assert len(render(study)) < 100_000


def test_writing_replaces_an_earlier_report(tmp_path: Path, small_page: str) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write(small_study(), path)
    assert path.read_bytes().decode("utf-8") == small_page
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no such folder"):
        write(small_study(), tmp_path / "nowhere" / "report.html")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / ".report.html.part").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"report\.html cannot be written"):
        write(small_study(), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_drawing_is_loaded_only_where_a_report_is_rendered() -> None:
    assert not loaded_by("import training.report") & {"matplotlib", "jinja2"}
    draw = "from tests.training.report.builders import small_study\n"
    draw += "from training.report import render\nrender(small_study())"
    loaded = loaded_by(draw)
    assert loaded >= {"matplotlib", "jinja2"}
    assert "pyplot" not in loaded

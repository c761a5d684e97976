from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from app.model.weighting import WeightingName
from tests.builders import interactions_of, random_plays
from training.data.shape import Shape
from training.errors import SearchMismatch, TrainingError, WriteError
from training.measuring.convergence import Validation, enough, follow
from training.presets import DEFAULT, WIDE, changed
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold
from training.tuning.proposals import anchors_of, is_hopeless
from training.tuning.search import Budget, search
from training.tuning.space import BlockName, Space, rounded
from training.tuning.state import read_search
from training.tuning.trials import Search, Trial

SPACE = Space(factors=(4, 12), iterations=6)


def validation_of(seed: int = 1, k: int = 5) -> Validation:
    plays = random_plays(np.random.default_rng(seed), n_users=50, n_items=40)
    return Validation(Fold(*RandomPerUser(min_items=3).split(interactions_of(plays))), k=k)


def run(
    state: Path,
    trials: int,
    *,
    validation: Validation | None = None,
    space: Space = SPACE,
    seed: int = 0,
) -> Search:
    return search(validation or validation_of(), space, state, Budget(trials, None), seed=seed)


def story(found: Search) -> list[tuple[object, ...]]:
    return [(dict(one.parameters), one.ndcg, list(one.curve), one.pruned) for one in found.trials]


@pytest.fixture(scope="module")
def fourteen(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return run(tmp_path_factory.mktemp("search") / "x.search", 14)


class PressesCtrlC:
    """Whatever a signal raises while this goes away is dropped by Python."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("trials", [1, 3])
def test_an_interruption_is_not_lost_where_python_drops_exceptions(
    trials: int, tmp_path: Path
) -> None:
    # Was wrong: the search went on when SQLAlchemy was cleaning up at that moment.
    state, before = tmp_path / "x.search", signal.getsignal(signal.SIGINT)

    def press(trial: Trial, _so_far: Search) -> None:
        if trial.number == 0:
            PressesCtrlC()

    with pytest.raises(KeyboardInterrupt):
        search(validation_of(), SPACE, state, Budget(trials, None), told=press)
    assert len(read_search(state).trials) == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert len(run(state, 2).trials) == 2


@pytest.mark.slow
def test_an_interruption_is_not_lost_when_the_search_fails(tmp_path: Path) -> None:
    def press(_trial: Trial, _so_far: Search) -> None:
        signal.raise_signal(signal.SIGINT)
        raise WriteError(tmp_path, OSError("no room"))

    with pytest.raises(KeyboardInterrupt):
        search(validation_of(), SPACE, tmp_path / "x.search", Budget(3, None), told=press)


@pytest.mark.slow
def test_a_second_interruption_does_not_wait(tmp_path: Path) -> None:
    state = tmp_path / "x.search"
    reached = []

    def press(trial: Trial, _so_far: Search) -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append(trial.number)
        signal.raise_signal(signal.SIGINT)
        reached.append(trial.number)

    with pytest.raises(KeyboardInterrupt):
        search(validation_of(), SPACE, state, Budget(3, None), told=press)
    assert reached == [0]


@pytest.mark.slow
def test_the_winner_has_the_highest_curve_and_training_repeats_it(fourteen: Search) -> None:
    winner = fourteen.winner
    assert winner.ndcg == max(trial.ndcg for trial in fourteen.trials) == max(winner.curve)
    options = fourteen.options()
    assert options["iterations"] == winner.iterations == enough(winner.curve)
    parameters = replace(SPACE.parameters(winner.parameters, seed=0), iterations=len(winner.curve))
    assert follow(validation_of(), parameters, lambda _curve: False) == winner.curve


@pytest.mark.slow
def test_an_interrupted_search_ends_where_an_uninterrupted_one_does(
    fourteen: Search, tmp_path: Path
) -> None:
    state = tmp_path / "x.search"
    for trials in (1, 5, 11, 14):
        found = run(state, trials)
        assert len(found.trials) == trials
    assert story(found) == story(fourteen)
    assert story(read_search(state)) == story(fourteen)
    assert story(run(state, 3)) == story(fourteen)  # the budget is spent already


@pytest.mark.slow
def test_another_seed_searches_elsewhere(fourteen: Search, tmp_path: Path) -> None:
    assert story(run(tmp_path / "x.search", 14, seed=1)) != story(fourteen)


@pytest.mark.slow
def test_every_value_lies_in_the_space_and_bm25_alone_has_its_parameters(fourteen: Search) -> None:
    for trial in fourteen.trials:
        names = set(trial.parameters)
        assert ("k1" in names) == ("b" in names) == (trial.parameters["weighting"] == "bm25")
        assert 4 <= trial.parameters["factors"] <= 12
        assert 1 <= len(trial.curve) <= 6


@pytest.mark.slow
def test_a_search_tells_of_its_trials_those_of_earlier_runs_first(tmp_path: Path) -> None:
    state, told = tmp_path / "x.search", list[int]()
    run(state, 2)

    def tell(trial: Trial, so_far: Search) -> None:
        told.append(trial.number)
        assert so_far.winner.ndcg >= trial.ndcg

    search(validation_of(), SPACE, state, Budget(4, None), told=tell)
    assert told == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_budget_of_time_ends_after_the_trial_that_has_begun(tmp_path: Path) -> None:
    found = search(validation_of(), SPACE, tmp_path / "x.search", Budget(None, 1e-9))
    assert len(found.trials) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": validation_of(seed=2)}, "on other data"),
        ({"space": Space(factors=(4, 13), iterations=6)}, "in another space"),
        ({"validation": validation_of(k=3)}, "with another --k"),
        ({"seed": 1}, "with another --seed"),
    ],
)
def test_a_search_goes_on_only_as_it_was_begun(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    state = tmp_path / "x.search"
    run(state, 1)
    with pytest.raises(SearchMismatch, match=message) as refusal:
        run(state, 2, **changes)  # type: ignore[arg-type]
    assert str(state) in str(refusal.value)
    assert len(read_search(state).trials) == 1


def test_a_file_that_is_no_search_is_refused_and_stays(tmp_path: Path) -> None:
    state = tmp_path / "x.search"
    state.write_text("my diary")
    with pytest.raises(TrainingError, match="holds no search"):
        run(state, 1)
    assert state.read_text() == "my diary"


@pytest.mark.slow
def test_a_database_of_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    state = tmp_path / "x.search"
    with sqlite3.connect(state) as connection:
        connection.execute("create table diary (day text)")
    connection.close()
    before = state.read_bytes()
    with pytest.raises(TrainingError, match="holds no search"):
        run(state, 1)
    assert state.read_bytes() == before


@pytest.mark.slow
def test_the_name_of_the_file_may_hold_anything(tmp_path: Path) -> None:
    state = tmp_path / "a b?mode=memory#50%.search"
    run(state, 1)
    assert state.is_file()
    assert len(run(state, 2).trials) == len(read_search(state).trials) == 2


@pytest.mark.slow
def test_two_searches_do_not_work_in_one_file(tmp_path: Path) -> None:
    state = tmp_path / "x.search"
    refusals: list[str] = []

    def start_another(trial: Trial, _so_far: Search) -> None:
        with pytest.raises(TrainingError, match="another search uses") as refusal:
            run(state, 5)
        refusals.append(f"{trial.number} {refusal.value}")

    search(validation_of(), SPACE, state, Budget(2, None), told=start_another)
    assert len(refusals) == 2
    assert len(read_search(state).trials) == 2


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.search").mkdir()
    with pytest.raises(WriteError, match="cannot be written: Is a directory"):
        run(tmp_path / "x.search", 1)


def test_reading_a_search_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no such search"):
        read_search(tmp_path / "x.search")


@pytest.mark.slow
def test_a_killed_search_goes_on_as_if_nothing_had_happened(
    fourteen: Search, tmp_path: Path
) -> None:
    state = tmp_path / "x.search"
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from tests.training.tuning.test_search import *\n"
        "class Killed(Validation):\n"
        "    def ndcg(self, *args):\n"
        "        if len(read_search(state).trials if state.exists() and told else []) == 3:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().ndcg(*args)\n"
        f"state, told = Path({str(state)!r}), []\n"
        "validation = validation_of()\n"
        "validation.__class__ = Killed\n"
        "search(validation, SPACE, state, Budget(14, None), told=lambda t, s: told.append(t))\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=environment,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(read_search(state).trials) == 3
    assert story(run(state, 14)) == story(fourteen)


class Interrupted(Validation):
    """A validation part at which somebody presses Ctrl-C."""

    left = 0

    def ndcg(self, *args: Any) -> float:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().ndcg(*args)


def interrupted_after(iterations: int) -> Validation:
    validation = validation_of()
    validation.__class__ = Interrupted
    validation.left = iterations  # type: ignore[attr-defined]
    return validation


@pytest.mark.slow
@pytest.mark.parametrize("iterations", [0, 7])
def test_ctrl_c_in_a_trial_costs_that_trial_only(
    fourteen: Search, iterations: int, tmp_path: Path
) -> None:
    # The first trials are given ones, in a queue; the one that was running is taken again.
    state = tmp_path / "x.search"
    with pytest.raises(KeyboardInterrupt):
        run(state, 2, validation=interrupted_after(iterations))
    assert story(run(state, 2)) == story(fourteen)[:2]


@pytest.mark.slow
def test_ctrl_c_between_the_queue_and_the_trial_costs_nothing(
    fourteen: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_study: object) -> None:
        raise KeyboardInterrupt

    state = tmp_path / "x.search"
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "ask", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(state, 1)
    assert story(run(state, 1)) == story(fourteen)[:1]


@pytest.mark.slow
def test_a_search_in_absolute_regularization_gives_that_option(tmp_path: Path) -> None:
    space = Space(factors=(4, 8), iterations=2, regularization=(0.5, 2.0))
    found = run(tmp_path / "x.search", 2, space=space)
    options = found.options()
    assert options["regularization"] == 1.0  # the middle of the range
    assert "relative_regularization" not in options
    assert "relative_regularization" not in found.space
    assert found.space["regularization"] == "0.5 to 2, by logarithm"


@pytest.mark.slow
def test_bare_pairs_are_searched_without_weightings_of_counts(tmp_path: Path) -> None:
    bare = interactions_of(random_plays(np.random.default_rng(2), 40, 30) > 0)
    fold = Fold(*RandomPerUser(min_items=3).split(bare))
    space = Space.for_data(fold.train.user_items).model_copy(
        update={"factors": (4, 6), "iterations": 2}
    )
    found = run(tmp_path / "x.search", 6, validation=Validation(fold, k=5), space=space)
    assert {trial.parameters["weighting"] for trial in found.trials} == {"bm25", "binary"}
    assert found.winner.ndcg > 0


@pytest.mark.slow
def test_values_that_make_the_numbers_run_away_are_a_bad_trial_and_no_error(
    tmp_path: Path,
) -> None:
    space = Space(weighting=(WeightingName.RAW,), alpha=(1e39, 1e39), factors=(4, 4))
    found = run(tmp_path / "x.search", 1, space=space)
    assert found.winner.ndcg == 0.0
    assert found.winner.curve == [0.0]


@pytest.mark.slow
def test_a_search_begins_at_the_preset_and_says_the_same_to_json(tmp_path: Path) -> None:
    found = run(tmp_path / "x.search", 1)
    preset = DEFAULT.for_data(Shape.of(validation_of().train.user_items)).parameters
    assert found.trials[0].parameters == rounded(SPACE.clip(preset))
    entry = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert entry["objective"] == "NDCG@5"
    assert entry["users"] == found.users
    assert entry["winner"] == {
        "number": 0,
        "ndcg": found.winner.ndcg,
        **found.winner.parameters,
        "iterations": found.winner.iterations,
    }
    assert [trial["curve"] for trial in entry["trials"]] == [list(found.winner.curve)]
    assert entry["space"] == SPACE.describe()


@pytest.mark.slow
def test_a_state_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere: there is no such folder"):
        run(tmp_path / "nowhere" / "x.search", 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a?mode=ro#b.search", "50%41.search", "ünï :memory:"])
def test_a_state_may_have_any_name(tmp_path: Path, name: str) -> None:
    state = tmp_path / name
    space = Space(factors=(4, 4), iterations=1)
    assert len(run(state, 1, space=space).trials) == 1
    assert len(read_search(state).trials) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_two_searches_do_not_share_a_state(tmp_path: Path) -> None:
    state = tmp_path / "x.search"
    space = Space(factors=(4, 4), iterations=1)
    run(state, 1, space=space)
    with state.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match=r"another search uses .*x\.search"):
            run(state, 2, space=space)
        assert len(read_search(state).trials) == 1
    assert len(run(state, 2, space=space).trials) == 2


def test_the_first_trials_are_recipes_for_all_kinds_of_data() -> None:
    space = Space(factors=(32, 300), linear_rank=(16, 500))
    anchors = anchors_of(space, DEFAULT.parameters, DEFAULT.possible())
    first, wide, dense, bare = (space.parameters(values, seed=0) for values in anchors[:4])
    assert bare.alpha == 20.0
    assert dense.regularization < first.regularization
    assert first == replace(DEFAULT.parameters, iterations=space.iterations)
    assert wide.linear is not None
    assert (wide.linear.rank, wide.linear.weight, wide.alpha) == (500, 4.0, 60.0)
    weakest = anchors_of(space, replace(DEFAULT.parameters, linear=None))[1]
    assert (weakest["linear_rank"], weakest["linear_weight"]) == (16, 0.03)
    of_wide = anchors_of(space, WIDE.parameters, DEFAULT.possible())
    assert of_wide[:2] == [anchors[1], anchors[0]]
    assert [values["weighting"] for values in anchors[4:]] == ["log", "binary", "bm25"]
    assert anchors[-1]["factors"] == 300


@pytest.mark.slow
def test_a_search_of_one_block_makes_models_of_that_block(tmp_path: Path) -> None:
    for block, other in ((BlockName.ALS, "linear_rank"), (BlockName.LINEAR, "factors")):
        space = SPACE.model_copy(update={"blocks": (block,), "linear_rank": (2, 8)})
        found = run(tmp_path / f"{block}.search", 3, space=space)
        assert found.options()[other] == 0
        assert found.space["blocks"] == block
        assert found.winner.ndcg > 0
        trained = changed(DEFAULT, found.options()).parameters
        assert (trained.factors == 0, trained.linear is None) == (
            block is BlockName.LINEAR,
            block is BlockName.ALS,
        )


@pytest.mark.slow
def test_a_search_from_before_there_were_blocks_is_one_of_als(tmp_path: Path) -> None:
    state = tmp_path / "x.search"
    run(state, 1, space=SPACE.model_copy(update={"blocks": (BlockName.ALS,)}))
    study = optuna.load_study(storage=f"sqlite:///{state}", study_name="encore")
    objective = study.user_attrs["objective"]
    objective["space"] = {
        name: value
        for name, value in objective["space"].items()
        if name != "blocks" and not name.startswith("linear_")
    }
    study.set_user_attr("objective", objective)
    assert read_search(state).space["blocks"] == "als"
    with pytest.raises(SearchMismatch, match="in another space"):
        run(state, 2)


def test_only_a_trial_far_behind_the_best_one_is_given_up() -> None:
    def finished(*curve: float) -> optuna.trial.FrozenTrial:
        trial = optuna.trial.create_trial(value=max(curve), params={}, distributions={})
        trial.user_attrs["curve"] = list(curve)
        return trial

    best = finished(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    others = [finished(0.5, 0.5, 0.5, 0.5, 0.55), best]
    assert not is_hopeless([0.1] * 5, [])
    assert not is_hopeless([0.1] * 4, others)  # too early
    assert not is_hopeless([0.1, 0.2, 0.3, 0.4, 0.481], others)
    assert is_hopeless([0.1, 0.2, 0.3, 0.4, 0.479], others)
    assert not is_hopeless([0.49, 0.2, 0.2, 0.2, 0.2], others)
    assert is_hopeless([0.49, 0.2, 0.2, 0.2, 0.2, 0.2], others)

"""Search: hyperparameters chosen on a validation part of the training part.

Optuna's tree-structured Parzen estimator (Bergstra et al., Algorithms for Hyper-Parameter
Optimization, 2011) proposes every other trial; the others are small steps away from the best one,
since forty trials are few for the estimator alone. Each is measured after every iteration: a trial
whose curve lies below the median of the earlier ones is given up, and one that gets no better
stops by itself. The number of iterations is therefore no dimension of the search: it is read off
the curve.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import signal
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from training.als import Parameters
from training.convergence import Validation, enough, follow, is_exhausted
from training.errors import SearchMismatch, TrainingError, WriteError
from training.presets import DEFAULT
from training.tuning.space import Space, rounded

if TYPE_CHECKING:
    import optuna

STUDY: Final = "encore"
# Trials drawn at random, or given, before the estimator has enough to go by.
_STARTUP_TRIALS: Final = 10
# Before this many iterations slow starters that end up best still lie behind.
_ITERATIONS_BEFORE_PRUNING: Final = 5
PATIENCE: Final = 4
_ATTEMPTS: Final = 20
GAIN: Final = 0.002

Told: TypeAlias = Callable[["Trial", "Search"], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of hyperparameters that was tried.

    Attributes:
        number: from 0 on.
        parameters: the values that were tried, by name (numbers and names of weightings).
        ndcg: the best value of its curve.
        curve: NDCG on the validation part after each iteration.
        pruned: whether it was given up early.
        seconds: how long it took.
    """

    number: int
    parameters: Mapping[str, Any]
    ndcg: float
    curve: Sequence[float]
    pruned: bool
    seconds: float

    @property
    def iterations(self) -> int:
        """After how many iterations to end."""
        return enough(self.curve)


@dataclass(frozen=True, slots=True)
class Search:
    """A finished or interrupted search.

    Attributes:
        trials: in the order in which they ran.
        best: number of the best trial.
        k: cut-off of the objective, NDCG@k.
        users: validation users that the objective is a mean over.
        space: what was searched, by name, for people: ``0.03 to 1.2, by logarithm``.
    """

    trials: Sequence[Trial]
    best: int
    k: int
    users: int
    space: Mapping[str, str]

    @property
    def winner(self) -> Trial:
        """The best trial."""
        return self.trials[self.best]

    def options(self) -> dict[str, Any]:
        """Returns the winner as options of the recipe."""
        return {**self.winner.parameters, "iterations": self.winner.iterations}

    def to_json(self) -> dict[str, Any]:
        """Returns the search for ``tune --json``."""
        return {
            "objective": f"NDCG@{self.k}",
            "users": self.users,
            "space": dict(self.space),
            "winner": {"number": self.best, "ndcg": self.winner.ndcg, **self.options()},
            "trials": [asdict(trial) for trial in self.trials],
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends; a trial that has begun is finished.

    Attributes:
        trials: how many in all, those of earlier runs included; None for no limit.
        minutes: how long this run may take; None for no limit.
    """

    trials: int | None
    minutes: float | None


def search(
    validation: Validation,
    space: Space,
    state: Path,
    budget: Budget,
    *,
    start: Parameters = DEFAULT.parameters,
    seed: int = 0,
    told: Told | None = None,
) -> Search:
    """Searches, or goes on with a search.

    The same data, space and seed give the same trials, whether the search was interrupted or not.

    Args:
        validation: what decides.
        space: what is tried.
        state: file that keeps the finished trials; a search goes on from it.
        budget: when it ends.
        start: the hyperparameters of the first trial.
        seed: of the trials and of the factors.
        told: called after each trial, and once at the beginning for each trial of earlier runs.

    Raises:
        SearchMismatch: ``state`` belongs to a search on other data, in another space or by
            another objective.
        TrainingError: ``state`` is no such file, another search is at work in it, or no trial could
            be finished.
        WriteError: ``state`` cannot be written.
    """
    import optuna  # noqa: PLC0415 - takes a second to load
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    if space.half_life is not None:
        validation.train.records()  # refused before the first trial
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    objective = _objective(validation, space, start, seed)
    if not state.parent.is_dir():
        raise TrainingError(f"{state.parent}: there is no such folder; make it first")
    try:
        with _alone_in(state), _signals_held() as deliver:
            study = _open(state, objective)
            return _search(
                study, objective, validation, space, budget, start=start, told=told, pause=deliver
            )
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise WriteError(state, _innermost(error)) from error


def _search(
    study: optuna.Study,
    objective: Mapping[str, Any],
    validation: Validation,
    space: Space,
    budget: Budget,
    *,
    start: Parameters,
    told: Told | None,
    pause: Callable[[], None],
) -> Search:
    from optuna.trial import TrialState  # noqa: PLC0415

    seed = objective["seed"]
    _drop_interrupted(study)
    if told and (before := len(_finished(study))):
        result = _result(study, objective)
        for number in range(before):
            told(result.trials[number], result)
    anchors = _anchors(space, start)
    end = None if budget.minutes is None else time.monotonic() + 60 * budget.minutes
    while not _is_spent(done := len(_finished(study)), budget, end):
        study.sampler = _sampler(seed + done)
        values = anchors[done] if done < len(anchors) else _near_the_best(study, space, seed)
        if values and not study.get_trials(states=[TrialState.WAITING]):
            study.enqueue_trial(values)
        pause()
        _run(study, validation, space, seed, pause)
        if told:
            result = _result(study, objective)
            told(result.trials[-1], result)
    return _result(study, objective)


def read_search(state: Path, *, of: Callable[[int, int], Validation] | None = None) -> Search:
    """Reads what a search has found so far.

    Args:
        state: the file of the search.
        of: makes the validation part that the search has to have been on, of the search's cut-off
            and number of users; None where that does not matter.

    Raises:
        TrainingError: there is no such file, or no trial is in it.
        SearchMismatch: it was on other data, or on another split of them.
    """
    if not state.exists():
        raise TrainingError(f"{state}: there is no such search; `tune` makes one")
    study = _load(state)
    with _reading(state):
        objective = study.user_attrs["objective"]
        result = _result(study, objective)
    if of is not None and _fingerprint(of(result.k, result.users)) != objective["data"]:
        raise SearchMismatch(state, ["data"])
    return result


def _fingerprint(validation: Validation) -> str:
    """Returns a hash of the training and the validation part."""
    digest = hashlib.sha256()
    for part in (validation.train.user_items, validation.test):
        for array in (part.indptr, part.indices, part.plays):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _objective(
    validation: Validation, space: Space, start: Parameters, seed: int
) -> dict[str, Any]:
    """Says what a search decides by; another answer is another search."""
    objective = {
        "data": _fingerprint(validation),
        "space": space.model_dump(mode="json"),
        "start": space.clip(start),
        "k": validation.k,
        "users": len(validation.users),
        "seed": seed,
    }
    return dict(json.loads(json.dumps(objective)))


def _open(state: Path, objective: dict[str, Any]) -> optuna.Study:
    """Opens the state, or makes it, and compares what it was made for."""
    import optuna  # noqa: PLC0415

    if state.stat().st_size == 0:
        study = optuna.create_study(
            storage=_storage(state), study_name=STUDY, direction="maximize", pruner=_pruner()
        )
    else:
        study = _load(state)
    if not study.trials and "objective" not in study.user_attrs:
        study.set_user_attr("objective", objective)
    with _reading(state):
        before = study.user_attrs["objective"]
    other = [name for name, value in objective.items() if before.get(name) != value]
    if other:
        raise SearchMismatch(state, other)
    return study


def _load(state: Path) -> optuna.Study:
    import optuna  # noqa: PLC0415

    try:
        uri = f"{state.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("select study_name from studies").fetchone()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise TrainingError(f"{state} is in use by another program; try again later") from error
        raise TrainingError(f"{state} holds no search ({error}); name another file") from error
    with _reading(state):
        return optuna.load_study(storage=_storage(state), study_name=STUDY, pruner=_pruner())


@contextmanager
def _reading(state: Path) -> Iterator[None]:
    """Translates what reading a state that other software wrote may raise."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError) as error:  # of pydantic, too
        raise TrainingError(
            f"{state} was written by another version of Encore or Optuna ({type(error).__name__}); "
            "name another file"
        ) from error


def _innermost(error: BaseException) -> Exception:
    """Returns the error of the database behind those of the layers above it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def _storage(state: Path) -> optuna.storages.RDBStorage:
    """Returns the state as Optuna's storage; its path never becomes part of an address."""
    import optuna  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(state, check_same_thread=False)

    return optuna.storages.RDBStorage(
        "sqlite://", engine_kwargs={"creator": connect, "poolclass": NullPool}
    )


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """Keeps a second search out; the kernel frees the file of a killed one."""
    try:
        file = state.open("ab")
    except OSError as error:
        raise WriteError(state, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"another search is at work in {state}; wait for it, or name another --state"
            ) from error
        yield


@contextmanager
def _signals_held() -> Iterator[Callable[[], None]]:
    """Keeps the signals that end a search until it calls what this gives.

    An exception that a signal raises while SQLAlchemy cleans up in a weak reference's callback is
    printed and dropped by Python, and the search would go on. A second signal does not wait.
    """
    held: list[int] = []

    def deliver() -> None:
        if held:
            number = held[-1]
            held.clear()
            handlers[number](number, None)

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handlers[number](number, frame)
        held.append(number)

    handlers = {
        int(number): handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if callable(handler := signal.getsignal(number))
    }
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        handlers.clear()
    try:
        for number in handlers:
            signal.signal(number, hold)
        yield deliver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        deliver()


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Returns a sampler for one trial: what it draws depends on the finished trials only."""
    import optuna  # noqa: PLC0415

    with warnings.catch_warnings():
        # In groups, since k1 and b are drawn for bm25 only; still called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=_STARTUP_TRIALS, multivariate=True, group=True, seed=seed
        )


def _pruner() -> optuna.pruners.BasePruner:
    import optuna  # noqa: PLC0415

    return optuna.pruners.MedianPruner(n_warmup_steps=_ITERATIONS_BEFORE_PRUNING)


def _anchors(space: Space, start: Parameters) -> list[dict[str, Any]]:
    """Returns the first trials: where the search starts, and variants that data may want."""
    starts = [start, replace(start, factors=space.factors[1])]
    starts += [
        replace(start, weighting=weighting)
        for weighting in space.weighting
        if weighting is not start.weighting
    ]
    anchors: list[dict[str, Any]] = []
    for anchor in map(space.clip, starts):
        if anchor not in anchors:
            anchors.append(anchor)
    return anchors


def _near_the_best(study: optuna.Study, space: Space, seed: int) -> dict[str, Any] | None:
    """Returns values for every other trial; None where the estimator is to draw them."""
    finished = _finished(study)
    if len(finished) < _STARTUP_TRIALS or len(finished) % 2:
        return None
    best = max(finished, key=lambda trial: max(trial.user_attrs["curve"]))
    rng = np.random.default_rng([seed, len(finished)])
    values = best.params
    for _attempt in range(_ATTEMPTS):  # a step may end at a bound where it began
        values = space.near(best.params, rng)
        if values not in [trial.params for trial in finished]:
            break
    return values


def _drop_interrupted(study: optuna.Study) -> None:
    """Forgets a trial that was running when the search was stopped; it is drawn again."""
    from optuna.trial import TrialState  # noqa: PLC0415

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState  # noqa: PLC0415

    return study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])


def _is_spent(done: int, budget: Budget, end: float | None) -> bool:
    if budget.trials is not None and done >= budget.trials:
        return True
    return end is not None and done > 0 and time.monotonic() >= end


def _run(
    study: optuna.Study,
    validation: Validation,
    space: Space,
    seed: int,
    pause: Callable[[], None],
) -> None:
    """Runs one trial, and calls ``pause`` after each iteration."""
    import optuna  # noqa: PLC0415

    trial = study.ask()
    start = time.monotonic()
    parameters = space.parameters(space.suggest(trial), seed=seed)
    pruned = False

    def judge(curve: Sequence[float]) -> bool:
        nonlocal pruned
        pause()
        trial.report(curve[-1], step=len(curve))
        pruned = trial.should_prune()
        return pruned or is_exhausted(curve, PATIENCE, gain=GAIN)

    try:
        curve = follow(validation, parameters, judge)
    except TrainingError:  # the numbers ran away: a fact about these values
        curve = [0.0]
    trial.set_user_attr("curve", curve)
    trial.set_user_attr("seconds", round(time.monotonic() - start, 2))
    state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
    study.tell(trial, None if pruned else max(curve), state=state)


def _result(study: optuna.Study, objective: Mapping[str, Any]) -> Search:
    from optuna.trial import TrialState  # noqa: PLC0415

    trials = [
        Trial(
            number=number,
            parameters=rounded(trial.params),
            ndcg=max(trial.user_attrs["curve"]),
            curve=trial.user_attrs["curve"],
            pruned=trial.state is TrialState.PRUNED,
            seconds=trial.user_attrs["seconds"],
        )
        for number, trial in enumerate(_finished(study))
    ]
    if not trials:
        raise TrainingError("the search has no finished trial yet")
    return Search(
        trials=trials,
        best=max(range(len(trials)), key=lambda number: trials[number].ndcg),
        k=objective["k"],
        users=objective["users"],
        space=Space.model_validate(objective["space"]).describe(),
    )

"""The file of a search with its trials, and the lock on it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.errors import SearchMismatch, TrainingError, WriteError
from training.fitting.hyperparameters import Parameters
from training.measuring.convergence import Validation
from training.tuning.space import Space, rounded
from training.tuning.trials import Search, Trial

if TYPE_CHECKING:
    import optuna

STUDY: Final = "encore"


def read_search(state: Path, *, of: Callable[[int, int], Validation] | None = None) -> Search:
    """Reads the trials of a search.

    Args:
        state: the file of the search.
        of: returns the expected validation part for the cut-off and the number of users of the
            search; None to accept any.

    Raises:
        TrainingError: there is no such file, it is no search, or it has no finished trial.
        SearchMismatch: the search was on other data, or on another split of them.
    """
    if not state.exists():
        raise TrainingError(f"{state}: there is no such search; `tune` makes one")
    study = _load(state)
    with _reading(state):
        objective = study.user_attrs["objective"]
        result = result_of(study, objective)
    if of is not None and _fingerprint(of(result.k, result.users)) != objective["data"]:
        raise SearchMismatch(state, ["data"])
    return result


def objective_of(
    validation: Validation, space: Space, start: Parameters, seed: int
) -> dict[str, Any]:
    """Returns the objective of a search; searches with different objectives are different ones."""
    objective = {
        "data": _fingerprint(validation),
        "space": space.model_dump(mode="json"),
        "start": space.clip(start),
        "k": validation.k,
        "users": len(validation.users),
        "seed": seed,
    }
    return dict(json.loads(json.dumps(objective)))


def _fingerprint(validation: Validation) -> str:
    """Returns a hash of the training and the validation part."""
    digest = hashlib.sha256()
    for part in (validation.train.user_items, validation.test):
        for array in (part.indptr, part.indices, part.plays):
            digest.update(array.tobytes())
    return digest.hexdigest()


def open_state(state: Path, objective: dict[str, Any]) -> optuna.Study:
    """Opens or creates the state, and compares its objective.

    Raises:
        SearchMismatch: it has another objective.
        TrainingError: it is no file of a search, or is in use.
    """
    import optuna  # noqa: PLC0415

    if state.stat().st_size == 0:
        study = optuna.create_study(storage=_storage(state), study_name=STUDY, direction="maximize")
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
        return optuna.load_study(storage=_storage(state), study_name=STUDY)


@contextmanager
def _reading(state: Path) -> Iterator[None]:
    """Translates the errors of reading a state that other software wrote."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError) as error:  # of pydantic, too
        raise TrainingError(
            f"{state} was written by another version of Encore or Optuna ({type(error).__name__}); "
            "name another file"
        ) from error


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
def alone_in(state: Path) -> Iterator[None]:
    """Keeps a second search out; the kernel releases the lock of a killed one.

    Raises:
        TrainingError: another search uses the state.
        WriteError: the state cannot be written.
    """
    try:
        file = state.open("ab")
    except OSError as error:
        raise WriteError(state, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"another search uses {state}; wait for it, or name another --state"
            ) from error
        yield


def innermost(error: BaseException) -> Exception:
    """Returns the innermost cause of an error: that of the database below all layers."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def drop_interrupted(study: optuna.Study) -> None:
    """Marks a trial that was running when the search was stopped as failed; it is drawn again."""
    from optuna.trial import TrialState  # noqa: PLC0415

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)


def finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Returns the finished trials in order, including those that were given up."""
    from optuna.trial import TrialState  # noqa: PLC0415

    return study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])


def result_of(study: optuna.Study, objective: Mapping[str, Any]) -> Search:
    """Returns the results of a search so far.

    Raises:
        TrainingError: no trial is finished.
    """
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
        for number, trial in enumerate(finished_trials(study))
    ]
    if not trials:
        raise TrainingError("the search has no finished trial yet")
    return Search(
        trials=trials,
        best=max(range(len(trials)), key=lambda number: trials[number].ndcg),
        k=objective["k"],
        users=objective["users"],
        # A search of a version without blocks was one of ALS.
        space=Space.model_validate({"blocks": ["als"]} | objective["space"]).describe(),
    )

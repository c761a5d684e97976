from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.ranking import scoring
from app.ranking.discovery import discount
from app.ranking.scoring import USERS_PER_SCAN, Catalogue, Ranked, item_norms, rank, top_items

Hidden = Sequence[NDArray[np.integer]]


def brute_force(
    vector: NDArray[np.float32],
    items: NDArray[np.float32],
    n: int,
    hidden: NDArray[np.integer],
    logs: NDArray[np.float32] | None = None,
) -> list[tuple[int, float]]:
    """Every item's exact score, discounted where it is above zero, sorted; ties by index."""

    discount = None if logs is None else np.exp(logs)

    def score(index: int) -> float:
        product = float((items[index].astype(np.float64) * vector.astype(np.float64)).sum())
        return product * float(discount[index]) if discount is not None and product > 0 else product

    left = set(range(len(items))) - set(hidden.tolist())
    scored = [(score(index), index) for index in left]
    best = sorted(scored, key=lambda one: (-one[0], one[1]))[:n]
    return [(index, float(np.float32(score))) for score, index in best]


def catalogue(
    items: NDArray[np.float32],
    *,
    left_out: Sequence[int] = (),
    logs: NDArray[np.float32] | None = None,
) -> Catalogue:
    """Items, with discounts of which these are the logarithms."""
    outside = np.array(left_out, dtype=np.int64)
    none = np.zeros(len(items), dtype=np.float32)
    plain = Catalogue.of(
        items, item_norms(items), left_out=outside, log_discount=none if logs is None else logs
    )
    return plain if logs is None else plain.dialled(1.0)


def top(
    vectors: NDArray[np.float32],
    items: NDArray[np.float32],
    n: int,
    hidden: Hidden | None = None,
    logs: NDArray[np.float32] | None = None,
) -> list[Ranked]:
    none: Hidden = [np.zeros(0, dtype=np.int64)] * len(vectors)
    return top_items(
        vectors,
        catalogue(items, logs=logs),
        n=n,
        hidden=none if hidden is None else hidden,
    )


def pairs(ranked: Ranked) -> list[tuple[int, float]]:
    items, scores = ranked
    assert items.dtype == np.int64
    assert scores.dtype == np.float32
    return list(zip(items.tolist(), scores.tolist(), strict=True))


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 7, 8, 50, 999, 1000, 1001, 10**6])
def test_lists_are_those_of_a_brute_force_ranking(rng: np.random.Generator, n: int) -> None:
    vectors, items = normal(rng, 4, 8), normal(rng, 1000, 8)
    hidden = [rng.choice(1000, size=size, replace=False) for size in (0, 1, 300, 999)]
    for row, ranked in enumerate(top(vectors, items, n, hidden)):
        assert pairs(ranked) == brute_force(vectors[row], items, n, hidden[row])


@pytest.mark.parametrize("n_items", [0, 1, 127, 128, 129, 1285, 3000])
def test_a_catalogue_of_any_size_is_ranked_to_its_last_item(
    rng: np.random.Generator, n_items: int
) -> None:
    vectors, items = normal(rng, 2, 4), normal(rng, n_items, 4)
    if n_items:
        items[-1] = vectors[0] * 100  # the best stands in the incomplete last run
    for row, ranked in enumerate(top(vectors, items, 5)):
        assert pairs(ranked) == brute_force(vectors[row], items, 5, np.zeros(0, dtype=int))


def test_equal_items_are_ranked_by_index(rng: np.random.Generator) -> None:
    items = np.repeat(normal(rng, 10, 6), 60, axis=0)
    items = items[rng.permutation(len(items))]
    vector = normal(rng, 1, 6)
    assert pairs(top(vector, items, 90)[0]) == brute_force(
        vector[0], items, 90, np.zeros(0, dtype=int)
    )
    zero = np.zeros((1, 6), dtype=np.float32)
    assert top(zero, items, 5)[0][0].tolist() == [0, 1, 2, 3, 4]
    assert top(zero, items, 5, [np.array([1, 3])])[0][0].tolist() == [0, 2, 4, 5, 6]


def test_scores_that_float32_cannot_tell_apart_are_ordered_exactly(
    rng: np.random.Generator,
) -> None:
    # Cancellation: a float32 product gets these scores, and so their order, quite wrong.
    vector = normal(rng, 1, 32) * 1000
    item = normal(rng, 32)
    item[-1] = -(item[:-1].astype(np.float64) @ vector[0, :-1].astype(np.float64)) / vector[0, -1]
    items = np.tile(item, (2000, 1))
    items[:, :4] += rng.normal(scale=1e-7, size=(2000, 4)).astype(np.float32)
    ranked = pairs(top(vector, items, 20)[0])
    assert ranked == brute_force(vector[0], items, 20, np.zeros(0, dtype=int))
    rough = np.argsort(-(items @ vector[0]), kind="stable")[:20]
    assert [index for index, _ in ranked] != rough.tolist()


def test_all_scores_may_be_below_zero(rng: np.random.Generator) -> None:
    items = np.abs(normal(rng, 500, 5))
    vector = -np.abs(normal(rng, 1, 5))
    ranked = pairs(top(vector, items, 30)[0])
    assert ranked == brute_force(vector[0], items, 30, np.zeros(0, dtype=int))
    assert all(score < 0 for _, score in ranked)


@pytest.mark.parametrize("vector_scale", [1e-38, 1e-20, 1.0, 1e15, 1e19])
@pytest.mark.parametrize("item_scale", [1e-38, 1e-20, 1.0, 1e15, 1e18])
def test_vectors_may_be_tiny_or_huge(
    rng: np.random.Generator, vector_scale: float, item_scale: float
) -> None:
    vector = normal(rng, 1, 8) * np.float32(vector_scale)
    items = normal(rng, 600, 8) * np.float32(item_scale)
    assert pairs(top(vector, items, 9)[0]) == brute_force(
        vector[0], items, 9, np.zeros(0, dtype=int)
    )


def test_a_product_that_overflows_float32_on_its_way_loses_no_item() -> None:
    # Was wrong: inf - inf made the floor NaN, and the list came back empty.
    items = np.array([[1e20, 1e20], [1e20, -1e20], [2e20, 1.0]], dtype=np.float32)
    vector = np.array([[1e19, -1e19]], dtype=np.float32)
    for repeats in (1, 200):
        many = np.tile(items, (repeats, 1))
        hidden = np.flatnonzero(np.arange(len(many)) % 3 > 0)  # those beyond float32
        ranked = pairs(top(vector, many, 2, [hidden])[0])
        assert ranked == [(0, 0.0), (3, 0.0)][:repeats]


def test_hiding_everything_gives_an_empty_list(rng: np.random.Generator) -> None:
    items = normal(rng, 300, 3)
    everything = np.arange(300)
    ranked = top(normal(rng, 2, 3), items, 2, [everything, everything[1:]])
    assert pairs(ranked[0]) == []
    assert ranked[1][0].tolist() == [0]


def test_an_item_hidden_twice_is_hidden(rng: np.random.Generator) -> None:
    vector, items = normal(rng, 1, 3), normal(rng, 10, 3)
    best = brute_force(vector[0], items, 2, np.zeros(0, dtype=int))
    hidden = np.array([best[0][0]] * 3, dtype=np.int32)
    assert pairs(top(vector, items, 1, [hidden])[0]) == [best[1]]


def test_a_list_does_not_depend_on_its_batch(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, items = normal(rng, 23, 16), normal(rng, 700, 16)
    hidden = [rng.choice(700, size=row * 3, replace=False) for row in range(23)]
    together = [pairs(ranked) for ranked in top(vectors, items, 12, hidden)]
    for row in range(23):
        alone = top(vectors[row : row + 1], items, 12, [hidden[row]])[0]
        assert pairs(alone) == together[row]
    monkeypatch.setattr(scoring, "USERS_PER_SCAN", 5)
    assert [pairs(ranked) for ranked in top(vectors, items, 12, hidden)] == together


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_ranking_is_ordered_unique_unhidden_full_and_a_prefix_of_the_longer(
    data: st.DataObject,
) -> None:
    n_items = data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # Whole numbers in a small range: many ties.
    items = rng.integers(-2, 3, size=(n_items, 3)).astype(np.float32)
    vector = rng.integers(-2, 3, size=(1, 3)).astype(np.float32)
    hidden = np.array(sorted(data.draw(st.sets(st.integers(0, n_items - 1)))), dtype=np.int64)
    n = data.draw(st.integers(1, n_items + 5))
    ranked = pairs(top(vector, items, n, [hidden])[0])
    indices = [index for index, _ in ranked]
    assert ranked == brute_force(vector[0], items, n, hidden)
    assert len(set(indices)) == len(indices) == min(n, n_items - len(hidden))
    assert not set(indices) & set(hidden.tolist())
    longer = pairs(top(vector, items, n + 7, [hidden])[0])
    assert longer[:n] == ranked


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.data())
def test_discounted_lists_are_those_of_a_brute_force_ranking_alone_and_batched(
    data: st.DataObject,
) -> None:
    n_items = data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    small = data.draw(st.booleans())  # whole numbers in a small range: many ties
    both = rng.integers(-2, 3, (3 + n_items, 4)) if small else rng.normal(size=(3 + n_items, 4))
    vectors, items = np.split(both.astype(np.float32), [3])
    strength = data.draw(st.sampled_from([1e-6, 0.5, 3.0, 60.0]))
    logs = (-strength * rng.random(n_items)).astype(np.float32)
    hidden = [rng.choice(n_items, size=n_items // 3, replace=False) for _ in vectors]
    n = data.draw(st.integers(1, n_items + 5))
    together = top(vectors, items, n, hidden, logs)
    for row, ranked in enumerate(together):
        expected = brute_force(vectors[row], items, n, hidden[row], logs)
        assert pairs(ranked) == expected
        alone = top(vectors[row : row + 1], items, n, [hidden[row]], logs)[0]
        assert pairs(alone) == expected
        left = np.setdiff1d(np.arange(n_items), hidden[row])
        everything = catalogue(items, logs=logs)
        assert pairs(rank(vectors[row], everything, left, n)) == expected


def test_discounted_scores_that_float32_cannot_tell_apart_are_ordered_exactly(
    rng: np.random.Generator,
) -> None:
    vector = np.abs(normal(rng, 1, 32))
    logs = np.log(rng.uniform(0.1, 1, size=3000)).astype(np.float32)
    discount = np.exp(logs)
    # Each item is as much longer as it is discounted more, so only roundings are left.
    items = (np.abs(normal(rng, 32)) / discount[:, None].astype(np.float64)).astype(np.float32)
    ranked = pairs(top(vector, items, 20, logs=logs)[0])
    assert ranked == brute_force(vector[0], items, 20, np.zeros(0, dtype=int), logs)
    rough = np.argsort(-(items @ vector[0]) * discount, kind="stable")[:20]
    assert [index for index, _ in ranked] != rough.tolist()


def test_a_discount_does_not_raise_a_negative_score() -> None:
    items = np.array([[1.0], [-1.0], [-2.0], [3.0]], dtype=np.float32)
    vector = np.array([[2.0]], dtype=np.float32)
    logs = np.log(np.array([0.5, 1.0, 0.125, 0.125])).astype(np.float32)
    ranked = pairs(top(vector, items, 4, logs=logs)[0])
    assert [index for index, _ in ranked] == [0, 3, 1, 2]
    assert [score for _, score in ranked] == pytest.approx([1.0, 0.75, -2.0, -4.0])


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e18])
def test_discounted_vectors_may_be_tiny_or_huge(rng: np.random.Generator, scale: float) -> None:
    vector, items = normal(rng, 1, 8) * np.float32(scale), normal(rng, 600, 8) * np.float32(scale)
    logs = (-60 * rng.random(600)).astype(np.float32)
    ranked = pairs(top(vector, items, 9, logs=logs)[0])
    assert ranked == brute_force(vector[0], items, 9, np.zeros(0, dtype=int), logs)


def test_a_discounted_product_that_overflows_float32_on_its_way_loses_no_item() -> None:
    items = np.array([[1e20, 1e20], [2e20, 2e20], [-1e20, 1e20]], dtype=np.float32)
    vector = np.array([[1e19, -1e19]], dtype=np.float32)
    logs = np.log(np.array([1e-20, 1.0, 1e-5])).astype(np.float32)
    ranked = pairs(top(vector, items, 3, [np.array([2])], logs)[0])
    assert ranked == [(0, 0.0), (1, 0.0)]


def test_given_candidates_are_ranked_whatever_their_order(rng: np.random.Generator) -> None:
    vector, items = normal(rng, 5), normal(rng, 50, 5)
    all_items = catalogue(items)
    candidates = rng.permutation(50)[:20]
    others = np.setdiff1d(np.arange(50), candidates)
    expected = brute_force(vector, items, 50, others)
    assert pairs(rank(vector, all_items, candidates, 50)) == expected
    assert pairs(rank(vector, all_items, np.sort(candidates), 3)) == expected[:3]
    assert pairs(rank(vector, all_items, candidates[:0], 3)) == []


def test_a_score_does_not_depend_on_the_other_candidates(rng: np.random.Generator) -> None:
    vector, items = normal(rng, 100), catalogue(normal(rng, 300, 100))
    together = dict(pairs(rank(vector, items, np.arange(300), 300)))
    for index in range(300):
        assert pairs(rank(vector, items, np.array([index]), 1)) == [(index, together[index])]


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_lists_are_exact_however_long_the_vectors_and_in_whatever_order(
    data: st.DataObject,
) -> None:
    n_items = data.draw(st.integers(1, 200))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # As in a trained model few vectors are long; some are equal, some zero.
    lengths = np.exp(-5 * rng.random(n_items))
    lengths[rng.random(n_items) < 0.1] = data.draw(st.sampled_from([0.0, 1.0]))
    if data.draw(st.booleans()):
        lengths = np.sort(lengths)[::-1]
    items = (normal(rng, n_items, 4) * lengths[:, None]).astype(np.float32)
    vectors = normal(rng, 4, 4) * np.array([[1], [1e-3], [30], [0]], dtype=np.float32)
    strength = data.draw(st.sampled_from([0.0, 1.0]))
    logs = (-strength * rng.random(n_items)).astype(np.float32)
    left_out = np.flatnonzero(rng.random(n_items) < 0.1)
    hidden = [rng.choice(n_items, size=n_items // 3, replace=False) for _ in vectors]
    n = data.draw(st.integers(1, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_RUN", 8)
        patch.setattr(scoring, "_LONGEST_STEP", 32)
        all_items = catalogue(items, left_out=left_out.tolist(), logs=logs)
        found = top_items(vectors, all_items, n=n, hidden=hidden)
    for vector, behind, ranked in zip(vectors, hidden, found, strict=True):
        absent = np.union1d(behind, left_out)
        assert pairs(ranked) == brute_force(vector, items, n, absent, logs)


def looked_at(items: NDArray[np.float32], vectors: NDArray[np.float32], n: int) -> int:
    """How many items a scan looks at."""
    scan = scoring._Scan(vectors, catalogue(items), n, [np.zeros(0, dtype=int)] * len(vectors))
    scan.run()
    return scan.looked_at


@pytest.mark.slow
def test_a_scan_ends_where_no_vector_is_long_enough(rng: np.random.Generator) -> None:
    items = normal(rng, 50_000, 16)
    items /= np.arange(1, 50_001, dtype=np.float32)[:, None] ** 0.7
    vectors = normal(rng, 40, 16)
    assert looked_at(items, vectors, 10) < 5000
    assert looked_at(items, vectors, 50_000) == 50_000
    assert looked_at(items[::-1], vectors, 10) == 50_000  # the longest are the last
    assert looked_at(np.ones_like(items), vectors, 10) == 50_000  # all of one length


def test_a_hidden_item_does_not_end_a_scan(rng: np.random.Generator) -> None:
    # The longest are all hidden, so their scores say nothing of how good a list is.
    items = normal(rng, 5000, 8) * np.float32(0.01)
    items[:2000] *= 1000
    vector = normal(rng, 1, 8)
    hidden = np.arange(2000)
    assert pairs(top(vector, items, 7, [hidden])[0]) == brute_force(vector[0], items, 7, hidden)


def test_users_of_one_scan_may_be_any_number(rng: np.random.Generator) -> None:
    items = normal(rng, 300, 4)
    vectors = normal(rng, USERS_PER_SCAN + 1, 4)
    found = top(vectors, items, 3)
    assert len(found) == USERS_PER_SCAN + 1
    assert pairs(found[-1]) == brute_force(vectors[-1], items, 3, np.zeros(0, dtype=int))
    assert top(vectors[:0], items, 3) == []


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_norms_neither_overflow_nor_vanish(scale: float) -> None:
    # Was wrong: squares were summed in float32, so norms were 0 below 1e-23 and inf above 1e19,
    # and the margin of candidates that is derived from them was no bound.
    items = np.array([[3, 4], [0, 1], [0, 0]], dtype=np.float32) * np.float32(scale)
    assert item_norms(items) == pytest.approx([5 * scale, scale, 0], rel=1e-6, abs=0)
    assert catalogue(items).max_norm == pytest.approx(5 * scale, rel=1e-6, abs=0)


def test_a_catalogue_without_items_has_no_norm() -> None:
    empty = catalogue(np.zeros((0, 2), dtype=np.float32))
    assert (empty.max_norm, empty.ceilings().tolist()) == (0.0, [])


def test_ceilings_hold_for_everything_from_their_run_on() -> None:
    items = np.ones((2500, 1), dtype=np.float32)
    items[[100, 1500, 2400]] = [[5], [2], [3]]
    assert catalogue(items).ceilings().tolist() == [5, 3, 3]
    logs = np.full(2500, np.log(0.5), dtype=np.float32)
    assert catalogue(items, logs=logs).ceilings() == pytest.approx([2.5, 1.5, 1.5])
    assert catalogue(items, logs=logs).dialled(0.0).ceilings().tolist() == [5, 3, 3]


def test_a_discount_does_not_depend_on_the_other_items(rng: np.random.Generator) -> None:
    logs = (-60 * rng.random(5000)).astype(np.float32)
    whole = discount(logs, 0.37)
    for start in range(0, 60):
        for length in (1, 2, 3, 7, 8, 9, 31, 1024):
            part = slice(start, start + length)
            assert discount(logs[part], 0.37).tobytes() == whole[part].tobytes()
    some = rng.choice(5000, 200)
    assert discount(logs[some], 0.37).tobytes() == whole[some].tobytes()

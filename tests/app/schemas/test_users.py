from __future__ import annotations

import pytest

from app.events.personal_data import Goes, Place
from app.schemas.users import UserErased


@pytest.mark.parametrize("is_wiped", [True, False, None])
def test_an_erasure_names_every_place_once(is_wiped: bool | None) -> None:
    answer = UserErased.of("u", 3, was_in_model=False, is_wiped=is_wiped)
    to_come = {one.place: (one.goes, one.how) for one in answer.to_come}
    assert sorted([*answer.done, *to_come, *answer.stays]) == sorted(Place)
    assert (Place.STORE_LOG in answer.done) is (is_wiped is True)
    for place, said in to_come.items():
        assert said == (place.holding.goes, place.holding.how)
    assert all(place.holding.goes is Goes.STAYS for place in answer.stays)

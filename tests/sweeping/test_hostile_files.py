"""Files of sweeps with numbers, lists and tables that no sweep could have."""

import pytest

from asyncrl.errors import InputError
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.plan import expand

MANY = list(range(1, 2001))
HUGE = 10**400


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("table", "clear"),
    [
        ({"vary": {"t_max": MANY, "frames": MANY}}, "4,000,000 combinations of values, more than 100,000"),
        ({"vary": {"t_max, t_max": [[5, 8]]}}, r"\[vary\] has t_max twice"),
        ({"vary": {"optimizer.lr": {"low": 1, "high": HUGE}}}, "needs numbers low and high"),
        ({"vary": {"optimizer.lr": {"low": -HUGE, "high": 1}}}, "needs numbers low and high"),
        ({"vary": {"t_max": "x" * 100_000}}, "takes a list of values"),
        ({"sweep": {"seeds": "x" * 100_000}}, "takes a number of seeds"),
        ({"exclude": [3]}, "exclude must be a table"),
        ({"exclude": [[{"t_max": 1}]]}, "exclude must be a table"),
    ],
    ids=str,
)
def test_hostile_table_is_one_short_line(table, clear):
    with pytest.raises(InputError, match=clear) as raised:
        expand(parse({"base": {"env": "CartPole-v1"}, **table}))
    assert len(str(raised.value)) < 400

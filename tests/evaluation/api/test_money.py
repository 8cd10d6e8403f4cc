"""A limit on spending is kept, whatever is under way at the same time."""

import asyncio

import pytest

from himmel.errors import UsageError
from himmel.evaluation.api.money import Prices, Spending


def test_what_may_be_spent_is_set_aside_and_given_back() -> None:
    async def run() -> Spending:
        spending = Spending(limit=10, spent=4)
        assert await spending.set_aside(6)
        await spending.settle(6, cost=1)
        assert await spending.set_aside(5)
        await spending.settle(5, cost=5)
        assert not await spending.set_aside(0.1)
        return spending

    assert asyncio.run(run()).spent == 10


def test_a_request_waits_for_those_under_way_where_they_may_leave_enough() -> None:
    async def run() -> list[str]:
        spending, order = Spending(limit=10), []
        assert await spending.set_aside(8)

        async def second() -> None:
            assert await spending.set_aside(8)
            order.append("second")

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.05)
        order.append("first")
        await spending.settle(8, cost=1)
        await waiting
        return order

    assert asyncio.run(run()) == ["first", "second"]


def test_a_request_that_would_pass_the_limit_is_refused_once_nothing_is_under_way() -> None:
    async def run() -> bool:
        spending = Spending(limit=10)
        assert await spending.set_aside(8)
        waiting = asyncio.create_task(spending.set_aside(8))
        await asyncio.sleep(0.05)
        await spending.settle(8, cost=7)
        return await waiting

    assert asyncio.run(run()) is False


def test_without_a_limit_everything_is_allowed() -> None:
    async def run() -> bool:
        return await Spending().set_aside(1e9)

    assert asyncio.run(run())


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_an_amount(limit: float) -> None:
    with pytest.raises(UsageError, match="no amount to spend"):
        Spending(limit=limit)


@pytest.mark.parametrize("price", [-0.1, float("nan"), float("inf")])
def test_a_price_is_an_amount(price: float) -> None:
    with pytest.raises(UsageError, match="The price of output"):
        Prices(1, price)

"""One contract under several descriptions, and under the broker's name: one position, and one aim after the other."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from oms.activities.aiming import Aimer
from oms.api.aiming import Targets
from oms.domain.numbers import ZERO
from oms.domain.programs.targets import AccountRead, BrokerPosition
from oms.domain.reference import InstrumentTerms
from tests.stack import temporal_server, until
from tests.workflows.aiming import Range, a_range, legs
from tests.workflows.venue import ACCOUNT
from tests.workflows.world import quiet

SMART, NASDAQ = "TWIN at SMART", "TWIN at NASDAQ"
CONID = 555


@pytest.fixture
async def aims(tmp_path: Path) -> AsyncIterator[Range]:
    quiet()
    async with temporal_server() as server, a_range(await server.client(), tmp_path) as made:
        for name, exchange in ((SMART, "SMART"), (NASDAQ, "NASDAQ")):
            terms = InstrumentTerms(symbol="TWIN", exchange=exchange, conid=CONID)
            made.instruments[name] = made.store.reference.put_instrument(terms, f"INS-{exchange}")
        async with made.desk():
            yield made


def held(symbol: str, quantity: int, *, unbooked: int, instrument_id: str | None = None) -> BrokerPosition:
    return BrokerPosition(
        conid=CONID,
        symbol=symbol,
        sec_type="STK",
        currency="USD",
        quantity=quantity,
        unbooked=unbooked,
        instrument_id=instrument_id,
    )


def holds(aims: Range, *positions: BrokerPosition) -> None:
    aims.venue.accounts[ACCOUNT] = AccountRead(account=ACCOUNT, positions=positions)


async def test_what_another_description_holds_is_not_bought_again(aims: Range) -> None:
    aims.venue.filled.add("TWIN")
    await aims.ask(aims.aim(NASDAQ, 100))
    await until(lambda: aims.held(NASDAQ) == 100, "the fill")
    holds(aims, held("TWIN", 100, unbooked=0, instrument_id="INS-NASDAQ"))
    assert legs(await aims.target(("TWIN", 100))) == [[]]
    assert legs(await aims.target(("TWIN", -20))) == [[("Sell", 100), ("SellShort", 20)]]
    await until(lambda: aims.held(SMART) == -120, "both fills")
    assert aims.at_the_venue("TWIN") == -20


async def test_aims_at_one_position_are_one_after_the_other_whatever_it_is_called(aims: Range) -> None:
    aimer = Aimer(aims.store, Targets(aims.world.client))
    several = [aims.aim(name, 100) for name in (SMART, NASDAQ) * 8]
    outcomes = await asyncio.gather(*map(aimer.brought, several))
    assert sorted(len(planned) for planned in legs(outcomes)) == [0] * 15 + [1]
    await until(lambda: aims.at_the_venue("TWIN"), "the order")
    assert aims.at_the_venue("TWIN") == 100


async def test_what_the_broker_holds_under_its_own_name_counts(aims: Range) -> None:
    terms = InstrumentTerms(symbol="BRK.B", conid=600)
    aims.instruments["BRK.B"] = aims.store.reference.put_instrument(terms, "INS-BRKB")
    theirs = held("BRK B", 100, unbooked=100).model_copy(update={"conid": 600})
    holds(aims, held("BRK A", 7, unbooked=7), theirs)
    assert legs(await aims.target(("BRK.B", 100))) == [[]]
    assert legs(await aims.target(("BRK.B", 130))) == [[("Buy", 30)]]
    assert aims.orders("BRK.B")[0].ordered_quantity == 30


async def test_of_two_positions_of_one_name_the_instruments_own_counts(aims: Range) -> None:
    """The other one is at another exchange, was bought by hand, and is another contract."""
    stock = aims.stock()
    own = held(stock, 40, unbooked=0, instrument_id=f"INS-{stock}").model_copy(update={"conid": 1})
    holds(aims, held(stock, 60, unbooked=60), own)
    [aimed] = await aims.target((stock, 10))
    assert (aimed.plan is not None and aimed.plan.held, legs([aimed])) == (ZERO, [[("Buy", Decimal(10))]])

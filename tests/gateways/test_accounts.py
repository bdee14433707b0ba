"""Reading an account: what is there, what of it nobody ordered here, what it is worth; and never a guess."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ib_async import IB, MarketOrder, RequestError, Stock
from tests.gateways.rig import ACCOUNT, FUTURE, Rig, eventually, ticket

from oms.domain.programs.targets import AccountRead, BrokerPosition
from oms.domain.reference import InstrumentTerms
from oms.domain.terms import Direction
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway, accounts
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings

AAPL = 265598


@pytest.fixture
async def them(rig: Rig) -> AsyncIterator[IB]:
    """Somebody who trades on the same account without us."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=9)
    yield client
    client.disconnect()


async def traded(client: IB, side: str, quantity: int, account: str = ACCOUNT) -> None:
    trade = client.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder(side, quantity, account=account))
    await eventually(trade.isDone)


async def filled(rig: Rig, gateway: IBKRGateway, quantity: str = "10", **terms: Any) -> None:
    order = ticket(quantity=quantity, **terms)
    await gateway.place(order)
    await rig.fills(order)


def only(read: AccountRead) -> BrokerPosition:
    (position,) = read.positions
    return position


def counted(gateway: IBKRGateway, monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """One entry for each time the broker is asked."""
    asked: list[int] = []
    ask = getattr(gateway._wire._ib.client, name)

    def asking(*arguments: Any) -> Any:
        asked.append(1)
        return ask(*arguments)

    monkeypatch.setattr(gateway._wire._ib.client, name, asking)
    return asked


def later(gateway: IBKRGateway, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Looks that are made from now on are made so much later."""
    now = gateway._clock()
    monkeypatch.setattr(gateway._accounts._sides, "_clock", lambda: now + int(seconds * 1e9))


async def test_an_account_is_what_it_holds_and_what_it_is_worth(rig: Rig) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "30")
    read = await gateway.read_account(ACCOUNT)
    held = only(read)
    assert (held.conid, held.symbol, held.sec_type, held.currency) == (AAPL, "AAPL", "STK", "USD")
    assert (held.quantity, held.unbooked, held.steady, held.instrument_id) == (30, 0, True, "INS-AAPL")
    (execution,) = rig.paper.executions()
    assert held.average_cost is not None
    assert abs(held.average_cost - execution.price) < Decimal("0.1")
    (account,) = rig.paper._desk.accounts.names
    worth = rig.paper._desk.accounts.net_liquidation(account)
    assert (read.account, read.away, read.net_liquidation, read.currency) == (ACCOUNT, None, worth, "USD")
    assert read.read_ns > 0


async def test_an_account_without_positions_is_empty_and_has_its_value(rig: Rig) -> None:
    read = await (await rig.gateway()).read_account(ACCOUNT)
    assert (read.positions, read.net_liquidation) == ((), rig.paper._desk.accounts.net_liquidation(ACCOUNT))


async def test_what_nobody_ordered_here_is_unbooked(
    rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "30")
    await traded(them, "SELL", 50)
    later(gateway, monkeypatch, 15)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (-20, -50, True)


async def test_what_we_have_and_the_broker_has_not_is_a_position_of_zero(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "10")

    async def nothing() -> list[Any]:
        return []

    monkeypatch.setattr(gateway._wire, "positions", nothing)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.average_cost) == (0, -10, None)


async def test_executions_that_no_order_has_booked_yet_are_ours(rig: Rig) -> None:
    """The order workflows here write nothing down, as when their worker is away."""
    gateway = await rig.gateway()
    rig.orders.open.clear()
    await gateway.place(ticket(quantity="10"))
    await eventually(rig.paper.executions)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (10, 0, True)
    rig.orders.open.set()


async def test_fifty_at_once_are_one_question(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "10")
    await eventually(lambda: gateway._positions.last)
    positions = counted(gateway, monkeypatch, "reqPositions")
    summaries = counted(gateway, monkeypatch, "reqAccountSummary")
    reads = await asyncio.gather(*(gateway.read_account(ACCOUNT) for _ in range(50)))
    assert {one.positions for one in reads} == {reads[0].positions}
    assert (len(positions), len(summaries)) == (1, 1)


async def test_who_asks_while_the_broker_is_asked_gets_a_newer_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    await eventually(lambda: gateway._positions.last)
    positions, ask = counted(gateway, monkeypatch, "reqPositions"), gateway._wire.positions
    answered = asyncio.Event()

    async def slow() -> Any:
        found = await ask()
        await answered.wait()
        return found

    monkeypatch.setattr(gateway._wire, "positions", slow)
    first = asyncio.create_task(gateway.read_account(ACCOUNT))
    await eventually(lambda: positions)
    others = [asyncio.create_task(gateway.read_account(ACCOUNT)) for _ in range(20)]
    first.cancel()
    answered.set()
    assert {(await other).away for other in others} == {None}
    assert len(positions) == 2


async def test_instruments_that_we_know_and_do_not_hold_are_named(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    await traded(them, "BUY", 5)
    assert only(await gateway.read_account(ACCOUNT)).instrument_id is None
    rig.store.reference.put_instrument(InstrumentTerms(symbol="AAPL"), "INS-OF-OURS")
    assert only(await gateway.read_account(ACCOUNT)).instrument_id == "INS-OF-OURS"


async def test_another_contract_of_the_same_name_is_not_ours(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    await traded(them, "BUY", 5)
    rig.store.reference.put_instrument(InstrumentTerms(symbol="AAPL", conid=1), "INS-ELSEWHERE")
    assert only(await gateway.read_account(ACCOUNT)).instrument_id is None


async def test_a_future_costs_what_the_contract_costs(rig: Rig) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "2", instrument=FUTURE, direction=Direction.SELL_SHORT)
    held = only(await gateway.read_account(ACCOUNT))
    (execution,) = rig.paper.executions()
    assert (held.sec_type, held.quantity, held.instrument_id) == ("FUT", -2, "INS-ES")
    assert held.average_cost == execution.price * 50


async def test_accounts_of_one_login_are_told_apart(rig: Rig, tmp_path: Path) -> None:
    market = MarketSettings(step_seconds=0.02, moving=False)
    paper = PaperIBGateway(accounts=("DU1", "DU2"), state_file=tmp_path / "two.db", market=market)
    await paper.start()
    rig.paper = paper
    gateway = await rig.gateway(port=paper.port, accounts=("DU1", "DU2"))
    await filled(rig, gateway, "10", account="DU1")
    one, two = await asyncio.gather(*(gateway.read_account(name) for name in ("DU1", "DU2")))
    assert ([held.quantity for held in one.positions], two.positions) == ([10], ())
    assert two.net_liquidation == paper._desk.accounts.net_liquidation("DU2")
    await rig.close()
    await paper.stop()


# Nobody answers


async def test_a_session_that_is_away_knows_nothing(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.drop_connections()
    await eventually(lambda: not gateway._gate.is_open)
    with pytest.raises(GatewayNotReady, match="not connected"):
        await gateway.read_account(ACCOUNT)


async def test_a_gateway_without_its_broker_knows_nothing(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.connectivity_lost()
    await eventually(lambda: not gateway._gate.is_open)
    with pytest.raises(GatewayNotReady, match="1100"):
        await gateway.read_account(ACCOUNT)


async def test_an_account_of_another_login_is_not_empty_but_unknown(rig: Rig) -> None:
    gateway = await rig.gateway(accounts=(ACCOUNT, "DU999999"))
    with pytest.raises(GatewayNotReady, match="does not manage it"):
        await gateway.read_account("DU999999")


async def never(*_: Any) -> None:
    await asyncio.Event().wait()


async def test_positions_that_do_not_come_are_not_zero(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_SECONDS", 0.2)
    gateway = await rig.gateway()
    await filled(rig, gateway, "10")
    await eventually(lambda: gateway._positions.last)
    monkeypatch.setattr(gateway._wire._ib, "reqPositionsAsync", never)
    with pytest.raises(GatewayNotReady, match=r"positions within 0\.2 s"):
        await gateway.read_account(ACCOUNT)


async def test_a_connection_that_breaks_meanwhile_is_no_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    await eventually(lambda: gateway._positions.last)
    monkeypatch.setattr(gateway._wire._ib, "reqPositionsAsync", never)
    reading = asyncio.create_task(gateway.read_account(ACCOUNT))
    await asyncio.sleep(0)
    rig.paper.drop_connections()
    with pytest.raises(
        GatewayNotReady, match="did not tell the positions: the connection broke before"
    ) as told:
        await reading
    assert "Error(" not in str(told.value)


async def test_a_value_that_does_not_come_leaves_the_positions(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> None:
        raise RequestError(1, 322, "Maximum number of account summary requests exceeded")

    gateway = await rig.gateway()
    await filled(rig, gateway, "10")
    monkeypatch.setattr(gateway._accounts._worths, "_ask", refused)
    read = await gateway.read_account(ACCOUNT)
    assert (only(read).quantity, read.net_liquidation, read.currency) == (10, None, None)


async def test_a_position_that_cannot_be_read_makes_the_account_unknown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "10")
    ask = gateway._wire.positions

    async def garbled() -> Any:
        return [one._replace(position=float("nan")) for one in await ask()]

    monkeypatch.setattr(gateway._wire, "positions", garbled)
    with pytest.raises(GatewayNotReady, match="AAPL STK USD 265598 cannot be read"):
        await gateway.read_account(ACCOUNT)


async def test_no_summary_stays_subscribed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await rig.gateway()
    asked = counted(gateway, monkeypatch, "reqAccountSummary")
    ended = counted(gateway, monkeypatch, "cancelAccountSummary")
    for _ in range(3):
        await gateway.read_account(ACCOUNT)
    await eventually(lambda: len(ended) == 3)
    assert len(asked) == 3

"""CARD-701 to CARD-719: each order type, time in force and kind of instrument."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from oms.domain.handling import Adjustment, Handling
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.domain.terms import Direction, OrderType, PlacementStatus, SecType, TimeInForce, Venue
from oms.domain.venues import IBKR_ABILITIES, PlacementTicket, unsupported
from oms.gateways.ibkr import IBKRGateway
from tests.cards.doing import once, working
from tests.cards.line import Line
from tests.gateways.rig import EURO, FUTURE, OPTION, Rig, eventually, status, stock, ticket

INSTRUMENTS = {SecType.STOCK: stock(), SecType.FUTURE: FUTURE, SecType.OPTION: OPTION, SecType.CASH: EURO}
QUANTITY = {SecType.STOCK: "10", SecType.FUTURE: "2", SecType.OPTION: "3", SecType.CASH: "20000"}
BELOW = {SecType.STOCK: "5", SecType.FUTURE: "100", SecType.OPTION: "0.05", SecType.CASH: "0.5"}
ABOVE = {SecType.STOCK: "900", SecType.FUTURE: "9000", SecType.OPTION: "90", SecType.CASH: "2"}
TRAIL = {SecType.STOCK: "2", SecType.FUTURE: "5", SecType.OPTION: "0.5", SecType.CASH: "0.001"}
STANDING = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)
AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
WORKING, FILLED, EXPIRED = PlacementStatus.WORKING, PlacementStatus.FILLED, PlacementStatus.EXPIRED
LATER = timedelta(hours=2)


def wanted(
    sec_type: SecType, order_type: OrderType, time_in_force: TimeInForce, **terms: Any
) -> PlacementTicket:
    """A Buy of this kind of instrument, with what its type and time need."""
    if time_in_force is TimeInForce.GTD:
        terms = {"expires_at": datetime.now(UTC) + LATER, **terms}
    what = {"instrument": INSTRUMENTS[sec_type], "order_type": order_type, "time_in_force": time_in_force}
    return ticket(quantity=QUANTITY[sec_type], **{**what, **terms})


def of_every_kind(order_type: OrderType, times: Iterable[TimeInForce], **terms: Any) -> list[PlacementTicket]:
    """One ticket for each kind of instrument and time; a term that is a function is asked for the kind's own."""
    return [
        wanted(kind, order_type, time, **{n: v(kind) if callable(v) else v for n, v in terms.items()})
        for kind in sorted(IBKR_ABILITIES[order_type].securities)
        for time in times
    ]


def below(sec_type: SecType) -> Decimal:
    return Decimal(BELOW[sec_type])


def above(sec_type: SecType) -> Decimal:
    return Decimal(ABOVE[sec_type])


async def placed(gateway: IBKRGateway, orders: list[PlacementTicket]) -> list[PlacementStatus]:
    return [status(answer) for answer in await asyncio.gather(*(gateway.place(order) for order in orders))]


def stocks(orders: list[PlacementTicket]) -> list[PlacementTicket]:
    return [order for order in orders if order.instrument.sec_type is SecType.STOCK]


def at_broker(rig: Rig, orders: list[PlacementTicket], *names: str) -> set[tuple[str, ...]]:
    """These fields of the placeOrders, each combination once."""
    return {tuple(rig.sent(order).get(name, "") for name in names) for order in orders}


async def filled_all(rig: Rig, orders: list[PlacementTicket]) -> None:
    for order in orders:
        await once(rig, order)
        assert sum(fill.quantity for fill in rig.orders.executions(order)) == order.quantity


async def test_card_701(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = of_every_kind(OrderType.MARKET, (*STANDING, TimeInForce.IOC))
    await placed(gateway, orders)
    await filled_all(rig, orders)
    tifs = ("DAY", "GTC", "GTD", "IOC")
    assert at_broker(rig, orders, "orderType", "tif") == {("MKT", tif) for tif in tifs}


async def test_card_702(rig: Rig) -> None:
    gateway = await rig.gateway()
    far = of_every_kind(OrderType.LIMIT, STANDING, limit_price=below)
    near = of_every_kind(OrderType.LIMIT, AT_ONCE, limit_price=above)
    assert set(await placed(gateway, far)) == {WORKING}
    await placed(gateway, near)
    await filled_all(rig, near)
    tifs = ("DAY", "GTC", "GTD", "IOC", "FOK")
    assert at_broker(rig, [*far, *near], "orderType", "tif") == {("LMT", tif) for tif in tifs}
    assert at_broker(rig, stocks(far), "lmtPrice") == {("5",)}


async def test_card_703(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = of_every_kind(OrderType.STOP, STANDING, stop_price=above)
    assert set(await placed(gateway, orders)) == {WORKING}
    assert at_broker(rig, stocks(orders), "orderType", "auxPrice") == {("STP", "900")}
    assert {there.status for order in orders for there in rig.at_the_broker(order)} == {"PreSubmitted"}
    rig.paper.set_price("AAPL", Decimal(901), Decimal(902))
    await filled_all(rig, stocks(orders))


async def test_card_704(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = of_every_kind(OrderType.STOP_LIMIT, STANDING, stop_price=above, limit_price=above)
    assert set(await placed(gateway, orders)) == {WORKING}
    assert at_broker(rig, stocks(orders), "orderType", "auxPrice", "lmtPrice") == {("STP LMT", "900", "900")}
    rig.paper.set_price("AAPL", Decimal(901), Decimal(902))
    await rig.reconciled(gateway)
    assert {line for order in stocks(orders) for line in rig.orders.statuses(order)} == {WORKING}
    rig.paper.set_price("AAPL", Decimal(898), Decimal(899))
    await filled_all(rig, stocks(orders))


async def test_card_705(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal(100), Decimal("100.02"))
    amounts = of_every_kind(
        OrderType.TRAILING_STOP,
        STANDING,
        handling=lambda kind: Handling(trail_amount=Decimal(TRAIL[kind])),
    )
    shares = of_every_kind(
        OrderType.TRAILING_STOP, (TimeInForce.DAY,), handling=Handling(trail_percent=Decimal(2))
    )
    orders = [*amounts, *shares]
    assert set(await placed(gateway, orders)) == {WORKING}
    trails = at_broker(rig, stocks(orders), "orderType", "auxPrice", "trailingPercent")
    assert trails == {("TRAIL", "2", ""), ("TRAIL", "", "2")}
    rig.paper.set_price("AAPL", Decimal(90), Decimal("90.02"))
    await rig.reconciled(gateway)
    assert {line for order in stocks(orders) for line in rig.orders.statuses(order)} == {WORKING}
    # Two above the lowest offer, and far below where the trail began.
    rig.paper.set_price("AAPL", Decimal("92.10"), Decimal("92.12"))
    await filled_all(rig, stocks(orders))


async def test_card_706(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = of_every_kind(
        OrderType.TRAILING_STOP_LIMIT,
        STANDING,
        handling=lambda kind: Handling(trail_amount=Decimal(TRAIL[kind]), limit_offset=Decimal(TRAIL[kind])),
    )
    assert set(await placed(gateway, orders)) == {WORKING}
    told = at_broker(rig, stocks(orders), "orderType", "auxPrice", "lmtPriceOffset")
    assert told == {("TRAIL LIMIT", "2", "2")}


async def test_card_707(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal(100), Decimal("100.02"))
    free = wanted(SecType.STOCK, OrderType.MID_PRICE, TimeInForce.DAY)
    capped = wanted(SecType.STOCK, OrderType.MID_PRICE, TimeInForce.DAY, limit_price=Decimal(99))
    await placed(gateway, [free, capped])
    await once(rig, free)
    assert at_broker(rig, [capped], "orderType", "lmtPrice") == {("MIDPRICE", "99")}
    assert rig.orders.executions(capped) == []
    rig.paper.set_price("AAPL", Decimal(98), Decimal("98.02"))
    await once(rig, capped)
    assert rig.orders.executions(capped)[0].price == Decimal("98.01")


async def auction(rig: Rig, time: TimeInForce, kinds: tuple[SecType, ...]) -> list[PlacementTicket]:
    """Market and Limit orders in an auction, filled and booked once."""
    gateway = await rig.gateway()
    orders = [wanted(kind, OrderType.MARKET, time) for kind in kinds]
    orders += [wanted(kind, OrderType.LIMIT, time, limit_price=above(kind)) for kind in kinds]
    await placed(gateway, orders)
    await filled_all(rig, orders)
    return orders


async def test_card_708(rig: Rig) -> None:
    orders = await auction(rig, TimeInForce.AT_THE_CLOSE, (SecType.STOCK, SecType.FUTURE))
    assert at_broker(rig, orders, "orderType", "tif") == {("MOC", "DAY"), ("LOC", "DAY")}


async def test_card_709(rig: Rig) -> None:
    orders = await auction(rig, TimeInForce.AT_THE_OPEN, (SecType.STOCK, SecType.OPTION))
    assert at_broker(rig, orders, "orderType", "tif") == {("MKT", "OPG"), ("LMT", "OPG")}


async def small_market(rig: Rig) -> IBKRGateway:
    rig.paper.set_price("AAPL", Decimal("100.00"), Decimal("100.02"), Decimal(4))
    return await rig.gateway()


async def test_card_710(rig: Rig) -> None:
    gateway = await small_market(rig)
    terms = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.IOC}
    away = ticket(limit_price=Decimal(90), **terms)
    part = ticket(limit_price=Decimal(101), **terms)
    await placed(gateway, [away, part])
    await eventually(lambda: all(EXPIRED in rig.orders.statuses(order) for order in (away, part)))
    assert [fill.quantity for fill in rig.orders.executions(part)] == [4]
    assert rig.orders.executions(away) == []


async def test_card_711(rig: Rig) -> None:
    gateway = await small_market(rig)
    terms = {
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.FOK,
        "limit_price": Decimal(101),
    }
    much, little = ticket(quantity="5", **terms), ticket(quantity="3", **terms)
    await gateway.place(much)
    await eventually(lambda: EXPIRED in rig.orders.statuses(much))
    await gateway.place(little)
    await once(rig, little)
    assert rig.orders.executions(much) == []


async def test_card_712(rig: Rig) -> None:
    gateway = await rig.gateway()
    soon = datetime.now(UTC) + timedelta(seconds=2)
    order = await working(rig, gateway, time_in_force=TimeInForce.GTD, expires_at=soon)
    assert rig.sent(order)["goodTillDate"] == soon.strftime("%Y%m%d-%H:%M:%S")
    await eventually(lambda: rig.orders.statuses(order) == [WORKING, EXPIRED])
    assert rig.orders.executions(order) == []


async def test_card_713(rig: Rig) -> None:
    gateway = await rig.gateway()
    outside = await working(rig, gateway, handling=Handling(outside_rth=True))
    inside = await working(rig, gateway)
    assert [rig.sent(order).get("outsideRth") for order in (outside, inside)] == ["1", "0"]


async def test_card_714(rig: Rig) -> None:
    gateway = await rig.gateway()
    soon = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    order = ticket(handling=Handling(good_after=soon))
    assert status(await gateway.place(order)) is WORKING
    assert rig.executed(order) == []
    await once(rig, order)
    assert rig.orders.executions(order)[0].ts_event_ns >= soon.timestamp() * 1e9


async def test_card_715(rig: Rig) -> None:
    gateway = await rig.gateway()
    odd, sell = Decimal("5.0051"), {"direction": Direction.SELL}
    limits = [ticket(order_type=OrderType.LIMIT, limit_price=odd)]
    limits += [ticket(order_type=OrderType.LIMIT, limit_price=Decimal("900.0051"), **sell)]
    stops = [ticket(order_type=OrderType.STOP, stop_price=Decimal("900.0051"))]
    stops += [ticket(order_type=OrderType.STOP, stop_price=odd, **sell)]
    trail = ticket(order_type=OrderType.TRAILING_STOP, handling=Handling(trail_amount=odd))
    orders = [*limits, *stops, trail]
    assert set(await placed(gateway, orders)) == {WORKING}
    assert [rig.sent(order)["lmtPrice"] for order in limits] == ["5", "900.01"]
    assert [rig.sent(order)["auxPrice"] for order in (*stops, trail)] == ["900.01", "5", "5.01"]
    for order in orders:
        kinds = await eventually(lambda order=order: [fact.kind for fact in rig.orders.facts[order.order_id]])
        assert (kinds[0], kinds.count("terms_rounded")) == ("terms_rounded", 1)


async def test_card_716(rig: Rig) -> None:
    gateway = await rig.gateway(messages_per_second=500)
    offered = [
        (order_type, kind, time)
        for order_type, ability in IBKR_ABILITIES.items()
        for kind in sorted(ability.securities)
        for time in sorted(ability.times)
        if unsupported(Venue.IBKR, INSTRUMENTS[kind], order_type, time) is None
    ]
    orders = [wanted(kind, order_type, time, **needs(order_type, kind)) for order_type, kind, time in offered]
    answers = await placed(gateway, orders)
    refused = [
        what for what, answer in zip(offered, answers, strict=True) if answer is PlacementStatus.REJECTED
    ]
    assert refused == []
    assert len(orders) >= 50


def needs(order_type: OrderType, kind: SecType) -> dict[str, Any]:
    """The prices and distances of a type, away from the market."""
    found: dict[str, Any] = {}
    if order_type.needs_limit_price:
        found["limit_price"] = below(kind)
    if order_type.needs_stop_price:
        found["stop_price"] = above(kind)
    if order_type.trails:
        offset = Decimal(TRAIL[kind]) if order_type is OrderType.TRAILING_STOP_LIMIT else None
        found["handling"] = Handling(trail_amount=Decimal(TRAIL[kind]), limit_offset=offset)
    return found


async def test_card_717(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    orders = [
        ticket(order_type=OrderType.STOP, stop_price=Decimal(5), time_in_force=TimeInForce.AT_THE_OPEN),
        wanted(SecType.FUTURE, OrderType.MARKET, TimeInForce.DAY).model_copy(
            update={"quantity": Decimal("1.5")}
        ),
        wanted(SecType.CASH, OrderType.MARKET, TimeInForce.AT_THE_CLOSE),
        ticket(strategy="Sorcery"),
    ]
    answers = [await gateway.place(order) for order in orders]
    assert {status(answer) for answer in answers} == {PlacementStatus.REJECTED}
    assert all(answer.facts[0].reason for answer in answers)
    assert line.sent == []


def begins_to_trail(trail: dict[str, Decimal], trigger: Decimal, **terms: Any) -> PlacementTicket:
    """A Sell stop that begins to trail at `trigger`."""
    handling = Handling(adjustment=Adjustment(trigger_price=trigger, **trail))
    return ticket(direction=Direction.SELL, order_type=OrderType.STOP, handling=handling, **terms)


async def test_card_718(rig: Rig) -> None:
    gateway = await rig.gateway()
    future = {"instrument": FUTURE, "quantity": "2", "stop_price": Decimal(5900)}
    orders = [
        begins_to_trail({"trail_amount": Decimal("5.001")}, Decimal("240.001"), stop_price=Decimal(220)),
        begins_to_trail({"trail_percent": Decimal(1)}, Decimal("6000.10"), **future),
    ]
    assert set(await placed(gateway, orders)) == {WORKING}
    names = ("triggerPrice", "adjustedStopPrice", "adjustedTrailingAmount", "adjustableTrailingUnit")
    told = [tuple(rig.sent(order)[name] for name in names) for order in orders]
    assert told == [("240.01", "235", "5.01", "0"), ("6000.25", "5940", "1", "1")]
    assert {rig.sent(order)["adjustedOrderType"] for order in orders} == {"TRAIL"}
    change = orders[0].model_copy(update={"revision": 1, "stop_price": Decimal(221)})
    assert [fact.kind for fact in (await gateway.modify(change)).facts] == ["change_refused"]
    for symbol, prices in (("AAPL", ("230", "250", "244.99")), ("ES", ("5980", "6060", "5999.25"))):
        for price in prices:
            rig.paper.set_price(symbol, Decimal(price), Decimal(price) + Decimal("0.25"))
    await once(rig, *orders)
    assert [rig.executed(order)[0].price for order in orders] == [Decimal("244.99"), Decimal("5999.25")]
    assert [len(rig.wired(order)) for order in orders] == [1, 1]


async def test_card_719(rig: Rig) -> None:
    gateway = await rig.gateway()
    es = {"symbol": "ES", "sec_type": "FUT", "exchange": "SMART"}
    nothing = await gateway.describe(InstrumentQuestion(**es, contract_month="202504"))
    assert nothing.found == ()
    (terms,) = (await gateway.describe(InstrumentQuestion(**es, contract_month="202503"))).found
    assert (terms.exchange, str(terms.expiry), terms.multiplier) == ("CME", "2025-03-21", 50)
    order = ticket(instrument=Instrument(instrument_id="INS-ESH5", **dict(terms)), quantity="1")
    await gateway.place(order)
    await once(rig, order)
    sent = rig.sent(order)
    assert (sent["exchange"], sent["lastTradeDateOrContractMonth"]) == ("CME", "20250321")

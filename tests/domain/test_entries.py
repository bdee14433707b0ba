"""Entries of a command as orders: directions, exits, runners, and ids that are the same whenever they are asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from oms.domain import commands as cmd
from oms.domain.decide import Opening, opening_events
from oms.domain.drafting import nanoseconds
from oms.domain.errors import Code, Refused
from oms.domain.handling import Adjustment, BracketRole, OcaType
from oms.domain.identifiers import ORDER, is_identifier
from oms.domain.programs.entries import direction_of, openings, order_id, question
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.intake import ContractIn, SubmitOrders, payload
from oms.domain.programs.outcomes import CommandInput, Part, Prepared
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, InstrumentQuestion, InstrumentTerms
from oms.domain.terms import Automation, Direction, OrderType, Role, SecType, TimeInForce, Venue
from tests.domain.orders import AAPL, ACTORS, NOW, NS

TENANT = Tenant(tenant="nts", portfolio_id="PORT-001")
ACCOUNT = Account(account_id="ACCT-001", name="Main", broker_account="DU123456")
ASKED = CommandInput(
    message_id="1767625200000-0000000001",
    idem_key="oms:nts:demo",
    envelope="{}",
    actor=ACTORS[Role.PM],
    received_ns=NS,
    correlation_id="REQ-1",
)
BOTH = {"takeProfitPrice": "110", "stopLossPrice": "90"}


def submit(**entry: Any) -> SubmitOrders:
    """A BUY of 10 AAPL at the market; `asof` is the command's, `order` adds to the order, all else to the entry."""
    asof = entry.pop("asof", None)
    order = {"action": "BUY", "totalQuantity": 10, **entry.pop("order", {})}
    one = {"contract": {"secType": "STK", "symbol": "AAPL"}, "order": order, **entry}
    made = payload(CommandKind.SUBMIT, {"asof": asof, "orders": [one]})
    assert isinstance(made, SubmitOrders)
    return made


def prepared(*, held: int = 0, asked: CommandInput = ASKED, **entry: Any) -> Prepared:
    return openings(asked, submit(**entry), 0, TENANT, ACCOUNT, AAPL, Decimal(held))


def parts(made: Prepared) -> dict[Part, Opening]:
    assert made.openings[0][0] is Part.ENTRY, "parents before children"
    return dict(made.openings)


def terms(
    opening: Opening,
) -> tuple[Direction, Decimal, OrderType, Decimal | None, Decimal | None, TimeInForce]:
    one = opening.request
    return (
        one.direction,
        one.ordered_quantity,
        one.order_type,
        one.limit_price,
        one.stop_price,
        one.time_in_force,
    )


# -- the entry ---------------------------------------------------------------------------------------


def test_an_entry_alone_is_one_plain_order_that_says_where_it_comes_from() -> None:
    (opening,) = parts(prepared(refs={"case": "demo"}, order={"outsideRth": True})).values()
    request = opening.request
    assert terms(opening) == (Direction.BUY, 10, OrderType.MARKET, None, None, TimeInForce.DAY)
    assert (request.automation, request.client_order_id) == (Automation.STRAIGHT_THROUGH, None)
    assert request.route == cmd.Route(venue=Venue.IBKR, account="DU123456")
    assert request.handling.model_dump(exclude_defaults=True) == {"outside_rth": True}
    assert request.metadata == {
        "tenant": "nts",
        "command": "oms:nts:demo",
        "message_id": ASKED.message_id,
        "order_index": 0,
        "part": "entry",
        "exit_policy": "bracket",
        "asof": None,
        "refs": {"case": "demo"},
    }
    assert (opening.default_account_id, opening.ts_event_ns, opening.links) == ("ACCT-001", NS, ())
    (event,) = opening_events(opening, NOW)
    assert (event.actor.key, event.correlation_id) == ("pm-key", "REQ-1")


@pytest.mark.parametrize(
    ("action", "held", "expected"),
    [
        ("BUY", 0, Direction.BUY),
        ("BUY", 5, Direction.BUY),
        ("BUY", -5, Direction.BUY_TO_COVER),
        ("SELL", 5, Direction.SELL),
        ("SELL", 0, Direction.SELL_SHORT),
        ("SELL", -5, Direction.SELL_SHORT),
    ],
)
def test_the_order_books_word_is_by_what_is_held(action: str, held: int, expected: Direction) -> None:
    assert direction_of(action, Decimal(held)) is expected
    (opening,) = parts(prepared(held=held, order={"action": action})).values()
    assert opening.request.direction is expected


def test_a_limit_with_times_is_good_from_and_until() -> None:
    begins, ends = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    times = {"goodAfterTime": begins.isoformat(), "goodTillDate": "20260105 17:00:00"}
    order = {"orderType": "LMT", "lmtPrice": "99.5", "tif": "GTC", **times}
    (opening,) = parts(prepared(order=order)).values()
    assert terms(opening) == (Direction.BUY, 10, OrderType.LIMIT, Decimal("99.5"), None, TimeInForce.GTD)
    assert (opening.request.expires_at, opening.request.handling.good_after) == (ends, begins)


def test_asof_is_the_source_time_and_may_be_little_ahead() -> None:
    earlier = NOW - timedelta(minutes=3)
    (opening,) = parts(prepared(asof=earlier.isoformat())).values()
    assert opening.ts_event_ns == nanoseconds(earlier)
    assert opening.request.metadata["asof"] == "2026-01-05T14:57:00+00:00"
    assert prepared(asof=(NOW + timedelta(seconds=5)).isoformat())
    with pytest.raises(Refused) as told:
        prepared(asof=(NOW + timedelta(seconds=6)).isoformat())
    assert (told.value.code, told.value.facts["field"]) == (Code.VALIDATION_FAILED, "asof")


def test_an_order_that_would_end_before_it_came_is_refused_by_its_field() -> None:
    with pytest.raises(Refused) as told:
        prepared(order={"goodTillDate": NOW.isoformat()})
    assert told.value.facts["field"] == "orders.0.order.goodTillDate"
    late = ASKED.model_copy(update={"received_ns": NS - 1_000_000_000})
    assert prepared(asked=late, order={"goodTillDate": NOW.isoformat()}), "judged against when it came"


def test_what_makes_no_order_is_refused_with_its_entry() -> None:
    with pytest.raises(Refused) as told:
        openings(ASKED, submit(), 0, TENANT, _unnamed(), AAPL, Decimal(0))
    assert told.value.facts["field"] == "orders.0"


def _unnamed() -> Account:
    """An account as an older release could have kept it: the broker's name of it is empty."""
    return ACCOUNT.model_copy(update={"broker_account": ""})


# -- exits -------------------------------------------------------------------------------------------


def test_a_bracket_is_a_parent_with_two_exits_on_the_other_side() -> None:
    made = parts(prepared(bracket=BOTH))
    gain, loss = made[Part.TAKE_PROFIT], made[Part.STOP_LOSS]
    assert list(made) == [Part.ENTRY, Part.TAKE_PROFIT, Part.STOP_LOSS]
    assert terms(gain) == (Direction.SELL, 10, OrderType.LIMIT, 110, None, TimeInForce.GTC)
    assert terms(loss) == (Direction.SELL, 10, OrderType.STOP, None, 90, TimeInForce.GTC)
    roles = [one.request.handling.bracket and one.request.handling.bracket.role for one in made.values()]
    assert roles == [BracketRole.PARENT, BracketRole.CHILD, BracketRole.CHILD]
    assert {one.request.handling.bracket.size for one in made.values() if one.request.handling.bracket} == {3}
    assert (
        len(
            {one.request.handling.bracket.bracket_id for one in made.values() if one.request.handling.bracket}
        )
        == 1
    )
    assert [one.request.metadata["part"] for one in made.values()] == ["entry", "take_profit", "stop_loss"]
    assert all(one.request.handling.oca_group is None for one in made.values()), "the broker's own rule"


@pytest.mark.parametrize(
    ("action", "held", "out"),
    [
        ("BUY", 0, Direction.SELL),
        ("BUY", -9, Direction.SELL_SHORT),
        ("SELL", 9, Direction.BUY),
        ("SELL", 0, Direction.BUY_TO_COVER),
    ],
)
def test_exits_lead_back(action: str, held: int, out: Direction) -> None:
    made = parts(prepared(held=held, order={"action": action}, bracket={"stopLossPrice": "95"}))
    assert made[Part.STOP_LOSS].request.direction is out


def test_one_exit_alone_and_a_stop_with_a_limit_for_the_day() -> None:
    bracket = {"stopLossPrice": "90", "stopLossLimitPrice": "89.5", "tif": "DAY"}
    made = parts(prepared(bracket=bracket, order={"outsideRth": True, "goodAfterTime": NOW.isoformat()}))
    assert list(made) == [Part.ENTRY, Part.STOP_LOSS]
    loss = made[Part.STOP_LOSS]
    assert terms(loss) == (
        Direction.SELL,
        10,
        OrderType.STOP_LIMIT,
        Decimal("89.5"),
        90,
        TimeInForce.DAY,
    )
    handling = loss.request.handling
    assert (handling.outside_rth, handling.good_after) == (True, None)
    assert handling.bracket is not None
    assert handling.bracket.size == 2


def test_a_runner_trails_from_the_first_target_on_and_the_pair_is_for_the_rest() -> None:
    runner = {"quantity": 3, "trailAmount": "1.5"}
    made = parts(prepared(bracket=BOTH, runner=runner, exit_policy="runner"))
    assert list(made) == [Part.ENTRY, Part.TAKE_PROFIT, Part.STOP_LOSS, Part.RUNNER]
    gain, loss, run = (made[part].request for part in (Part.TAKE_PROFIT, Part.STOP_LOSS, Part.RUNNER))
    assert (gain.ordered_quantity, loss.ordered_quantity, run.ordered_quantity) == (7, 7, 3)
    assert terms(made[Part.RUNNER]) == (Direction.SELL, 3, OrderType.STOP, None, 90, TimeInForce.GTC)
    assert run.handling.adjustment == Adjustment(trigger_price=Decimal(110), trail_amount=Decimal("1.5"))
    assert gain.handling.oca_group == loss.handling.oca_group != None  # noqa: E711 - named, and the same name
    assert (gain.handling.oca_type, run.handling.oca_group) == (OcaType.REDUCE, None)
    assert {one.request.handling.bracket.size for one in made.values() if one.request.handling.bracket} == {4}
    in_percent = parts(
        prepared(bracket=BOTH, runner={"quantity": 3, "trailPercent": "2"}, exit_policy="runner")
    )
    assert in_percent[Part.RUNNER].request.handling.adjustment == Adjustment(
        trigger_price=Decimal(110), trail_percent=Decimal(2)
    )


@pytest.mark.parametrize(
    ("entry", "detail", "count"),
    [
        ({"exit_policy": "bracket"}, None, 1),
        ({"exit_policy": "none"}, None, 1),
        ({"exit_policy": "none", "bracket": BOTH}, "exit_policy none: bracket not applied", 1),
        (
            {"exit_policy": "none", "bracket": BOTH, "runner": {"quantity": 1, "trailAmount": 1}},
            "exit_policy none: bracket and runner not applied",
            1,
        ),
        (
            {"bracket": BOTH, "runner": {"quantity": 1, "trailAmount": 1}},
            "exit_policy bracket: runner not applied",
            3,
        ),
    ],
)
def test_what_the_policy_leaves_out_is_said(entry: dict[str, Any], detail: str | None, count: int) -> None:
    made = prepared(**entry)
    assert (made.detail, len(made.openings)) == (detail, count)


# -- once --------------------------------------------------------------------------------------------


def test_the_same_command_has_the_same_orders_and_another_has_others() -> None:
    entry = {"bracket": BOTH, "runner": {"quantity": 1, "trailAmount": 1}, "exit_policy": "runner"}
    assert prepared(**entry) == prepared(**entry)
    ids = [opening.order_id for _, opening in prepared(**entry).openings]
    other = ASKED.model_copy(update={"idem_key": "oms:nts:other"})
    others = [opening.order_id for _, opening in prepared(asked=other, **entry).openings]
    second = [order_id(ASKED, 1, part) for part in Part]
    everything = [*ids, *others, *second]
    assert len(set(everything)) == len(everything)
    assert all(is_identifier(ORDER, one) for one in everything)
    groups = [o.request.handling.bracket for _, o in prepared(asked=other, **entry).openings]
    assert {g.bracket_id for g in groups if g}.isdisjoint(
        {
            o.request.handling.bracket.bracket_id
            for _, o in prepared(**entry).openings
            if o.request.handling.bracket
        }
    )


# -- the instrument ----------------------------------------------------------------------------------


def asked_for(**fields: Any) -> InstrumentQuestion:
    return question(ContractIn.model_validate(fields))


def test_a_contract_is_a_question_for_an_instrument() -> None:
    es = asked_for(symbol="ES", lastTradeDateOrContractMonth="202503")
    assert es == InstrumentQuestion(
        symbol="ES", sec_type=SecType.FUTURE, contract_month="202503", currency="USD"
    )
    on_a_day = asked_for(symbol="ES", lastTradeDateOrContractMonth="20250321", exchange="CME")
    assert (on_a_day.expiry, on_a_day.contract_month, on_a_day.exchange) == (
        datetime(2025, 3, 21, tzinfo=UTC).date(),
        None,
        "CME",
    )
    stock = asked_for(symbol="AAPL", secType="STK", lastTradeDateOrContractMonth="")
    assert (stock.exchange, stock.expiry) == ("SMART", None)
    assert asked_for(symbol="ES", conId=495512563).conid == 495512563


@pytest.mark.parametrize("when", ["202513", "20250230"])
def test_a_month_or_a_day_that_is_none_is_refused(when: str) -> None:
    with pytest.raises(Refused) as told:
        asked_for(symbol="ES", lastTradeDateOrContractMonth=when)
    assert told.value.facts["field"] == "contract.lastTradeDateOrContractMonth"


def test_a_contract_month_is_told_by_the_venue_and_never_read_off_the_last_day() -> None:
    oil = InstrumentTerms(
        symbol="CL", sec_type=SecType.FUTURE, exchange="NYMEX", expiry="2025-02-20", contract_month="202503"
    )
    march = asked_for(symbol="CL", lastTradeDateOrContractMonth="202503")
    assert march.fits(oil)
    april = oil.model_copy(
        update={"expiry": datetime(2025, 3, 20, tzinfo=UTC).date(), "contract_month": None}
    )
    assert not march.fits(april)

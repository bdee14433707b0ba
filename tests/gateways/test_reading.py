"""IBKR's words as ours, without a connection."""

from decimal import Decimal

import pytest
from tests.gateways.rig import ticket

from oms.domain.facts import PlacementReported
from oms.domain.handling import Handling
from oms.domain.terms import OrderType, PlacementStatus, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.messages import OrderShown, StatusShown, decimal_of
from oms.gateways.ibkr.reading import disagreement, placement_status, report, shows, status_key
from oms.gateways.ibkr.records import Record

DAY = TimeInForce.DAY


def shown(
    status: str, *, filled: str = "0", why_held: str = "", perm_id: int = 5, text: str | None = None
) -> StatusShown:
    return StatusShown(1, 2, perm_id, status, Decimal(filled), why_held, 9, text)


def order(status: str, placement: PlacementTicket, **changes: object) -> OrderShown:
    fields: dict[str, object] = {
        "client_id": 1,
        "order_id": 2,
        "perm_id": 5,
        "order_ref": placement.order_ref,
        "account": placement.account,
        "action": "BUY",
        "quantity": placement.quantity,
        "status": status,
        "completed": False,
        "filled": None,
        "text": None,
        "received_ns": 9,
    }
    return OrderShown(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "why_held", "ours"),
    [
        ("ApiPending", "", PlacementStatus.SENT),
        ("PendingSubmit", "", PlacementStatus.SENT),
        ("PreSubmitted", "", PlacementStatus.WORKING),
        ("PreSubmitted", "trigger", PlacementStatus.WORKING),
        ("PreSubmitted", "locate", PlacementStatus.HELD),
        ("Submitted", "", PlacementStatus.WORKING),
        ("PendingCancel", "", None),
        ("Cancelled", "", PlacementStatus.CANCELED),
        ("ApiCancelled", "", PlacementStatus.CANCELED),
        ("Filled", "", PlacementStatus.FILLED),
        ("Inactive", "", PlacementStatus.REJECTED),
        ("Inactive", "locate", PlacementStatus.HELD),
    ],
)
def test_statuses(status: str, why_held: str, ours: PlacementStatus | None) -> None:
    assert placement_status(status, why_held, None, DAY) == ours


def test_a_status_nobody_has_heard_of_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="Sideways"):
        placement_status("Sideways", "", None, DAY)


@pytest.mark.parametrize(
    ("text", "time_in_force", "ours"),
    [
        ("202: Order Canceled - reason:", DAY, PlacementStatus.CANCELED),
        ("202: Order Canceled - reason:order expired", DAY, PlacementStatus.EXPIRED),
        (None, TimeInForce.IOC, PlacementStatus.EXPIRED),
        (None, TimeInForce.FOK, PlacementStatus.EXPIRED),
        (None, TimeInForce.GTC, PlacementStatus.CANCELED),
    ],
)
def test_what_ibkr_calls_cancelled_may_have_expired(
    text: str | None, time_in_force: TimeInForce, ours: PlacementStatus
) -> None:
    assert placement_status("Cancelled", "", text, time_in_force) is ours


def test_a_report_says_what_the_venue_claims() -> None:
    placement = ticket()
    fact = report(shown("Cancelled", filled="4", text="202: x"), placement, (5, 6))
    assert fact == PlacementReported(
        placement_id=placement.placement_id,
        status=PlacementStatus.CANCELED,
        filled_quantity=Decimal(4),
        venue_order_ids=("5", "6"),
        reason="202: x",
        ts_event_ns=9,
        ts_init_ns=9,
    )


@pytest.mark.parametrize("status", ["Inactive", "Cancelled", "Filled", "PendingCancel"])
def test_an_open_order_never_ends_a_placement(status: str) -> None:
    placement = ticket()
    assert report(order(status, placement), placement, ()) is None
    completed = order(status, placement, completed=True, filled=Decimal(10))
    assert (report(completed, placement, ()) is None) == (status == "PendingCancel")


def test_the_same_status_again_has_the_same_key() -> None:
    nothing, doubted = Record(), Record(doubts=1)
    assert (
        status_key(shown("Submitted"), nothing)
        == status_key(shown("Submitted"), nothing)
        == "status/5/Submitted/0"
    )
    assert status_key(shown("Submitted", filled="4.0"), nothing) == "status/5/Submitted/4"
    assert status_key(shown("Submitted", perm_id=0), nothing) == "status/1:2/Submitted/0"
    assert status_key(shown("Inactive", why_held="locate"), nothing) == "status/5/Inactive+locate/0"
    assert status_key(shown("Submitted"), doubted) != status_key(shown("Submitted"), nothing)
    assert status_key(order("Submitted", ticket()), nothing) == status_key(shown("Submitted"), nothing)


def test_an_order_that_is_not_the_one_we_sent_is_named() -> None:
    placement = ticket(quantity="10")
    assert disagreement(order("Submitted", placement), placement) is None
    wrong = disagreement(order("Submitted", placement, quantity=Decimal(100), action="SELL"), placement)
    assert "quantity 100, not 10" in (wrong or "")
    assert "side SELL, not BUY" in (wrong or "")
    assert disagreement(order("Filled", placement, quantity=Decimal(0), completed=True), placement) is None


def test_another_contract_is_another_order() -> None:
    placement = ticket()
    there = order("Submitted", placement, conid=272093)
    assert "contract 272093, not 265598" in (disagreement(there, placement, conid=265598) or "")
    assert disagreement(there, placement) is None
    assert disagreement(order("Submitted", placement), placement, conid=265598) is None


def test_a_quantity_may_be_that_of_a_change_and_less_in_a_group() -> None:
    placement = ticket(quantity="10")
    less = order("Submitted", placement, quantity=Decimal(4))
    assert disagreement(less, placement, quantities=[ticket(quantity="4")]) is None
    assert disagreement(less, placement, quantities=[ticket(quantity="5")]) is not None
    grouped = ticket(quantity="10", handling=Handling(oca_group="g"))
    assert disagreement(less, grouped) is None
    more = order("Submitted", grouped, quantity=Decimal(11))
    assert disagreement(more, grouped) is not None


AMOUNT = Handling(trail_amount=Decimal("0.5"))
PERCENT = Handling(trail_percent=Decimal(2), limit_offset=Decimal("0.1"))


@pytest.mark.parametrize(
    ("terms", "there", "same"),
    [
        ({"order_type": OrderType.MARKET}, {}, True),
        ({"order_type": OrderType.LIMIT, "limit_price": Decimal(5)}, {"limit_price": Decimal("5.00")}, True),
        ({"order_type": OrderType.LIMIT, "limit_price": Decimal(5)}, {"limit_price": Decimal(6)}, False),
        ({"order_type": OrderType.LIMIT, "limit_price": Decimal(5)}, {}, False),
        ({"order_type": OrderType.STOP, "stop_price": Decimal(5)}, {"aux_price": Decimal(5)}, True),
        ({"order_type": OrderType.STOP, "stop_price": Decimal(5)}, {"aux_price": Decimal(6)}, False),
        ({"order_type": OrderType.MID_PRICE}, {}, True),
        ({"order_type": OrderType.MID_PRICE}, {"limit_price": Decimal(1)}, False),
        (
            {"order_type": OrderType.TRAILING_STOP, "handling": AMOUNT, "stop_price": Decimal(5)},
            {"aux_price": Decimal("0.5"), "trail_stop": Decimal(7)},
            True,
        ),
        ({"order_type": OrderType.TRAILING_STOP, "handling": AMOUNT}, {"aux_price": Decimal("0.6")}, False),
        (
            {"order_type": OrderType.TRAILING_STOP_LIMIT, "handling": PERCENT},
            {"trail_percent": Decimal("2.0"), "limit_offset": Decimal("0.1")},
            True,
        ),
        (
            {"order_type": OrderType.TRAILING_STOP_LIMIT, "handling": PERCENT},
            {"trail_percent": Decimal(2), "limit_offset": Decimal("0.2")},
            False,
        ),
    ],
)
def test_whether_an_open_order_has_the_terms(
    terms: dict[str, object], there: dict[str, object], same: bool
) -> None:
    placement = ticket(**terms)
    assert shows(order("Submitted", placement, **there), placement) is same
    assert shows(order("Submitted", placement, **there, quantity=Decimal(3)), placement) is False


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (100.0, "100.0"), (1e-05, "0.00001"), (228.52, "228.52")]
)
def test_floats_become_the_decimals_that_were_written(value: float, text: str) -> None:
    assert decimal_of(value) == Decimal(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.7976931348623157e308])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not a number"):
        decimal_of(value)

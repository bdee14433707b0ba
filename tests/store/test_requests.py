"""Orders that wait for a verdict from outside, and limits that are over, as the store has them."""

from datetime import timedelta

from tests.store.building import NOON, Tale, straight_through

from oms.domain import commands as cmd
from oms.domain.terms import ComplianceMode
from oms.store import Store
from oms.store.requests import open_requests


def test_requests_are_those_of_external_orders_that_wait(store: Store) -> None:
    external = {"compliance": ComplianceMode.EXTERNAL}
    later = Tale(at=NOON + timedelta(minutes=1), **external).do(cmd.RequestPreTradeCompliance())
    first = Tale(**external).do(cmd.RequestPreTradeCompliance())
    noted = cmd.UpdateOrder(changes=cmd.OrderChanges(metadata={"compliance": "builtin"}))
    first.do(noted).recorded(store)
    later.recorded(store)
    Tale(metadata={"compliance": "external"}).do(cmd.RequestPreTradeCompliance()).recorded(store)
    Tale(**external).recorded(store)
    Tale(**external).do(cmd.RequestPreTradeCompliance(), cmd.PassPreTradeCompliance()).recorded(store)
    found = open_requests(store.database)
    assert [(one.order_id, one.gate, one.version) for one in found] == [
        (first.id, "pre_trade", 2),
        (later.id, "pre_trade", 2),
    ]
    assert found[0].since == NOON + timedelta(seconds=1)
    assert open_requests(store.database, ["PORT-001"]) == found
    assert open_requests(store.database, ["PORT-002"]) == []
    assert open_requests(store.database, []) == []


def test_asked_again_it_waits_since_the_last_time(store: Store) -> None:
    tale = Tale(compliance=ComplianceMode.EXTERNAL).do(cmd.RequestPreTradeCompliance())
    tale.do(cmd.UpdateOrder(changes=cmd.OrderChanges(ordered_quantity="50")))
    tale.do(cmd.RequestPreTradeCompliance()).recorded(store)
    (found,) = open_requests(store.database)
    assert (found.version, found.since) == (4, NOON + timedelta(seconds=3))


def test_the_gate_after_the_trade_is_named(store: Store) -> None:
    tale = Tale(compliance=ComplianceMode.EXTERNAL).placed().filled()
    tale.do(cmd.CloseOrder(), cmd.SendToOperations(allocation_id="ALC-1"), cmd.RequestPostTradeCompliance())
    tale.recorded(store)
    straight_through().recorded(store)
    (found,) = open_requests(store.database)
    assert (found.order_id, found.gate, found.version) == (tale.id, "post_trade", tale.order.version)

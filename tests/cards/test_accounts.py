"""CARD-901 to CARD-905: accounts and sessions."""

import pytest

from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.paper.ib_gateway import PaperIBGateway
from oms.store import IntentState
from tests.cards.doing import filled, once, working
from tests.cards.line import Line
from tests.gateways.rig import Rig, eventually, reason, status, ticket


async def test_card_901(rig: Rig) -> None:
    paper = PaperIBGateway(accounts=("DU1", "DU2"), market=rig.paper._settings)
    await paper.start()
    rig.paper = paper
    gateway = await rig.gateway(port=paper.port)
    orders = [ticket(account=account) for account in ("DU1", "DU2")]
    for order in orders:
        await gateway.place(order)
    await once(rig, *orders)
    assert [rig.executed(order)[0].account for order in orders] == ["DU1", "DU2"]
    await gateway.stop()
    await paper.stop()


async def test_card_902(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = ticket(account="DU999999")
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.REJECTED
    assert "DU999999" in reason(answer)
    assert line.sent == []


async def test_card_903(rig: Rig) -> None:
    first = await rig.gateway()
    second = await rig.gateway(name="ibkr-2", client_id=2)
    mine, theirs = await working(rig, first), await working(rig, second, symbol="MSFT")
    for gateway in (first, second):
        await gateway.reconcile()
    for order, name in ((mine, "ibkr"), (theirs, "ibkr-2")):
        assert rig.intent(order).gateway == name
        assert rig.state(order) is IntentState.ACKNOWLEDGED
        assert rig.orders.statuses(order) == [PlacementStatus.WORKING]
    assert rig.store.inbox.parked() == []


async def test_card_904(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, accounts=("DU123456", "DU999999"))
    await gateway.resync()
    health = {each.account: each for each in (await gateway.status()).per_account}
    ours, theirs = health["DU123456"], health["DU999999"]
    assert (ours.served, ours.detail) == (True, None)
    assert ours.compared_ns is not None
    assert theirs.compared_ns is None
    assert "does not manage it" in (theirs.detail or "")
    order = ticket(account="DU999999")
    with pytest.raises(GatewayNotReady, match="DU999999"):
        await gateway.place(order)
    assert (line.sent, rig.intent(order)) == ([], None)
    await filled(rig, gateway)


async def test_card_905(rig: Rig) -> None:
    first = await rig.gateway(accounts=("DU123456",))
    second = await rig.gateway(name="ibkr-2", client_id=2, accounts=("DU123456",))
    assert (first.served, second.served) == ({"DU123456"}, frozenset())
    (health,) = (await second.status()).per_account
    assert (health.served, "ibkr" in (health.detail or "")) == (False, True)
    await first.stop()
    await eventually(lambda: second.served == {"DU123456"})
    assert first.served == frozenset()

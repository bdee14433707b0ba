"""The business invariants over HTTP and for Prometheus."""

from datetime import UTC, datetime, timedelta

from oms.domain.findings import MEANING, Invariant, Suspect
from tests.api.desk import Desk

LATER = timedelta(days=1)


async def test_a_breach_is_an_alarm_until_it_is_gone(desk: Desk) -> None:
    findings, now = desk.context.store.findings, datetime.now(UTC) + LATER
    listed = (await desk.get("/v1/invariants")).json()["items"]
    assert [(item["name"], item["meaning"]) for item in listed] == [(i.value, MEANING[i]) for i in Invariant]
    assert not any(item["broken"] for item in listed)
    broken = [
        Suspect(name=Invariant.FILLS, order_id=f"ORD-{n}", detail="fills add up to 1, 2 is executed")
        for n in range(30)
    ]
    findings.keep(broken, now)
    listed = {item["name"]: item for item in (await desk.get("/v1/invariants")).json()["items"]}
    fills = listed.pop("fills")
    assert (fills["broken"], len(fills["examples"])) == (True, 20)
    assert fills["examples"][0] == {"order_id": "ORD-0", "detail": "fills add up to 1, 2 is executed"}
    assert "30 order(s)" in fills["detail"]
    assert fills["since"] == fills["checked_at"]
    assert not any(item["broken"] for item in listed.values())
    metrics = (await desk.client.get("/metrics")).text
    assert 'oms_invariant_broken{name="fills"} 1.0' in metrics
    assert 'oms_invariant_broken{name="allocations"} 0.0' in metrics
    findings.keep((), now + timedelta(seconds=1))
    listed = {item["name"]: item for item in (await desk.get("/v1/invariants")).json()["items"]}
    assert (listed["fills"]["broken"], listed["fills"]["since"], listed["fills"]["examples"]) == (
        False,
        None,
        [],
    )
    assert 'oms_invariant_broken{name="fills"} 0.0' in (await desk.client.get("/metrics")).text


async def test_a_key_to_some_portfolios_does_not_see_orders_of_others(desk: Desk) -> None:
    refused = await desk.get("/v1/invariants", "secret-second")
    assert (refused.status_code, refused.json()["code"]) == (403, "NOT_AUTHORIZED")

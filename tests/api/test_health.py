"""Alive, ready, measured: open to everybody."""

import time

from oms.store import GatewayReport
from tests.api.desk import Desk


def report(**changes: object) -> GatewayReport:
    told = {
        "name": "ibkr-test",
        "venue": "IBKR",
        "accounts": ("DU001456",),
        "connected": True,
        "gate_open": True,
        "updated_ns": time.time_ns(),
    }
    return GatewayReport.model_validate({**told, **changes})


async def test_health_is_open(desk: Desk) -> None:
    answer = await desk.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": "1.2.3"})


async def test_readiness_names_the_part_that_is_not(desk: Desk) -> None:
    ready = await desk.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    gateways = desk.context.store.gateways
    gateways.report(report(updated_ns=time.time_ns() - 60_000_000_000))
    old = await desk.client.get("/readyz")
    assert (old.status_code, old.json()["parts"]["gateway:ibkr-test"]["ready"]) == (503, False)
    assert "retry-after" in old.headers
    gateways.report(report(gate_open=False, detail="not in sync"))
    shut = await desk.client.get("/readyz")
    assert shut.json()["parts"]["gateway:ibkr-test"]["detail"] == "not in sync"
    gateways.report(report(in_doubt=2))
    assert (await desk.client.get("/readyz")).status_code == 200


async def test_metrics_count_requests_and_orders(desk: Desk) -> None:
    await desk.order()
    await desk.client.get("/v1/nothing")
    desk.context.store.gateways.report(report(in_doubt=3))
    text = (await desk.client.get("/metrics")).text
    assert 'oms_requests_total{method="POST",route="/v1/orders",status="201"}' in text
    assert 'oms_orders{state="CREATED"}' in text
    assert 'oms_gateway_in_doubt{gateway="ibkr-test"} 3.0' in text
    assert 'route="(no such path)",status="404"' in text
    assert "ORD-" not in text

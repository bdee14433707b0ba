"""A portfolio of its own with one instrument at a price of 100, for the tests of compliance."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from oms.domain.terms import Role
from tests.api.desk import Desk, executed

COMPLIANCE = "/v1/compliance"


@dataclass
class Held:
    """A portfolio of its own with one instrument at a price of 100."""

    desk: Desk
    portfolio_id: str
    instrument_id: str

    async def rule(self, rule_type: str, parameters: dict[str, Any], **more: Any) -> str:
        body = {"rule_type": rule_type, "parameters": parameters, "target_accounts": [self.portfolio_id]}
        answer = await self.desk.post(f"{COMPLIANCE}/rules", {**body, **more}, Role.COMPLIANCE)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["rule_id"])

    async def quote(self, price: str) -> None:
        quoted = {"instrument_id": self.instrument_id, "price": price}
        answer = await self.desk.ask(Role.OPS, "PUT", "/v1/prices", {"prices": [quoted]})
        assert answer.status_code == 200, answer.text

    async def what_if(self, *orders: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self.desk.post(
            f"{COMPLIANCE}/what-if", {"proposed_orders": [self.order(**order) for order in orders]}
        )
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def order(self, **terms: Any) -> dict[str, Any]:
        return {
            "portfolio_id": self.portfolio_id,
            "instrument_id": self.instrument_id,
            "direction": "Buy",
            "ordered_quantity": "100",
            **terms,
        }

    async def headroom(self, rule_id: str | None = None) -> httpx.Response:
        asked = f"&rule_id={rule_id}" if rule_id else ""
        return await self.desk.get(f"{COMPLIANCE}/headroom?portfolio_id={self.portfolio_id}{asked}")

    async def holds(self, quantity: str) -> None:
        """Have `quantity` executed in the portfolio."""
        terms = {"portfolio_id": self.portfolio_id, "instrument_id": self.instrument_id}
        order_id, placement_id = await self.desk.routed(
            **terms,
            ordered_quantity=quantity,
            limit_price="100",
            route={"venue": "IBKR", "account": "DU001456"},
        )
        await self.desk.venue_says(order_id, *executed(placement_id, quantity, "100"))
        await self.desk.reads(order_id, lambda order: order["executed_quantity"] == quantity)


async def new_held(desk: Desk) -> Held:
    """A new one, with a net asset value of a million."""
    name = uuid.uuid4().hex[:8]
    portfolio = {
        "portfolio_id": f"PORT-{name}",
        "name": name,
        "net_asset_value": "1000000",
        "default_account_id": "ACCT-001",
    }
    assert (await desk.post("/v1/portfolios", portfolio)).status_code == 201
    made = await desk.post("/v1/instruments", {"symbol": name.upper(), "issuer": f"Issuer {name}"})
    found = Held(desk, portfolio["portfolio_id"], made.json()["instrument_id"])
    await found.quote("100")
    return found

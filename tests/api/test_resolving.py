"""A symbol that nobody described, looked up at the paper broker: through Temporal, the gateway and TCP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from oms.activities.contracts import ContractActivities
from oms.api.access import EVERYTHING
from oms.api.app import create_app
from oms.api.context import APIContext
from oms.api.new_order import InstrumentRef, NewOrder
from oms.api.resolving import resolve_symbol, with_known_instrument
from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.reference import Account, InstrumentQuestion, InstrumentsFound, InstrumentTerms, Portfolio
from oms.domain.terms import Role
from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.gateways.ibkr.contracts import Contracts
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import Store
from oms.workflows.contract import DESK_QUEUE, gateway_queue
from oms.workflows.resolving import ResolveInstrument
from tests.stack import temporal_server

ACCOUNT = "DU123456"
DOUBTFUL = "DU-doubtful"
SECRET = "secret-of-the-look-up"


@dataclass
class OnTheWire:
    """Looks up over the gateway's own session, and counts."""

    gateway: IBKRGateway
    asked: list[str] = field(default_factory=list)

    async def describe(self, question: InstrumentQuestion) -> InstrumentsFound:
        self.asked.append(question.symbol)
        return await Contracts(self.gateway._wire.contract_details).described(question)


class TwoOfEach:
    """A broker with two contracts under every symbol, which the paper broker has not."""

    async def describe(self, question: InstrumentQuestion) -> InstrumentsFound:
        found = [InstrumentTerms(symbol=question.symbol, currency=each) for each in ("CAD", "USD")]
        fitting = tuple(terms for terms in found if question.fits(terms))
        return InstrumentsFound(found=fitting, count=len(fitting))


@dataclass
class Rig:
    """What a look-up goes through."""

    client: Client
    store: Store
    paper: PaperIBGateway
    gateway: IBKRGateway
    wire: OnTheWire

    async def resolve(self, symbol: str, account: str = ACCOUNT, **terms: object) -> str:
        ref = InstrumentRef(symbol=symbol, **terms)  # type: ignore[arg-type]
        return (await resolve_symbol(self.client, self.store, ref, account)).instrument_id

    async def refused(self, symbol: str, account: str = ACCOUNT, **terms: object) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.resolve(symbol, account, **terms)
        return caught.value


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("resolving")
    store = Store(f"sqlite:///{folder / 'oms.db'}")
    store.migrate()
    store.keys.create("pm", [Role.PM], SECRET)
    paper = PaperIBGateway(state_file=folder / "paper.db", market=MarketSettings(moving=False))
    await paper.start()
    settings = IBKRSettings(
        port=paper.port, accounts=(ACCOUNT,), backoff_seconds=0.2, request_timeout_seconds=2
    )
    gateway = IBKRGateway(settings, store, lambda _order_id, _facts: asyncio.sleep(0, True))
    await gateway.start()
    wire = OnTheWire(gateway)
    async with temporal_server() as server:
        client = await server.client()
        workers = [
            Worker(
                client,
                task_queue=DESK_QUEUE,
                workflows=[ResolveInstrument],
                workflow_runner=UnsandboxedWorkflowRunner(),
            ),
            Worker(
                client,
                task_queue=gateway_queue("IBKR", ACCOUNT),
                activities=[ContractActivities(wire).describe_instrument],
            ),
            Worker(
                client,
                task_queue=gateway_queue("IBKR", DOUBTFUL),
                activities=[ContractActivities(TwoOfEach()).describe_instrument],
            ),
        ]
        async with workers[0], workers[1], workers[2]:
            await asyncio.wait_for(gateway.ready(), 10)
            yield Rig(client, store, paper, gateway, wire)
    await gateway.stop()
    await paper.stop()
    store.close()


async def test_a_symbol_becomes_an_instrument_once(rig: Rig) -> None:
    first = await rig.resolve("MSFT")
    kept = rig.store.reference.instrument(first)
    assert kept is not None
    assert (kept.conid, kept.primary_exchange, kept.issuer) == (272093, "NASDAQ", "MICROSOFT CORP")
    assert await rig.resolve("MSFT", currency="USD") == first


async def test_many_who_ask_at_once_get_one_instrument(rig: Rig) -> None:
    ids = await asyncio.gather(*(rig.resolve("ORCL") for _ in range(20)))
    assert len(set(ids)) == 1
    assert rig.wire.asked.count("ORCL") < 20


async def test_a_symbol_that_nobody_knows(rig: Rig) -> None:
    refused = await rig.refused("NOPE")
    assert (refused.code, refused.facts["field"]) == (Code.INVALID_INSTRUMENT, "instrument")
    assert "IBKR knows none" in refused.message


async def test_what_is_not_known_is_named_as_it_was_asked_for(rig: Rig) -> None:
    """Another month of the same future may well be known."""
    refused = await rig.refused("NOPE", sec_type="FUT", expiry="2099-03-01")
    assert refused.message.startswith("'NOPE' (FUT, 2099-03-01) is not a known instrument")


async def test_several_that_fit_are_named(rig: Rig) -> None:
    refused = await rig.refused("RY", DOUBTFUL)
    assert refused.code is Code.INVALID_INSTRUMENT
    assert [candidate["currency"] for candidate in refused.facts["candidates"]] == ["CAD", "USD"]
    assert refused.facts["count"] == 2
    assert rig.store.reference.instruments(symbol="RY").items == ()
    assert await rig.resolve("RY", DOUBTFUL, currency="CAD")


async def test_an_account_without_a_gateway_is_no_wrong_refusal(rig: Rig) -> None:
    assert (await rig.refused("NFLX", "DU-nobody")).code is Code.UNAVAILABLE


async def test_an_order_names_a_symbol_that_nobody_described(rig: Rig) -> None:
    rig.store.reference.put_account(Account(account_id="A1", name="Main", broker_account=ACCOUNT))
    rig.store.reference.put_account(Account(account_id="A2", name="Other", broker_account="DU-nobody"))
    for number in ("1", "2"):
        fund = Portfolio(portfolio_id=f"P{number}", name="Fund", default_account_id=f"A{number}")
        rig.store.reference.put_portfolio(fund)
    terms = {
        "instrument": {"symbol": "AMZN"},
        "direction": "Buy",
        "ordered_quantity": "1",
        "order_type": "Market",
        "time_in_force": "Day",
    }
    manager, viewer = Actor(key="pm", roles=(Role.PM,)), Actor(key="viewer", roles=(Role.VIEWER,))

    async def known(portfolio_id: str, actor: Actor = manager) -> NewOrder:
        new = NewOrder.model_validate({"portfolio_id": portfolio_id, **terms})
        return await with_known_instrument(rig.client, rig.store, new, actor, EVERYTHING)

    for new in (await known("P1", viewer), await known("P2"), await known("P3")):
        assert new.instrument_id is None
    assert "AMZN" not in rig.wire.asked
    described = await known("P1")
    assert described.instrument is None
    kept = rig.store.reference.instrument(described.instrument_id or "")
    assert kept is not None
    assert kept.symbol == "AMZN"
    assert (await known("P1")).instrument_id is None, "it is known now, so nothing is looked up"
    assert rig.wire.asked.count("AMZN") == 1


async def test_over_http(rig: Rig) -> None:
    app = create_app(APIContext(store=rig.store, temporal=rig.client, version="1"))
    headers = {"X-API-Key": SECRET}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://oms", headers=headers
    ) as client:
        body = {"symbol": "ES", "sec_type": "FUT"}
        made = await client.post("/v1/instruments/resolve", json=body)
        assert (made.status_code, made.json()["multiplier"]) == (201, "50"), made.text
        assert (await client.get(made.headers["location"])).json() == made.json()
        known = await client.post("/v1/instruments/resolve", json=body)
        assert (known.status_code, known.json()) == (200, made.json())
        unknown = await client.post("/v1/instruments/resolve", json={"symbol": "NOPE"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "INVALID_INSTRUMENT")
        await rig.paper.stop()
        away = await client.post("/v1/instruments/resolve", json={"symbol": "IBM"})
        assert (away.status_code, away.json()["code"]) == (503, "UNAVAILABLE"), away.text
        assert int(away.headers["retry-after"]) > 0
        assert rig.store.reference.instruments(symbol="IBM").items == ()

"""The OpenAPI document: complete, and what a fuzzer finds when it takes it at its word."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from oms.api.app import create_app
from oms.domain.errors import MEANING, Code
from oms.domain.programs.tenants import Tenant
from oms.domain.terms import Role
from oms.store import Store
from tests.api.conftest import describe
from tests.api.desk import Desk, serving

BOOK = {
    "CreateOrder", "ListOrders", "GetOrder", "UpdateOrder", "CancelOrder", "CloseOrder", "SendToTrader",
    "SendToOperations", "ConfirmOrder", "SettleOrder", "ReconcileOrder", "RequestPreTradeCompliance",
    "PassPreTradeCompliance", "FailPreTradeCompliance", "OverridePreTradeCompliance",
    "RequestPostTradeCompliance", "PassPostTradeCompliance", "FailPostTradeCompliance",
    "OverridePostTradeCompliance", "CreatePlacement", "CancelPlacement", "CreateAllocation", "UpdateAllocation",
}  # fmt: skip
FUZZER = "secret-fuzzer"
PROGRAM = "secret-fuzzing-program"
"""A key for the fuzzer's own tenant alone: what it flattens is nobody else's."""
FUZZED = {"/v1/": FUZZER, "/oms/": PROGRAM, "/ib/": PROGRAM}
"""By where a path begins: the key that it is fuzzed with."""
EXAMPLES = 6
WALKS, STEPS = 25, 12
schemathesis.openapi.format(
    "decimal",
    st.one_of(
        st.decimals(min_value="0.000001", max_value=10**12, places=6).map(str),
        st.sampled_from(["0", "-1", "1e3", "1E-19", "NaN", "9" * 40, "1_000", " 5 ", "1e9999999"]),
    ),
)
ELSEWHERE = {"/v1/stream", "/v1/compliance/events", "/v1/instruments/resolve"}
"""Answers without end, and the look-up at the broker, which waits for a gateway: they have tests of their own."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module", autouse=True)
def _left_as_it_was(store: Store) -> Iterator[None]:
    """The stack is shared: what a fuzzer made of accounts, halts and rules ends with this file."""
    yield
    describe(store)
    for halt in store.halts.all():
        store.halts.lift(halt.scope, halt.subject, "test", "the fuzzer is done")
    for rule in store.rules.list(limit=500, active=True).items:
        store.rules.deactivate(rule.rule_id)


async def test_every_operation_has_the_order_books_own_name(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert set(names) >= BOOK
    assert set(document["components"]["securitySchemes"]) == {"Bearer", "ApiKey", "ApiToken"}


async def test_every_route_documents_its_refusals(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["tags"], path
            assert operation.get("summary") or operation.get("description"), path
            if not path.startswith(tuple(FUZZED)):
                continue
            assert operation["security"], path
            assert {"400", "401", "403", "404", "413", "422", "500", "503"} <= set(operation["responses"]), (
                path
            )
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    (media,) = response["content"]
                    assert media == "application/problem+json", (path, method, status)


async def test_every_reference_in_the_document_leads_somewhere(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            yield from (found for item in value.values() for found in references(item))
        elif isinstance(value, list):
            yield from (found for item in value for found in references(item))

    found = set(references(document))
    assert len(found) > 20
    assert found <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


async def test_the_document_loads_nothing_from_elsewhere(desk: Desk) -> None:
    for path in ("/docs", "/redoc"):
        assert (await desk.client.get(path)).status_code == 404


def test_every_code_has_a_meaning_and_a_status() -> None:
    assert set(MEANING) == set(Code)


async def test_a_creation_links_to_what_takes_its_id(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()
    named = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    made = document["paths"]["/v1/orders"]["post"]["responses"]["201"]["links"]
    assert {"GetOrder", "UpdateOrder", "CancelOrder", "ListPlacements", "GetJournal"} <= set(made)
    assert made["GetOrder"] == {
        "operationId": "GetOrder",
        "parameters": {"order_id": "$response.body#/order_id"},
    }
    placed = document["paths"]["/v1/orders/{order_id}/placements"]["post"]["responses"]["201"]["links"]
    assert {"GetPlacement", "CancelPlacement", "GetOrder"} <= set(placed)
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                assert set(response.get("links", {})) <= named


@pytest.fixture(scope="module")
def fuzzer(desk: Desk) -> None:
    """A key for everything, and one for a tenant of its own."""
    keys, roles = desk.context.store.keys, [role for role in Role if role is not Role.SYSTEM]
    keys.create("fuzzer", roles, FUZZER)
    keys.create("fuzzing-program", roles, PROGRAM, portfolios=["PORT-fuzz"])


@pytest.fixture(scope="module")
async def hasty(desk: Desk) -> AsyncIterator[str]:
    """The interface on a socket, one that does not wait for a venue: the venue of these tests is silent."""
    impatient = replace(desk.context.settings, verdict_seconds=0.2)
    async with serving(create_app(replace(desk.context, settings=impatient))) as url:
        yield url


@pytest.mark.slow
async def test_a_walk_along_the_links_finds_no_defect(desk: Desk, hasty: str, fuzzer: None) -> None:
    """From what one answer made to whatever takes it, a dozen steps at a time: orders in states that requests lead to."""
    document = (await desk.client.get("/openapi.json")).json()
    taken = {
        "/v1/orders": [desk.terms(), desk.terms(automation="straight_through", compliance="builtin")],
        "/v1/orders/{order_id}/placements": [{"venue": "IBKR", "quantity": "100"}],
    }
    for path, bodies in taken.items():
        # Made-up terms would be refused, and nothing would lead on from a refusal.
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"] = {
            "enum": bodies
        }
    schema = schemathesis.openapi.from_dict(document).include(
        path_regex="^/v1/(orders|placements|allocations)"
    )
    schema.config.update(base_url=hasty)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE])
    # The document's own links, none that the tool makes up.
    schema.config.phases.stateful.inference.algorithms.clear()
    answered: Counter[str] = Counter()

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, _case: "schemathesis.Case[Any]") -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {FUZZER}"}, "timeout": 10}

        def validate_response(self, response: Any, case: "schemathesis.Case[Any]", **_: Any) -> None:
            answered[f"{case.operation.definition.raw['operationId']} {response.status_code}"] += 1
            case.validate_response(response, checks=CHECKS)

    walking = settings(
        max_examples=WALKS,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    await anyio.to_thread.run_sync(lambda: Walk.run(settings=walking))
    for rule in desk.context.store.rules.list(500, active=True).items:
        desk.context.store.rules.deactivate(rule.rule_id)
    for step in ("CreateOrder 201", "CancelOrder 200", "ListFills 200", "SendToTrader 409"):
        assert answered[step] > 0, sorted(answered.items())
    assert sum(answered.values()) > 5 * WALKS, answered


@pytest.mark.slow
async def test_a_fuzzer_finds_no_defect_and_no_undocumented_status(
    desk: Desk, address: str, fuzzer: None
) -> None:
    """Generated requests, good and bad, against every operation, most of them on an order that exists."""
    document = (await desk.client.get("/openapi.json")).json()
    _, placement_id = await desk.routed()
    account = {"account_id": "ACCT-fuzz", "name": "fuzz", "broker_account": "DU-fuzz"}
    await desk.post("/v1/accounts", account)
    portfolio = {"portfolio_id": "PORT-fuzz", "name": "fuzz", "default_account_id": "ACCT-fuzz"}
    await desk.post("/v1/portfolios", portfolio)
    orders = [(await desk.order())["order_id"], (await desk.order())["order_id"], (await desk.filled())[0]]
    await desk.command(orders[1], "pre-trade-compliance/request")
    desk.context.store.tenants.put(Tenant(tenant="fuzz", portfolio_id="PORT-fuzz"))
    rest = {
        "tenant": "fuzz",
        "placement_id": placement_id,
        "instrument_id": desk.instrument_id,
        "portfolio_id": "PORT-fuzz",
        "account_id": "ACCT-fuzz",
        "default_account_id": "ACCT-fuzz",
        "rule_type": "max_order_notional",
    }
    known = [{"order_id": order_id, **rest} for order_id in orders]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(modes=list(GenerationMode))
    found: list[str] = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        key = next((key for begins, key in FUZZED.items() if operation.path.startswith(begins)), None)
        if key is not None and operation.path not in ELSEWHERE:
            found += await anyio.to_thread.run_sync(fuzz, operation, address, known, key)
    for rule in desk.context.store.rules.list(500, active=True).items:
        desk.context.store.rules.deactivate(rule.rule_id)
    assert not found, "\n\n".join(found[:10])


def fuzz(
    operation: APIOperation[Any, Any, Any, Any], address: str, known: list[dict[str, str]], key: str
) -> list[str]:
    """What is wrong with the answers of one operation."""
    found: dict[str, str] = {}
    bearer = {"Authorization": f"Bearer {key}"}
    for mode in GenerationMode:

        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), real=st.sampled_from([{}, *known]))
        def ask(case: "schemathesis.Case[Any]", real: dict[str, str]) -> None:
            there = {name: real[name] for name in case.path_parameters if name in real}
            case.path_parameters = {**case.path_parameters, **there}
            if isinstance(case.body, dict):
                case.body |= {name: real[name] for name in case.body if name in real}
            response = case.call(base_url=address, headers=bearer, timeout=10)
            try:
                case.validate_response(response, checks=CHECKS)
            except (FailureGroup, Failure) as failure:
                found.setdefault(
                    f"{operation.label} {response.status_code}", f"{failure}\n{response.text[:500]}"
                )

        with contextlib.suppress(Unsatisfiable):
            ask()
    return [f"{name}: {text}" for name, text in found.items()]

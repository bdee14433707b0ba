"""The client's surface beside the order book's reference, its OpenAPI document and its own two halves."""

import inspect
import re
import typing
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from mypy import api as mypy

import durable_oms
from durable_oms import EMS, OMS, AsyncEMS, AsyncOMS, Client, models, terms
from durable_oms.operation import Every, Operation, Stream
from durable_oms.surface.control import Control
from durable_oms.surface.orders import Orders
from oms.api.app import create_app
from oms.api.context import APIContext
from oms.domain import terms as book_terms

REFERENCE = (
    "create_order", "update_order", "cancel_order", "close_order", "get_order", "list_orders", "create_basket",
    "merge_orders", "split_order", "pass_pre_trade_compliance", "fail_pre_trade_compliance",
    "override_pre_trade_compliance", "pass_post_trade_compliance", "fail_post_trade_compliance",
    "override_post_trade_compliance", "check_compliance_what_if", "query_compliance_headroom",
    "subscribe_compliance", "create_rule", "update_rule", "delete_rule", "list_rules", "create_allocation",
    "update_allocation", "get_allocation", "send_to_trader", "send_to_operations",
)  # fmt: skip
"""The 27 operations that a team brings with it, under their Python names."""

ARGUMENTS = {
    "create_order": {
        "portfolio_id", "instrument_id", "direction", "ordered_quantity", "order_type", "time_in_force",
        "limit_price", "stop_price", "basket_id", "metadata",
    },
    "update_order": {"order_id", "changes"},
    "close_order": {"order_id"},
    "list_orders": {
        "portfolio_id", "instrument_id", "state", "direction", "basket_id", "created_after", "created_before",
        "limit", "offset",
    },
    "create_basket": {"name", "order_ids"},
    "fail_pre_trade_compliance": {"order_id", "violations"},
    "override_pre_trade_compliance": {"order_id", "reason", "approver_id"},
    "check_compliance_what_if": {"proposed_orders"},
    "query_compliance_headroom": {"portfolio_id", "rule_id"},
    "subscribe_compliance": {"portfolio_id"},
    "create_rule": {"rule_type", "parameters", "target_accounts", "active"},
    "update_rule": {"rule_id", "changes"},
    "delete_rule": {"rule_id"},
    "list_rules": {"portfolio_id", "rule_type"},
    "create_allocation": {"order_id", "account_id", "portfolio_id", "quantity"},
    "send_to_trader": {"order_id"},
}  # fmt: skip
"""Arguments that the reference names; ours may have more, never others."""

OWN_NAME = {"Stream": "stream_orders"}
"""Operations whose name would say nothing on a client; every other has its own in snake case."""
SAME_REQUEST = {"allocate": "CreateAllocation", "list_compliance_headroom": "QueryComplianceHeadroom"}
"""A second method of an operation that answers two shapes."""
WHOLE_BODY = {"update_order": "changes", "update_rule": "changes", "put_prices": "prices"}
"""Methods that take a body, or a part of it, as one argument."""

SHOWN = {
    "OrderView": models.Order,
    "PlacementView": models.Placement,
    "AllocatedView": models.Allocation,
    "SpreadView": models.Spread,
    "CheckView": models.Check,
    "Settlement": models.Settlement,
    "ClosedView": models.Closed,
    "FillView": models.Fill,
    "JournalView": models.JournalEvent,
    "ExceptionView": models.ListedException,
    "PositionView": models.Position,
    "Instrument": models.Instrument,
    "Portfolio": models.Portfolio,
    "Account": models.Account,
    "QuotedPrice": models.Price,
    "RuleView": models.Rule,
    "RuleVersionView": models.RuleVersion,
    "RuleTypeView": models.RuleType,
    "CheckedView": models.WhatIf,
    "Headroom": models.Headroom,
    "RequestView": models.ComplianceRequest,
    "BreachView": models.Breach,
    "HaltedView": models.Halt,
    "WholeBasketView": models.Basket,
    "ResultsView": models.Results,
    "ResultView": models.Result,
    "InvariantView": models.Invariant,
    "AccountGroup": models.AccountGroup,
    "ImportView": models.Imported,
    "LineView": models.ImportedLine,
    "Handling": models.Handling,
    "Bracket": models.Bracket,
    "ChangeView": models.Change,
    "Rounding": models.Rounding,
    "GatewayView": models.Gateway,
    "AccountHealthView": models.AccountHealth,
    "ResyncedView": models.Resynced,
    "BreakView": models.Break,
    "ForeignOrderView": models.ForeignOrder,
    "TenantView": models.Tenant,
    "Adjustment": models.Adjustment,
}
KINDS = (Operation, Every, Stream)
FOR_PROGRAMS = ("/oms/", "/ib/", "/api/v1/")
"""Surfaces of systems that exist, for programs that bring clients of their own: this client is the order book's."""
OF_THE_PROCESS = ("/healthz", "/readyz", "/metrics")


def operations(room: type) -> dict[str, Any]:
    """The room's operations by name, as they are described."""
    found = {name: inspect.getattr_static(room, name) for name in dir(room)}
    return {name: value for name, value in found.items() if isinstance(value, KINDS)}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


BOOK, DESK = operations(OMS), operations(EMS)


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """The OpenAPI document; it is made of the routes alone."""
    context = APIContext(store=typing.cast("Any", None), temporal=typing.cast("Any", None), version="0")
    return create_app(context).openapi()


def documented(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        if path.startswith("/v1/"):
            for method, described in methods.items():
                yield method.upper(), path, described


def test_every_operation_of_the_reference_is_there_under_its_name() -> None:
    assert len(REFERENCE) == len(set(REFERENCE)) == 27
    assert set(REFERENCE) <= BOOK.keys()
    for name, arguments in ARGUMENTS.items():
        assert arguments <= {parameter.name for parameter in BOOK[name].parameters}, name
    assert {"create_placement", "cancel_placement", "get_placement", "list_placements", "close_order"} <= {
        *DESK
    }


def test_both_clients_have_the_same_operations() -> None:
    assert operations(AsyncOMS) == BOOK
    assert operations(AsyncEMS) == DESK
    assert len(BOOK) > 60


def test_every_operation_of_the_order_book_has_a_method(document: dict[str, Any]) -> None:
    methods = BOOK | DESK
    for method, path, described in documented(document):
        name = OWN_NAME.get(described["operationId"]) or snake(described["operationId"])
        assert name in methods, f"{described['operationId']}, {method} {path}, has no method {name}"
        assert (methods[name].method, methods[name].path) == (method, path), name


def test_what_has_no_method_is_for_programs_or_of_the_process(document: dict[str, Any]) -> None:
    elsewhere = [path for path in document["paths"] if not path.startswith(("/v1/", *FOR_PROGRAMS))]
    assert set(elsewhere) == set(OF_THE_PROCESS)
    for described in (BOOK | DESK).values():
        assert not described.path.startswith(FOR_PROGRAMS)


def test_every_method_is_an_operation_of_the_order_book(document: dict[str, Any]) -> None:
    known = {(method, path): described["operationId"] for method, path, described in documented(document)}
    for name, described in (BOOK | DESK).items():
        operation_id = known.get((described.method, described.path))
        assert operation_id is not None, f"{name}: there is no {described.method} {described.path}"
        if not isinstance(described, Every):
            assert SAME_REQUEST.get(name, operation_id) == operation_id
            assert name in SAME_REQUEST or name == OWN_NAME.get(operation_id, snake(operation_id))


def test_every_method_takes_what_its_request_takes(document: dict[str, Any]) -> None:
    requests = {(method, path): described for method, path, described in documented(document)}
    for name, described in (BOOK | DESK).items():
        if isinstance(described, Every) or name in SAME_REQUEST:
            continue
        asked = requests[described.method, described.path]
        wanted = {p["name"] for p in asked.get("parameters", ()) if p["in"] in ("query", "path")}
        if name in WHOLE_BODY:
            wanted |= {WHOLE_BODY[name]} | ({"reason"} & fields(document, asked))
        elif name.startswith("import_"):
            wanted |= {"file"}
        else:
            wanted |= fields(document, asked)
        taken = {p.name for p in described.parameters} - {"options", "consistency"}
        if name == "create_allocation":
            wanted &= {"order_id", "account_id", "portfolio_id", "quantity"}
        if name == "query_compliance_headroom":
            wanted = {"portfolio_id", "rule_id"}
        assert taken == wanted, name


def fields(document: dict[str, Any], asked: dict[str, Any]) -> set[str]:
    """The fields of a request's JSON body, of all its shapes."""
    found = asked.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return set(properties(document, found))


def properties(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return properties(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    merged: dict[str, Any] = dict(schema.get("properties", {}))
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        merged |= properties(document, part)
    return merged


@pytest.mark.parametrize("name", SHOWN)
def test_every_field_of_an_answer_is_known(document: dict[str, Any], name: str) -> None:
    shown, record = document["components"]["schemas"][name]["properties"], SHOWN[name]
    assert shown.keys() <= record.model_fields.keys()
    for field, schema in shown.items():
        kinds = [schema, *schema.get("anyOf", ())]
        if any(kind.get("format") == "decimal" for kind in kinds):
            assert Decimal in leaves(record.model_fields[field].annotation), f"{name}.{field} is no Decimal"


def leaves(annotation: Any) -> set[Any]:
    arguments = typing.get_args(annotation)
    return {annotation}.union(*(leaves(argument) for argument in arguments))


def test_words_are_those_of_the_order_book() -> None:
    for name in ("State", "Direction", "OrderType", "TimeInForce", "Severity", "PlacementStatus"):
        ours: type[StrEnum] = getattr(terms, name)
        theirs: type[StrEnum] = getattr(book_terms, name)
        assert {m.name: m.value for m in ours} == {m.name: m.value for m in theirs}, name


def test_what_an_editor_shows() -> None:
    client = Client(api_key="any")
    assert client.oms.close_order.__name__ == "close_order"
    assert (client.oms.close_order.__doc__ or "").startswith("End execution")
    assert [*inspect.signature(client.oms.close_order).parameters] == ["order_id", "options"]
    assert client.oms.close_order.__doc__ == client.ems.close_order.__doc__
    for name, described in (BOOK | DESK).items():
        assert described.__doc__, name
    client.close()


def test_an_argument_nobody_knows_is_refused_before_anything_is_sent() -> None:
    with Client(api_key="any") as client:
        for call in (
            lambda: client.oms.send_to_trader("ORD-1", nonsense=1),
            lambda: client.oms.halt("firm", reason="r", expected_version=1),
            client.oms.send_to_trader,
        ):
            with pytest.raises(TypeError):
                call()
        for name in ("", ".", ".."):
            with pytest.raises(ValueError, match="order_id"):
                client.oms.get_order(name)


def test_names_in_a_path_stay_in_their_place() -> None:
    asked = Orders.get_order.request("a/b?c#d é")
    assert asked.path == "/v1/orders/a%2Fb%3Fc%23d%20%C3%A9"


def test_numbers_are_said_as_exactly_as_they_were_given() -> None:
    def told(**terms: Any) -> bytes:
        given = {"portfolio_id": "P", "direction": "Buy", "order_type": "Limit", "time_in_force": "Day"}
        return Orders.create_order.request(**{**given, **terms}).content.body or b""

    assert b'"ordered_quantity": 150.25,' in told(ordered_quantity=150.25)
    assert b'"ordered_quantity": "150.250",' in told(ordered_quantity=Decimal("150.250"))
    assert b'"ordered_quantity": 123456789012345678901,' in told(ordered_quantity=123456789012345678901)
    assert b'"ordered_quantity": "0.1",' in told(ordered_quantity="0.1")
    for nonsense in (float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(ValueError, match=r"finite|compliant"):
            told(ordered_quantity=nonsense)


def test_what_is_not_given_is_not_said() -> None:
    assert Control.halt.request("firm", reason="r").content.body == b'{"scope": "firm", "reason": "r"}'
    cleared = Orders.update_order.request("ORD-1", {"limit_price": None}, expected_version=7)
    assert cleared.content.body == b'{"limit_price": null}'
    assert cleared.content.headers["If-Match"] == '"7"'


TYPED = """
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import assert_type
from durable_oms import AsyncClient, AsyncEventStream, Client, EventStream, Page
from durable_oms.models import ComplianceEvent, Order, WhatIf

def blocking(client: Client) -> None:
    assert_type(client.oms.split_order("ORD-1", [60, "40"]), list[str])
    assert_type(client.oms.close_order("ORD-1", expected_version=7).executed_quantity, Decimal)
    assert_type(client.oms.list_orders(state="ROUTED"), Page[Order])
    assert_type(client.oms.iterate_orders(state="ROUTED"), Iterator[Order])
    assert_type(client.oms.check_compliance_what_if([]), list[WhatIf])
    assert_type(client.oms.subscribe_compliance("PORT-001"), EventStream[ComplianceEvent])
    assert_type(client.ems.create_placement("ORD-1", "IBKR", 100), str)

async def awaiting(client: AsyncClient) -> None:
    assert_type(await client.oms.split_order("ORD-1", [60, "40"]), list[str])
    assert_type((await client.oms.close_order("ORD-1", expected_version=7)).executed_quantity, Decimal)
    assert_type(await client.oms.list_orders(state="ROUTED"), Page[Order])
    assert_type(client.oms.iterate_orders(state="ROUTED"), AsyncIterator[Order])
    assert_type(client.oms.subscribe_compliance("PORT-001"), AsyncEventStream[ComplianceEvent])

def wrong(client: Client) -> None:
    client.oms.cancel_order(7)
    client.oms.cancel_order("ORD-1", nonsense=True)
    client.oms.halt("firm", reason="r", expected_version=7)
"""


def test_both_clients_are_typed_as_they_answer() -> None:
    """Callers' type checkers see exact results, and refuse what the order book would."""
    said, errors, _ = mypy.run(["--strict", "--config-file", "", "-c", TYPED])
    assert errors == ""
    first_wrong = TYPED.splitlines().index("def wrong(client: Client) -> None:") + 1
    lines = [int(line.split(":")[1]) for line in said.splitlines() if ": error: " in line]
    assert lines == [first_wrong + 1, first_wrong + 2, first_wrong + 3], said


def test_everything_that_is_exported_is_there() -> None:
    assert set(durable_oms.__all__) <= set(dir(durable_oms))
    assert set(models.__all__) <= set(dir(models))

"""The shell examples of the documentation, typed as they are written, against a real `oms dev`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from oms.domain.terms import Role
from tests.docs.conftest import ROOT
from tests.faults.desk import Desk, until

_TRY = r"<!-- try: {name} -->\n```sh\n(?P<text>.*?)^```$"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not all(map(shutil.which, ("bash", "curl", "jq"))), reason="the examples are for bash, curl and jq"
    ),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("walk") / "oms-data")
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


def _example(page: str, name: str) -> str:
    found = re.search(
        _TRY.format(name=name), (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None, f"{page} has no example {name!r}"
    return found["text"]


def _type(desk: Desk, script: str, **variables: str) -> str:
    """Run `script` in the folder that holds `oms-data`; what it wrote. Fails where a request was refused."""
    keys = {role.upper(): desk.http[role].headers["X-API-Key"] for role in Role if role in desk.http}
    done = subprocess.run(
        ["bash", "-c", script.replace("http://127.0.0.1:9191", desk.api)],
        cwd=desk.folder.parent,
        env={"PATH": os.environ["PATH"], "API": desk.api, "NO_PROXY": "*", **keys, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert "urn:durable-oms:error" not in done.stdout, done.stdout
    return done.stdout


_ASKING = _example("docs/api.md", "ask")
"""How each page asks in a role."""


def test_every_page_asks_in_the_same_way_before_it_does(pages: dict[str, str]) -> None:
    asking = {page: text for page, text in pages.items() if re.search(r"^ *ask \w", text, re.MULTILINE)}
    assert {"README.md", "docs/api.md", "docs/ibkr.md"} <= asking.keys()
    for page, text in asking.items():
        first = re.search(r"^ *ask \w", text, re.MULTILINE)
        assert first is not None
        assert _ASKING in text[: first.start()], page


def test_the_walk_of_the_readme(desk: Desk) -> None:
    written = _type(desk, _example("README.md", "walk"))
    assert written.startswith('"PRE_TRADE_COMPLIANCE_PASSED"\n"SENT_TO_TRADER"\n"PENDING"\n')
    assert '"state": "FILLED"' in written
    assert "1 order_created by pm\n" in written
    assert "fill_booked by IBKR\n" in written


def test_programs_trade_as_the_readme_says(desk: Desk) -> None:
    """The command's bracket is at the broker; the target is held, or its order works."""
    command, again, batch = _answers(
        _type(desk, "".join(_example("README.md", name) for name in ("program", "program", "targets")))
    )
    assert (command["status"], command["idem_key"]) == ("enqueued", "oms:nts:readme-1")
    assert again == command
    assert [row["symbol"] for row in batch["results"]] == ["AAPL"]


def test_an_order_is_created_as_the_interface_page_says(desk: Desk) -> None:
    desk.instrument("AAPL")
    creating = _ASKING + _example("docs/api.md", "create")
    first, again = _type(desk, creating), _type(desk, creating)
    assert " 201 Created" in first.splitlines()[0]
    assert "location: /v1/orders/ORD-" in first
    assert "idempotent-replayed: true" in again
    assert first.splitlines()[-1] == again.splitlines()[-1]


def test_an_order_is_moved_as_the_interface_page_says(desk: Desk) -> None:
    order_id = desk.create(desk.instrument("AAPL"), "100", compliance="external")
    routed, closing, rest = re.split(
        r"(^ask trader +-X POST .*/close$)", _example("docs/api.md", "move"), flags=re.MULTILINE
    )
    _type(desk, _ASKING + routed, ORDER=order_id)
    desk.until_state(order_id, "FILLED")
    _type(desk, _ASKING + closing + rest, ORDER=order_id)
    assert desk.order(order_id)["state"] == "RECONCILED"


def test_a_program_sends_a_command_as_the_interface_page_says(desk: Desk) -> None:
    desk.instrument("AAPL")
    sending = _ASKING + _example("docs/api.md", "commands")
    command, *heard = _answers(_type(desk, sending))
    (opened,) = command["orders"]
    assert (command["status"], opened["symbol"], opened["quantity"]) == ("DONE", "AAPL", 10)
    kinds = [event["event_type"] for event in heard]
    assert kinds[:2] == ["oms.submit", "ib.order_received"]
    assert {"orderStatus", "execDetails"} <= set(kinds)


def test_trading_is_halted_and_resumed_as_operations_says(desk: Desk) -> None:
    set_, standing, lifted = _answers(_type(desk, _example("docs/operations.md", "halt")))
    assert (set_["scope"], set_["subject"]) == ("portfolio", "PORT-001")
    assert [halt["subject"] for halt in standing["items"]] == ["PORT-001"]
    assert lifted["subject"] == "PORT-001"


def _answers(written: str) -> list[dict[str, Any]]:
    """The JSON objects that one command after the other has written."""
    decoder, found = json.JSONDecoder(), []
    while written:
        answer, end = decoder.raw_decode(written)
        found.append(answer)
        written = written[end:].lstrip()
    return found


def test_the_examples_of_the_page_on_interactive_brokers_one_after_the_other(desk: Desk) -> None:
    """All three of the bracket are at the broker once the last one is there; none of them is a second before."""
    names = ("trailing", "strategy", "bracket", "change")
    trailing, worked, *opened, changed = _answers(
        _type(desk, "".join(_example("docs/ibkr.md", name) for name in names))
    )
    assert (trailing["order_type"], trailing["handling"]["trail_percent"]) == ("TrailingStop", "2.5")
    assert (worked["strategy"], worked["params"]["max_percent"]) == ("VWAP", "10")
    assert changed["change"]["terms"] == {"quantity": "60", "limit_price": "99.5"}
    assert [order["handling"]["bracket"]["role"] for order in opened] == ["parent", "child", "child"]
    for order in opened:
        until("the bracket to be at the broker", partial(_works, desk, order["order_id"]))


def _works(desk: Desk, order_id: str) -> bool:
    return [one["status"] for one in desk.order(order_id)["placements"]] == ["WORKING"]

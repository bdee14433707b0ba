"""A real `oms dev` in a process of its own, that can be killed and started again, and a desk that works on it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

START_SECONDS = 90.0
TERMINAL = {"RECONCILED", "CANCELED", "REJECTED"}


def until(what: str, found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of `found`; fails after `seconds`, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


class Desk:
    """One data folder. `start`, `kill` (SIGKILL to every process at once), `stop` (SIGTERM, clean)."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "OMS_FAST_SETTLEMENT_SECONDS": "1", **environment}
        self.process: subprocess.Popen[bytes] | None = None
        self.api = ""
        self.ui = ""
        self.started_in = 0.0

    def start(self) -> None:
        begun = time.monotonic()
        output = self.folder.parent / f"{self.folder.name}.out"
        said = output.with_suffix(".err")
        with output.open("wb") as out, said.open("wb") as err:
            command = [sys.executable, "-m", "oms.cli.main", "dev", "--data-dir", str(self.folder)]
            command += ["--port", "0", "--temporal-port", "0", "--ui-port", "0", "--settlement-clock", "fast"]
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=self.environment
            )

        def ready() -> str | None:
            text = output.read_text()
            assert self.process is not None
            code = self.process.poll()
            assert code is None, f"oms dev ended with {code}: {text}{said.read_text()}"
            return text if text.startswith("ready ") and text.endswith("\n") else None

        line = until("oms dev ready", ready, START_SECONDS)
        self.started_in = time.monotonic() - begun
        told = dict(part.split("=", 1) for part in line.split()[1:])
        self.api, self.ui = told["api"], told["ui"]
        keys = json.loads((self.folder / "keys.json").read_text())
        self.http = {
            role: httpx.Client(base_url=self.api, headers={"X-API-Key": key}, timeout=40, trust_env=False)
            for role, key in keys.items()
        }

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill(self, *names: str) -> None:
        """SIGKILL every process, or only those children whose command line holds one of `names`."""
        victims = self.processes()
        if names:
            victims = [v for v in victims[1:] if any(name in " ".join(v.cmdline()) for name in names)]
            assert victims, f"no process runs {names}"
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
        if not names:
            assert self.process is not None
            self.process.wait(10)
            psutil.wait_procs(victims[1:], timeout=10)

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    # -- what people do ------------------------------------------------------------------------------

    def call(self, role: str, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http[role].request(method, path, **({"json": body} if body else {}))
        assert answer.status_code < 300, f"{method} {path} as {role}: {answer.status_code} {answer.text}"
        result: dict[str, Any] = answer.json()
        return result

    def instrument(self, symbol: str) -> str:
        return str(self.call("admin", "POST", "/v1/instruments", symbol=symbol)["instrument_id"])

    def create(self, instrument_id: str, quantity: str = "10", **terms: Any) -> str:
        order = {
            "portfolio_id": "PORT-001",
            "instrument_id": instrument_id,
            "direction": "Buy",
            "ordered_quantity": quantity,
            "order_type": "Market",
            "time_in_force": "Day",
        }
        return str(self.call("pm", "POST", "/v1/orders", **{**order, **terms})["order_id"])

    def order(self, order_id: str) -> dict[str, Any]:
        return self.call("viewer", "GET", f"/v1/orders/{order_id}")

    def command(self, role: str, order_id: str, path: str, **body: Any) -> dict[str, Any]:
        return self.call(role, "POST", f"/v1/orders/{order_id}/{path}", **body)

    def until_state(self, order_id: str, *states: str, seconds: float = 60.0) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            order = self.order(order_id)
            return order if order["state"] in states else None

        found: dict[str, Any] = until(f"{order_id} in {states}", there, seconds)
        return found

    def walk(self, order_id: str, to: str) -> None:
        """Move a manual order along the main chain, from wherever it is, until it is in state `to`."""
        steps: dict[str, tuple[str, str, dict[str, Any]]] = {
            "CREATED": ("pm", "pre-trade-compliance/request", {}),
            "PENDING_PRE_TRADE_COMPLIANCE": ("compliance", "pre-trade-compliance/pass", {}),
            "PRE_TRADE_COMPLIANCE_PASSED": ("pm", "send-to-trader", {}),
            "FILLED": ("trader", "close", {}),
            "PARTIALLY_FILLED": ("trader", "close", {}),
            "CLOSED": ("trader", "send-to-operations", {}),
            "SENT_TO_OPERATIONS": ("ops", "post-trade-compliance/request", {}),
            "PENDING_POST_TRADE_COMPLIANCE": ("compliance", "post-trade-compliance/pass", {}),
            "POST_TRADE_COMPLIANCE_PASSED": ("ops", "confirm", {}),
            "CONFIRMED": ("ops", "settle", {"reason": "custodian called"}),
            "SETTLED": ("ops", "reconcile", {"reason": "statement agrees"}),
        }
        while (order := self.order(order_id))["state"] != to:
            if order["state"] == "SENT_TO_TRADER":
                body = {"venue": "IBKR", "quantity": order["ordered_quantity"]}
                self.command("trader", order_id, "placements", **body)
            elif order["state"] == "ROUTED":
                self.until_state(order_id, "PARTIALLY_FILLED", "FILLED")
            else:
                role, path, more = steps[order["state"]]
                self.command(role, order_id, path, **more)

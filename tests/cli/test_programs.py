"""`oms tenants`, `oms commands` and `oms envelope`, at a real `oms dev` and by themselves."""

import json
import re
import secrets
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import Dev, run

SUBMIT: dict[str, Any] = {
    "orders": [
        {
            "contract": {"secType": "STK", "symbol": "AAPL"},
            "order": {"action": "BUY", "totalQuantity": 3, "orderType": "LMT", "lmtPrice": 1.25},
        }
    ]
}
SECRET = secrets.token_urlsafe(24)


def written(folder: Path, content: Any) -> Path:
    file = folder / f"{secrets.token_hex(4)}.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_payload_is_signed_and_verified(tmp_path: Path) -> None:
    file = written(tmp_path, SUBMIT)
    signed = run("envelope", "sign", file, "--idem-key", "oms:nts:cli-1", ENVELOPE_SECRET=f"{SECRET},old")
    assert signed.code == 0, signed.err
    envelope = json.loads(signed.out)
    assert (envelope["kind"], envelope["tenant"], envelope["idem_key"]) == (
        "oms.submit",
        "nts",
        "oms:nts:cli-1",
    )
    assert envelope["payload"] == SUBMIT
    assert re.fullmatch(r"[0-9a-f]{64}", envelope["sig"])
    assert abs(envelope["ts"] - time.time() * 1000) < 60_000
    for content in (envelope, {"envelope": envelope}):
        good = run("envelope", "verify", written(tmp_path, content), OMS_ENVELOPE_SECRET=f"new,{SECRET}")
        assert good.code == 0, good.err
        assert good.out.startswith("good: oms.submit for nts, signed ")
    for changes, code in (
        ({"ts": envelope["ts"] - 1}, "BAD_SIGNATURE"),
        ({"colour": 1}, "VALIDATION_FAILED"),
    ):
        bad = run("envelope", "verify", written(tmp_path, {**envelope, **changes}), ENVELOPE_SECRET=SECRET)
        assert (bad.code, bad.err.startswith(f"oms: {code}: "), bad.out) == (1, True, ""), bad.err
    old = run("envelope", "verify", written(tmp_path, envelope), "--window", "0", ENVELOPE_SECRET=SECRET)
    assert (old.code, old.err.startswith("oms: STALE_ENVELOPE: ")) == (1, True)


def test_standard_input_will_do_and_numbers_keep_their_digits() -> None:
    text = json.dumps(SUBMIT).replace("1.25", "1.250")
    signed = run("envelope", "sign", "-", stdin=text.encode(), ENVELOPE_SECRET=SECRET)
    assert '"lmtPrice":1.250' in signed.out
    good = run("envelope", "verify", "-", stdin=signed.out.encode(), ENVELOPE_SECRET=SECRET)
    assert good.code == 0, good.err
    pinged = run("envelope", "sign", "-", "--kind", "oms.ping", stdin=b"{}", ENVELOPE_SECRET=SECRET)
    assert json.loads(pinged.out)["kind"] == "oms.ping"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "MALFORMED: "),
        ("[]", "MALFORMED: "),
        ('{"orders": []}', "VALIDATION_FAILED: orders: "),
        ('{"echo": 1e400}', "VALIDATION_FAILED: "),
        ('{"echo": NaN}', "MALFORMED: "),
    ],
)
def test_what_cannot_be_signed_is_one_line(tmp_path: Path, content: str, told: str) -> None:
    ended = run("envelope", "sign", written(tmp_path, content), ENVELOPE_SECRET=SECRET)
    assert (ended.code, ended.out, ended.err.startswith(f"oms: {told}")) == (1, "", True), ended.err
    assert ended.err.count("\n") == 1


def test_the_secret_comes_from_the_environment_alone(tmp_path: Path) -> None:
    (tmp_path / "oms.toml").write_text(f'envelope_secret = "{SECRET}"\n')
    file = written(tmp_path, SUBMIT)
    for command in ("sign", "verify"):
        ended = run("envelope", command, file, OMS_DATA_DIR=str(tmp_path))
        assert (ended.code, "ENVELOPE_SECRET" in ended.err) == (2, True), ended.err
    missing = run("envelope", "sign", tmp_path / "nothing.json", ENVELOPE_SECRET=SECRET)
    assert (missing.code, missing.err.startswith("oms: cannot read ")) == (1, True)


def test_tenants_are_listed_and_described(dev: Dev) -> None:
    listed = dev.oms("tenants", "list")
    assert listed.code == 0, listed.err
    assert re.search(r"^nts +PORT-001", listed.out, re.MULTILINE)
    done = dev.oms("tenants", "put", "nts", "--portfolio", "PORT-001", "--account", "ACCT-001")
    assert (done.code, done.out) == (0, "nts trades in PORT-001\n"), done.err
    assert json.loads(dev.oms("tenants", "list", "--json").out) == [
        {"tenant": "nts", "portfolio_id": "PORT-001", "accounts": ["ACCT-001"]}
    ]
    refused = dev.oms("tenants", "put", "second", "--portfolio", "PORT-001")
    assert (refused.code, refused.err.startswith("oms: TENANT_CONFLICT: ")) == (1, True)


def test_a_command_of_another_producer_is_handed_in_listed_and_shown(dev: Dev, tmp_path: Path) -> None:
    secret = (dev.folder / "envelope.secret").read_text().strip()
    signed = run("envelope", "sign", written(tmp_path, SUBMIT), ENVELOPE_SECRET=secret)
    headers = {"x-api-token": dev.keys["pm"], "Content-Type": "application/json"}
    with httpx.Client(base_url=dev.api, headers=headers, trust_env=False) as client:
        ack = client.post("/oms/envelopes", content=signed.out)
        assert ack.status_code == 200, ack.text
    message_id = ack.json()["message_id"]
    listed = dev.oms("commands", "list", "--tenant", "nts")
    assert listed.code == 0, listed.err
    (line,) = [line for line in listed.out.splitlines() if message_id in line]
    assert line.split()[2:5] == ["oms.submit", "nts", "pm"]

    def shown() -> str:
        ended = dev.oms("commands", "show", message_id)
        assert ended.code == 0, ended.err
        return ended.out

    deadline = time.monotonic() + 20
    while "ROUTED" not in shown():
        assert time.monotonic() < deadline, shown()
    (order,) = [line for line in shown().splitlines() if "ROUTED" in line]
    assert order.split()[:3] == ["0", "entry", "AAPL"]
    whole = json.loads(dev.oms("commands", "show", ack.json()["idem_key"], "--json").out)
    assert (whole["message_id"], whole["status"]) == (message_id, "DONE")
    nobody = dev.oms("commands", "show", "nothing")
    assert (nobody.code, nobody.err.startswith("oms: COMMAND_NOT_FOUND: ")) == (1, True)


def test_the_secret_of_the_folder_is_told_to_no_child(dev: Dev) -> None:
    secret = (dev.folder / "envelope.secret").read_bytes().strip()
    assert (dev.folder / "envelope.secret").stat().st_mode & 0o777 == 0o600
    children = json.loads((dev.folder / "children.json").read_text())
    assert len(children) == 3
    for child in children:
        environment = Path(f"/proc/{child['pid']}/environ")
        if environment.exists():
            assert secret not in environment.read_bytes()
    logs = [file.read_bytes() for file in (dev.folder / "logs").iterdir()]
    assert not [log for log in logs if secret in log]

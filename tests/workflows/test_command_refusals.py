"""Commands that nobody with a secret asked for, now, under this id: refused, recorded, alarmed, and nothing moves."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from oms.domain.commands import Actor
from oms.domain.errors import Code
from oms.domain.programs import envelopes
from oms.domain.programs.outcomes import CommandInput, CommandRecord, CommandStatus
from oms.domain.programs.tenants import Tenant
from oms.domain.terms import Role
from tests.stack import temporal_server
from tests.workflows.commanding import (
    ANOTHER_QUEUE,
    SECRET,
    another_worker,
    commanding,
    entry,
    hand_in,
    prepare,
    signed,
    submit,
)
from tests.workflows.world import World, a_world, quiet

MINUTE_MS = 60_000
MINUTE_NS = 60 * 10**9


@pytest.fixture(scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("refusals")
    async with temporal_server() as server, a_world(await server.client(), folder) as made, made.working():
        prepare(made)
        async with commanding(made):
            yield made


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def altered(asked: CommandInput, **fields: Any) -> CommandInput:
    """The command with other fields in its envelope than were signed."""
    envelope = json.loads(asked.envelope)
    return asked.model_copy(update={"envelope": json.dumps({**envelope, **fields})})


ALTERED: dict[str, Callable[[CommandInput], CommandInput]] = {
    "kind": lambda asked: altered(asked, kind="oms.flatten", payload={}),
    "tenant": lambda asked: altered(asked, tenant="other"),
    "payload": lambda asked: altered(asked, payload={"orders": [entry(1000)], "dry_run": False}),
    "a number in the payload": lambda asked: asked.model_copy(
        update={"envelope": asked.envelope.replace('"totalQuantity":1', '"totalQuantity":9')}
    ),
    "ts": lambda asked: altered(asked, ts=json.loads(asked.envelope)["ts"] + 1),
    "nonce": lambda asked: altered(asked, nonce=secrets.token_urlsafe(16)),
    "idem_key": lambda asked: altered(asked, idem_key="oms:nts:mine").model_copy(
        update={"idem_key": f"oms:nts:{secrets.token_hex(8)}"}
    ),
    "no idem_key": lambda asked: altered(asked, idem_key=None),
    "sig": lambda asked: altered(asked, sig="0" * 64),
    "no sig": lambda asked: altered(asked, sig=None),
}


@pytest.mark.parametrize("what", ALTERED)
async def test_an_altered_field_is_a_wrong_signature(desks: World, what: str) -> None:
    asked = ALTERED[what](submit(entry()))
    assert asked.envelope != submit(entry()).envelope
    await (await hand_in(desks, asked)).is_refused(Code.BAD_SIGNATURE)


async def test_a_secret_of_somebody_else_is_a_wrong_signature(desks: World) -> None:
    given = await hand_in(desks, submit(entry(), secret=secrets.token_hex(16)))
    with capture_logs() as logs:
        await given.is_refused(Code.BAD_SIGNATURE)
    (said,) = [line for line in logs if line["event"] == "command.alarm.refused"]
    assert (said["code"], said["message_id"]) == (Code.BAD_SIGNATURE, given.asked.message_id)
    assert SECRET not in str(logs)
    assert json.loads(given.asked.envelope)["sig"] not in str((logs, given.alarms()))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"kind": "oms.ping"}', '{"ts": NaN}'])
async def test_what_is_no_envelope_is_refused(desks: World, text: str) -> None:
    given = await hand_in(desks, submit(entry()).model_copy(update={"envelope": text}))
    ended = await given.outcome()
    assert ended.status is CommandStatus.REFUSED
    assert ended.refusal is not None
    assert ended.refusal.code in (Code.MALFORMED, Code.VALIDATION_FAILED)
    assert len(given.alarms()) == 1


@pytest.mark.parametrize("apart", [-6, -60 * 24 * 30, 6], ids=["old", "very old", "of the future"])
async def test_a_time_out_of_the_window_is_refused(desks: World, apart: int) -> None:
    given = await hand_in(desks, submit(entry(), ts_ms=now_ms() + apart * MINUTE_MS))
    await given.is_refused(Code.STALE_ENVELOPE)


async def test_an_old_command_is_not_new_because_it_says_when_it_was_received(desks: World) -> None:
    asked = submit(entry(), ts_ms=now_ms() - 10 * MINUTE_MS)
    forged = asked.model_copy(update={"received_ns": time.time_ns() - 10 * MINUTE_NS})
    await (await hand_in(desks, forged)).is_refused(Code.STALE_ENVELOPE)


async def test_a_command_that_was_received_after_temporal_took_it_is_refused(desks: World) -> None:
    forged = submit(entry()).model_copy(update={"received_ns": time.time_ns() + 10 * MINUTE_NS})
    await (await hand_in(desks, forged)).is_refused(Code.STALE_ENVELOPE)


async def test_a_nonce_is_good_for_one_command(desks: World) -> None:
    nonce = secrets.token_urlsafe(16)
    first = await hand_in(desks, submit(entry(), nonce=nonce))
    assert (await first.outcome()).status is CommandStatus.DONE
    await (await hand_in(desks, submit(entry(), nonce=nonce))).is_refused(Code.REPLAYED_NONCE)
    assert len(first.orders()) == 1


async def test_a_command_under_another_workflow_id_is_refused(desks: World) -> None:
    given = await hand_in(desks, submit(entry()), workflow_id=f"command/oms:nts:{secrets.token_hex(8)}")
    await given.is_refused(Code.BAD_SIGNATURE)
    assert given.record is None


async def test_a_second_run_of_a_command_under_another_id_leaves_the_first_alone(desks: World) -> None:
    first = await hand_in(desks, submit(entry()))
    ended = await first.outcome()
    again = await hand_in(desks, first.asked, workflow_id="command/oms:nts:elsewhere")
    assert (await again.outcome()).status is CommandStatus.REFUSED
    assert (first.kept().status, first.kept().orders) == (CommandStatus.DONE, ended.orders)
    assert len(first.orders()) == 1


async def test_a_key_stands_for_its_command_for_ever(desks: World) -> None:
    first = await hand_in(desks, submit(entry()))
    await first.outcome()
    given = json.loads(first.asked.envelope)
    other = signed("oms.submit", {"orders": [entry(5)]}, idem_key=first.asked.idem_key)
    again = await hand_in(desks, other)
    ended = await again.outcome()
    assert ended.refusal is not None
    assert ended.refusal.code == Code.IDEMPOTENCY_CONFLICT
    assert first.kept().payload == given["payload"]
    assert (first.kept().status, len(first.orders())) == (CommandStatus.DONE, 1)


async def test_an_unknown_tenant_is_refused(desks: World) -> None:
    await (await hand_in(desks, submit(entry(), tenant="nobody"))).is_refused(Code.INVALID_TENANT)


async def test_a_key_of_another_tenant_is_refused(desks: World) -> None:
    desks.store.keys.create("limited", [Role.PM], secrets.token_hex(8), portfolios=["PORT-002"])
    asked = submit(entry(), actor=Actor(key="limited", roles=(Role.PM,)))
    await (await hand_in(desks, asked)).is_refused(Code.INVALID_TENANT)
    own = submit(entry(), tenant="other", actor=Actor(key="limited", roles=(Role.PM,)))
    assert (await (await hand_in(desks, own)).outcome()).status is CommandStatus.DONE


async def test_a_key_for_another_account_is_refused(desks: World) -> None:
    desks.store.keys.create("one-account", [Role.PM], secrets.token_hex(8), accounts=["ACCT-002"])
    asked = submit(entry(), actor=Actor(key="one-account", roles=(Role.PM,)))
    await (await hand_in(desks, asked)).is_refused(Code.INVALID_TENANT)
    beyond = submit(entry()).model_copy(update={"reach": ("ACCT-002",)})
    await (await hand_in(desks, beyond)).is_refused(Code.INVALID_TENANT)


async def test_a_key_that_was_revoked_since_is_refused(desks: World) -> None:
    desks.store.keys.create("gone", [Role.PM], secrets.token_hex(8))
    desks.store.keys.revoke("gone")
    asked = submit(entry(), actor=Actor(key="gone", roles=(Role.PM,)))
    await (await hand_in(desks, asked)).is_refused(Code.NOT_AUTHORIZED)


@pytest.mark.parametrize("claimed", [Role.VIEWER, Role.PM])
async def test_a_role_that_the_key_has_not_is_refused(desks: World, claimed: Role) -> None:
    name = f"viewer-{claimed}"
    desks.store.keys.create(name, [Role.VIEWER], secrets.token_hex(8))
    asked = submit(entry(), actor=Actor(key=name, roles=(claimed,)))
    await (await hand_in(desks, asked)).is_refused(Code.NOT_AUTHORIZED)


async def test_a_tenant_that_has_moved_on_takes_its_orders_with_it(desks: World) -> None:
    """The portfolio is looked up when the command is carried out, not when it was handed in."""
    desks.store.tenants.put(Tenant(tenant="moved", portfolio_id="PORT-003"))
    await (await hand_in(desks, submit(entry(), tenant="moved"))).is_refused(Code.INVALID_PORTFOLIO)


async def test_a_payload_for_another_tenant_is_refused(desks: World) -> None:
    asked = signed("oms.submit", {"orders": [entry()], "tenant": "other"})
    await (await hand_in(desks, asked)).is_refused(Code.VALIDATION_FAILED)


async def test_a_key_named_like_another_tenants_is_refused(desks: World) -> None:
    asked = submit(entry(), idem_key=f"oms:other:{secrets.token_hex(8)}")
    await (await hand_in(desks, asked)).is_refused(Code.VALIDATION_FAILED)


async def test_a_field_that_nobody_knows_is_refused_by_the_worker_too(desks: World) -> None:
    given = await hand_in(desks, submit(entry(trailer={"quantity": 1})))
    await given.is_refused(Code.VALIDATION_FAILED)
    ended = await given.outcome()
    assert ended.refusal is not None
    assert ended.refusal.facts["field"] == "orders.0.trailer"


async def test_an_envelope_without_a_key_stands_under_its_nonce(desks: World) -> None:
    nonce = secrets.token_urlsafe(16)
    envelope = envelopes.sign(
        envelopes.CommandKind.SUBMIT, "nts", {"orders": [entry()]}, SECRET, nonce=nonce, ts_ms=now_ms()
    )
    asked = submit(entry()).model_copy(
        update={"envelope": envelopes.text(envelope), "idem_key": envelopes.nonce_key("nts", nonce)}
    )
    given = await hand_in(desks, asked)
    assert (await given.outcome()).status is CommandStatus.DONE
    assert len(given.orders()) == 1
    elsewhere = asked.model_copy(update={"idem_key": "oms:nts:elsewhere-again", "message_id": "2"})
    await (await hand_in(desks, elsewhere)).is_refused(Code.BAD_SIGNATURE)


async def test_a_refusal_is_kept_with_the_command_that_the_api_kept(desks: World) -> None:
    asked = submit(entry(), ts_ms=now_ms() - 10 * MINUTE_MS)
    kept = claimed(desks, asked)
    given = await hand_in(desks, asked)
    await given.is_refused(Code.STALE_ENVELOPE)
    assert given.kept().status is CommandStatus.REFUSED
    assert (given.kept().refusal, given.kept().payload) == ((await given.outcome()).refusal, kept.payload)


async def test_what_nobody_has_signed_claims_no_key(desks: World) -> None:
    given = await hand_in(desks, submit(entry(), secret=secrets.token_hex(16)))
    await given.is_refused(Code.BAD_SIGNATURE)
    assert given.record is None


def claimed(world: World, asked: CommandInput) -> CommandRecord:
    """The command's record, as the API keeps it before it starts the workflow."""
    given = json.loads(asked.envelope)
    record = CommandRecord(
        idem_key=asked.idem_key,
        message_id=asked.message_id,
        tenant=given["tenant"],
        kind=given["kind"],
        digest=envelopes.digest(given["tenant"], given["kind"], given["payload"]),
        key_name=asked.actor.key,
        status=CommandStatus.ENQUEUED,
        payload=given["payload"],
        received_ns=asked.received_ns,
        updated_ns=asked.received_ns,
    )
    kept, is_new = world.store.commands.claim(record, window_ns=None)
    assert is_new
    return kept


async def test_an_older_secret_still_verifies(desks: World) -> None:
    """While a secret is replaced there are two: the first signs, each of them verifies."""
    old = secrets.token_hex(16)
    async with another_worker(desks, f"{secrets.token_hex(16)}, {old}"):
        given = await hand_in(desks, submit(entry(), secret=old), queue=ANOTHER_QUEUE)
        assert (await given.outcome()).status is CommandStatus.DONE


async def test_a_worker_without_a_secret_refuses_everything(desks: World) -> None:
    async with another_worker(desks, ""):
        given = await hand_in(desks, submit(entry()), queue=ANOTHER_QUEUE)
        await given.is_refused(Code.BAD_SIGNATURE)
        unsigned = await hand_in(desks, submit(entry(), secret=" "), queue=ANOTHER_QUEUE)
        await unsigned.is_refused(Code.BAD_SIGNATURE)
    ended = await given.outcome()
    assert ended.refusal is not None
    assert "ENVELOPE_SECRET" in ended.refusal.message

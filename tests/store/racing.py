"""Claims that race: many threads of several processes, each with connections of its own, at one moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

from tests.store.commanding import WINDOW_NS, command

from oms.domain.programs.targets import Plan
from oms.domain.programs.tenants import Tenant
from oms.store import Store, Taken

PROCESSES, THREADS = 4, 13


def _of_a_key(store: Store, number: int) -> tuple[str, bool]:
    kept, new = store.commands.claim(command(number, idem_key="oms:nts:same"), window_ns=None)
    return kept.message_id, new


def _of_a_digest(store: Store, number: int) -> tuple[str, bool]:
    kept, new = store.commands.claim(command(1000 + number, what="repeated"), window_ns=WINDOW_NS)
    return kept.message_id, new


def _of_a_nonce(store: Store, number: int) -> tuple[str, bool]:
    holder = store.nonces.claim("AAAAAAAAAAAAAAAAAAAAAA", f"oms:nts:{number}", number)
    return holder, holder == f"oms:nts:{number}"


def _of_a_plan(store: Store, number: int) -> tuple[str, bool]:
    plan = Plan(aim_id="b/0", held=Decimal(number), working=Decimal(0), delta=Decimal(0))
    kept = store.targets.plan_once("b/0", plan)
    return str(kept.held), kept == plan


def _of_a_tenant(store: Store, number: int) -> tuple[str, bool]:
    own = f"PORT-{number}"
    with suppress(Taken):
        store.tenants.put(Tenant(tenant="raced", portfolio_id=own))
    kept = store.tenants.get("raced")
    assert kept is not None
    return kept.portfolio_id, kept.portfolio_id == own


def _of_a_portfolio(store: Store, number: int) -> tuple[str, bool]:
    own = f"tenant-{number}"
    with suppress(Taken):
        store.tenants.put(Tenant(tenant=own, portfolio_id="PORT-raced"))
    kept = store.tenants.of_portfolio("PORT-raced")
    assert kept is not None
    return kept.tenant, kept.tenant == own


CLAIMS: dict[str, Callable[[Store, int], tuple[str, bool]]] = {
    "key": _of_a_key,
    "digest": _of_a_digest,
    "nonce": _of_a_nonce,
    "plan": _of_a_plan,
    "tenant": _of_a_tenant,
    "portfolio": _of_a_portfolio,
}


def raced(url: str) -> dict[str, list[tuple[str, bool]]]:
    """By claim: what each claimant was answered, and whether it won."""
    context = get_context("spawn")
    barrier, answers = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=_claim_all, args=(url, number, barrier, answers), daemon=True)
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=90) for _ in processes]
    for process in processes:
        process.join(timeout=30)
    return {name: [answer for one in found for answer in one[name]] for name in CLAIMS}


def _claim_all(url: str, number: int, barrier: Any, answers: Any) -> None:
    store = Store(url)
    store.check()
    mine = range(number * THREADS, (number + 1) * THREADS)
    found = {}
    with ThreadPoolExecutor(THREADS) as threads:
        for name, claim in CLAIMS.items():
            barrier.wait(60)
            found[name] = list(threads.map(claim, [store] * THREADS, mine))
    answers.put(found)
    store.close()

"""The task queues of a session's accounts are served by whoever has the lease, and by nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.paper.ib_gateway import PaperIBGateway
from oms.store import Store
from oms.workers.ibkr import Queues, ibkr_settings, serve
from oms.workers.settings import Settings
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.resync import RESYNC_WORKFLOW, ResyncGateway, ResyncInput, ResyncOutcome
from tests.gateways.rig import ACCOUNT, Rig, eventually
from tests.stack import TemporalServer, temporal_server


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[TemporalServer]:
    async with temporal_server() as running:
        yield running


@pytest.fixture(scope="module")
async def client(server: TemporalServer) -> Client:
    return await server.client()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    store = Store(f"sqlite:///{tmp_path}/oms.db")
    store.migrate()
    paper = PaperIBGateway(state_file=tmp_path / "paper.db")
    await paper.start()
    settings = IBKRSettings(port=paper.port, accounts=(ACCOUNT,), lease_seconds=5.0, grace_seconds=0.2)
    rig = Rig(paper, store, settings)
    yield rig
    await rig.close()
    await paper.stop()
    store.close()


@asynccontextmanager
async def process(server: TemporalServer, gateway: IBKRGateway) -> AsyncIterator[Queues]:
    """What `oms gateway ibkr` runs, with a connection of its own, stopped as it stops."""
    queues = Queues(await server.client(), gateway, 8)
    running = asyncio.create_task(queues.run())
    yield queues
    running.cancel()
    await asyncio.wait([running])
    await gateway.stop()


async def resynced(client: Client, request_id: str) -> ResyncOutcome:
    asked = ResyncInput(name="ibkr", venue="IBKR", account=ACCOUNT, request_id=request_id)
    running = Worker(
        client,
        task_queue=DESK_QUEUE,
        workflows=[ResyncGateway],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with running:
        outcome: ResyncOutcome = await client.execute_workflow(
            RESYNC_WORKFLOW,
            asked,
            id=asked.workflow_id,
            task_queue=DESK_QUEUE,
            result_type=ResyncOutcome,
        )
    return outcome


async def test_a_standby_polls_no_queue_until_it_takes_over(
    rig: Rig, server: TemporalServer, client: Client
) -> None:
    async with AsyncExitStack() as second:
        async with process(server, await rig.gateway()) as leader:
            await eventually(lambda: leader._workers)
            standby = await second.enter_async_context(process(server, await rig.started()))
            await eventually(lambda: "another process" in (standby._gateway._gate.reason or ""))
            first = await resynced(client, "first")
            assert first.resynced is not None
            assert first.resynced.name == "ibkr"
            assert standby._workers == {}
        await eventually(lambda: standby._workers.keys() == {ACCOUNT})
        await asyncio.wait_for(standby._gateway.ready(), 5)
        assert (await resynced(client, "second")).resynced is not None


async def test_a_gateway_that_loses_its_lease_serves_no_more(
    rig: Rig, server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway(lease_seconds=0.6)
    async with process(server, gateway) as queues:
        await eventually(lambda: queues._workers)

        def away(*_: object) -> bool:
            raise ConnectionError("the store is away")

        monkeypatch.setattr(rig.store.leases, "acquire", away)
        await eventually(lambda: queues._workers == {})
        monkeypatch.undo()
        await eventually(lambda: queues._workers.keys() == {ACCOUNT})


async def test_a_gateway_that_dies_of_a_defect_takes_the_process_with_it(
    rig: Rig, server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    queues = Queues(await server.client(), gateway, 8)
    serving = asyncio.create_task(serve(queues, gateway))
    await eventually(lambda: queues._workers)

    def failing() -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(gateway._rounds, "connected", failing)
    rig.paper.drop_connections()
    with pytest.raises(RuntimeError, match="nobody foresaw this"):
        await asyncio.wait_for(serving, 20)
    assert queues._workers == {}
    await gateway.stop()
    assert rig.store.leases.holder(rig.settings.lease_key) is None


def test_a_session_is_named_after_its_client_id_unless_it_is_named() -> None:
    assert ibkr_settings(Settings(ibkr_client_id=18)).name == "ibkr/18"
    named = ibkr_settings(Settings(ibkr_client_id=18, ibkr_name="ibkr/london"))
    assert (named.name, named.order_ids_key) == ("ibkr/london", "ibkr/london/18")


@pytest.mark.parametrize(
    ("given", "means"), [("16:30", "16:30:00"), ("none", None), ("None", None), (None, None)]
)
def test_times_of_day_are_written_as_people_do(given: object, means: str | None) -> None:
    read = Settings(ibkr_end_of_day=given).ibkr_end_of_day
    assert (read and read.isoformat()) == means
    with pytest.raises(ValueError, match="no time of day"):
        Settings(ibkr_daily_restart=2345)

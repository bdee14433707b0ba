"""`oms reconcile flex`: compare our books with the broker's statement now."""

import asyncio
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from oms.cli.connecting import console
from oms.cli.leaving import complain, run_and_leave
from oms.cli.running import settings_from
from oms.workers.settings import Settings

if TYPE_CHECKING:
    from oms.domain.statements import FlexAsk
    from oms.workflows.flex import FlexOutcome

_NOBODY = "no statements are fetched here: a worker needs OMS_FLEX_TOKEN and OMS_FLEX_QUERY_ID (docs/flex.md)"


def reconcile_flex(
    from_date: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; default: the query's.")
    ] = None,
    to_date: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; default: the query's.")
    ] = None,
    temporal: Annotated[
        str | None, typer.Option(help="HOST:PORT of Temporal, where it is not the configured one.")
    ] = None,
) -> None:
    """Fetch the broker's Flex statement now and compare; exit code 1 where it differs or was not compared."""
    settings = settings_from(temporal_address=temporal)
    run_and_leave(_reconcile(settings, _day(from_date), _day(to_date)))


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


async def _reconcile(settings: Settings, from_date: date | None, to_date: date | None) -> int:
    from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
    from temporalio.service import RPCError, RPCStatusCode

    from oms.domain.statements import FlexAsk
    from oms.workers.errors import Unreachable

    try:
        outcome = await _asked(settings, FlexAsk(from_date=from_date, to_date=to_date))
    except Unreachable as error:
        complain(str(error))
    except RPCError as error:
        complain(_NOBODY if error.status is RPCStatusCode.NOT_FOUND else str(error), code=1)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        complain("no statement came in time; the workflow goes on asking", code=1)
    _show(outcome)
    return 0 if outcome.is_clean else 1


async def _asked(settings: Settings, ask: "FlexAsk") -> "FlexOutcome":
    from oms.workers.temporal import connect
    from oms.workflows.flex import ASKED_WITHIN, FLEX_ID, RECONCILE_UPDATE, FlexOutcome

    client = await connect(settings)
    handle = client.get_workflow_handle(FLEX_ID)
    async with asyncio.timeout(ASKED_WITHIN.total_seconds()):
        outcome: FlexOutcome = await handle.execute_update(RECONCILE_UPDATE, ask, result_type=FlexOutcome)
    return outcome


def _show(outcome: "FlexOutcome") -> None:
    if outcome.failed is not None:
        complain(outcome.failed, code=1)
    table = Table("Account", "From", "To", "Trades", "Match", "Given to orders", "Differences", "Notes")
    for one in outcome.compared:
        numbers = (one.trades, one.matched, one.given, one.differences)
        days = (str(one.from_date), str(one.to_date))
        table.add_row(one.account, *days, *map(str, numbers), "; ".join(one.notes))
    console().print(table)


def add_commands(application: typer.Typer) -> None:
    reconcile = typer.Typer(help="Compare our books with somebody else's.", no_args_is_help=True)
    reconcile.command("flex")(reconcile_flex)
    application.add_typer(reconcile, name="reconcile")

    @reconcile.callback()
    def _books() -> None:
        """Compare our books with somebody else's."""

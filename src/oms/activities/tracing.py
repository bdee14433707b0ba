"""Asking Temporal about the workflows of orders: whether one runs, and whether it is where its projection is."""

from datetime import timedelta

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from oms.domain.findings import Invariant, Suspect, out_of_step
from oms.domain.identifiers import workflow_id
from oms.domain.order import Order

_CALL = timedelta(seconds=5)


class NoAnswer(Exception):
    """Temporal, or the worker behind a query, did not answer: nothing is known of the order's workflow."""


class RunningOrders:
    """The workflows of orders. `state_query` is the query that each of them answers its order to."""

    def __init__(self, client: Client, *, state_query: str) -> None:
        self._client = client
        self._state_query = state_query

    async def compared(self, order: Order) -> Suspect | None:
        """How the workflow of an order that is not terminal differs from `order`, its projection. Raises NoAnswer."""
        handle = self._client.get_workflow_handle(workflow_id(order.order_id))
        try:
            state: Order = await handle.query(
                self._state_query,
                result_type=Order,
                reject_condition=QueryRejectCondition.NOT_OPEN,
                rpc_timeout=_CALL,
            )
        except WorkflowQueryRejectedError as rejected:
            status = rejected.status.name if rejected.status is not None else "not running"
            return _stopped(Invariant.WORKFLOW, order.order_id, f"{order.state}, its workflow is {status}")
        except WorkflowQueryFailedError as failed:
            raise NoAnswer(str(failed)) from failed
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise NoAnswer(str(error)) from error
            return _stopped(Invariant.WORKFLOW, order.order_id, f"{order.state}, it has no workflow")
        return out_of_step(state, order)

    async def traced(self, order_id: str) -> Suspect | None:
        """Why nobody runs an order that has a placement which may still trade, or None. Raises NoAnswer."""
        handle = self._client.get_workflow_handle(workflow_id(order_id))
        try:
            status = (await handle.describe(rpc_timeout=_CALL)).status
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise NoAnswer(str(error)) from error
            return _stopped(Invariant.PLACEMENTS, order_id, "a placement may trade, there is no workflow")
        if status is WorkflowExecutionStatus.RUNNING:
            return None
        name = status.name if status is not None else "unknown"
        return _stopped(Invariant.PLACEMENTS, order_id, f"a placement may trade, the workflow is {name}")


def _stopped(name: Invariant, order_id: str, detail: str) -> Suspect:
    return Suspect(name=name, order_id=order_id, detail=detail)

"""The custodian, over its HTTP interface: instructions out, its word and its statement in."""

import time
from datetime import timedelta
from typing import Any

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from oms.domain.facts import CustodianStatement, SettlementReported
from oms.domain.instructions import SettlementInstruction
from oms.domain.settlement import CustodianAnswer


class CustodyActivities:
    """`client` is bound to the custodian's address."""

    def __init__(self, client: httpx.Client, ask_again: timedelta = timedelta(seconds=1)) -> None:
        self._client = client
        self._ask_again = ask_again

    @activity.defn(name="instruct_custodian")
    def instruct_custodian(self, told: SettlementInstruction) -> CustodianAnswer:
        """Give the custodian one instruction under its own id. Twice: the custodian holds it already."""
        answer = self._client.put(
            f"/instructions/{told.instruction_id}",
            content=told.model_dump_json(),
            headers={"content-type": "application/json"},
        )
        if answer.status_code == httpx.codes.CONFLICT:
            raise ApplicationError(
                f"the custodian holds another instruction under {told.instruction_id}: {answer.text}",
                type="InstructionConflict",
                non_retryable=True,
            )
        answer.raise_for_status()
        return CustodianAnswer(word=_word(told, answer.json()))

    @activity.defn(name="ask_custodian")
    def ask_custodian(self, told: SettlementInstruction) -> SettlementReported:
        """The custodian's word on an instruction. Reads only; tried again until there is a word.

        A custodian that does not know the instruction is given it again under the same id.
        """
        answer = self._client.get(f"/instructions/{told.instruction_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            self.instruct_custodian(told)
            raise self._not_yet("the custodian did not know the instruction; it was given again")
        answer.raise_for_status()
        word = _word(told, answer.json())
        if word is None:
            raise self._not_yet(f"{told.instruction_id} is pending at the custodian")
        return word

    def _not_yet(self, why: str) -> ApplicationError:
        return ApplicationError(
            why,
            type="NotYet",
            next_retry_delay=self._ask_again,
            category=ApplicationErrorCategory.BENIGN,
        )


def _word(told: SettlementInstruction, said: dict[str, Any]) -> SettlementReported | None:
    """The custodian's word, or None while the instruction is pending."""
    if said["status"] == "PENDING":
        return None
    now = time.time_ns()
    statement = said.get("statement")
    return SettlementReported(
        ts_event_ns=int(said.get("ts_event_ns") or now),
        ts_init_ns=now,
        instruction_id=told.instruction_id,
        settled=said["status"] == "SETTLED",
        reason=said.get("reason"),
        statement=CustodianStatement.model_validate(statement) if statement else None,
    )

"""What nobody foresaw: a problem with the request id, and the trace in the log."""

import httpx
from starlette.responses import Response
from structlog.testing import capture_logs

from oms.api.app import create_app
from oms.api.routers.shared import book_router
from tests.api.desk import Desk


async def test_a_defect_is_internal_and_its_trace_is_logged(desk: Desk) -> None:
    app = create_app(desk.context)
    router = book_router("/v1/broken", "broken")

    @router.get("")
    def broken() -> Response:
        raise KeyError("a secret detail")

    app.include_router(router)
    app.add_api_route("/open-and-broken", broken)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://oms") as client:
        for path in ("/v1/broken", "/open-and-broken"):
            with capture_logs() as logged:
                answer = await Desk(client, desk.context).get(path, X_Request_ID="find-me")
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (500, "INTERNAL")
            assert (problem["request_id"], answer.headers["x-request-id"]) == ("find-me", "find-me")
            assert "secret" not in answer.text
            (defect,) = [line for line in logged if line["log_level"] == "error"]
            assert defect["request_id"] == "find-me"
            assert isinstance(defect["exc_info"], KeyError)

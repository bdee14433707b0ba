"""Logging for every process: structlog to one handler, JSON lines for machines or colours for eyes."""

import logging
import sys
from pathlib import Path

import structlog
from structlog.typing import Processor

from oms.workers.settings import Settings


def configure_logging(settings: Settings, process: str, file: Path | None = None) -> None:
    """Send structlog and the standard library's logging to `file`, or to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    as_json: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    renderer = as_json if settings.log_json else [structlog.dev.ConsoleRenderer()]
    handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for quiet in ("httpx", "httpcore", "alembic", "temporalio.activity", "ib_async"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)

"""Every setting: an OMS_* environment variable, or a line of oms.toml in the data folder, or its default."""

import os
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "OMS_"


class SettlementClock(StrEnum):
    REAL = "real"
    FAST = "fast"


class Settings(BaseSettings):
    """Read once at start. `oms config` prints this list with its meanings and where each value came from."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    data_dir: Path = Field(
        Path("oms-data"), description="Folder of the embedded stack: databases, keys, logs."
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(9191, ge=0, le=65535, description="Port of the API; 0 means any free one.")
    database_url: str = Field(
        "", description="SQLAlchemy URL of the store; empty: oms.db in the data folder."
    )
    max_body_bytes: int = Field(
        2_000_000, gt=0, description="Largest request body; a larger one answers 413."
    )
    api_requests_per_second: int = Field(
        200,
        ge=0,
        description="Requests a second that a key may send to one API process, on average; more answer 429. 0: any.",
    )
    api_burst_seconds: int = Field(
        2, ge=1, le=3600, description="How many seconds' worth of those requests may come at once."
    )
    api_tokens: str = Field(
        "", description="Comma-separated keys that need no key store (also read from API_TOKENS).", repr=False
    )
    development: bool = Field(
        False,
        description="Development mode: `/oms` is open to everybody while there is no key and no token at all.",
    )
    envelope_secret: str = Field(
        "",
        description="Secret(s) that sign commands, comma-separated: the first signs, each of them verifies "
        "(also read from ENVELOPE_SECRET).",
        repr=False,
    )
    envelope_window_seconds: float = Field(
        300, gt=0, description="How far an envelope's ts may be from the moment it was handed in."
    )
    command_window_seconds: float = Field(
        600, gt=0, description="How long the same command without an idem_hint is the same command."
    )
    targets_account: str = Field(
        "", description="Broker account of targets that name none; empty: the first of OMS_IBKR_ACCOUNT."
    )
    targets_send_seconds: float = Field(
        60, gt=0, description="How long after a batch of targets was posted its orders may still be sent."
    )

    temporal_address: str = Field("127.0.0.1:7233", description="Host and port of the Temporal frontend.")
    temporal_namespace: str = Field("default", description="Temporal namespace.")
    temporal_tls: bool = Field(False, description="Speak TLS to Temporal.")
    temporal_api_key: str = Field("", description="API key for Temporal Cloud; never logged.", repr=False)
    temporal_cli: str = Field(
        "", description="Path of the temporal binary; empty: from PATH or the environment."
    )
    temporal_port: int = Field(7233, ge=0, le=65535, description="Port of the embedded Temporal server.")
    ui_port: int = Field(8233, ge=0, le=65535, description="Port of the embedded Temporal Web UI.")

    max_cached_workflows: int = Field(5_000, ge=1, description="Orders one worker keeps in memory.")
    max_workflow_tasks: int = Field(12, ge=2, description="Workflow tasks one worker runs at a time.")
    activity_threads: int = Field(16, ge=1, description="Threads for store and custodian activities.")
    sticky_seconds: float = Field(
        5,
        gt=0,
        description="How long a task waits for the worker that knows the order before any worker takes it.",
    )

    ibkr_host: str = Field("127.0.0.1", description="Host of the IB Gateway or TWS.")
    ibkr_port: int = Field(4002, ge=0, le=65535, description="Port of the IB Gateway or TWS.")
    ibkr_account: str = Field("DU123456", description="Broker account(s) of the session, comma-separated.")
    ibkr_client_id: int = Field(17, gt=0, description="Client id; one gateway process owns it.")
    ibkr_name: str = Field(
        "",
        description="Name of the session in reports, intents and inbox; empty: ibkr/<client id>. Sessions at "
        "different hosts may use one client id under different names; a session keeps its name for good.",
    )
    ibkr_messages_per_second: int = Field(
        40,
        gt=0,
        description="Messages a second to IB; its own ceiling is 50, the library's throttle follows.",
    )
    ibkr_acknowledge_seconds: float = Field(5, gt=0, description="Without an answer for so long: in doubt.")
    ibkr_grace_seconds: float = Field(
        2, gt=0, description="Pause between two looks for an order before it is absent."
    )
    ibkr_heartbeat_seconds: float = Field(
        5, gt=0, description="How often the broker must show a sign of life."
    )
    ibkr_timezone: str = Field("US/Eastern", description="Zone of the times that IB sends without one.")
    ibkr_reconcile_seconds: float = Field(30, gt=0, description="How often the broker's lists are compared.")
    ibkr_compare_rounds: int = Field(
        10, ge=1, description="Every so many of these comparisons the broker's positions are compared too."
    )
    ibkr_end_of_day: time | None = Field(
        time(16, 30),
        description="Time of day in OMS_IBKR_TIMEZONE of the last reading of the day's orders and executions; "
        "`none`: no such reading.",
    )
    ibkr_daily_restart: time | None = Field(
        None,
        description="Time of day in OMS_IBKR_TIMEZONE at which IB Gateway restarts itself: nothing is sent two "
        "minutes before and after. `none`: it does not.",
    )

    ibkr_lease_seconds: float = Field(
        10,
        gt=0,
        description="How long a gateway that died keeps a standby from its client id and its accounts.",
    )
    gateway_activities: int = Field(64, ge=1, description="Placements and cancels one gateway has under way.")

    flex_url: str = Field(
        "https://ndcdyn.interactivebrokers.com/AccountManagement/FlexWebService",
        description="Address of the Flex Web Service, which gives the broker's statements.",
    )
    flex_token: str = Field(
        "", description="Token of the Flex Web Service; never logged. Empty: no statements.", repr=False
    )
    flex_query_id: str = Field("", description="Id of the Activity Flex Query to compare with.")
    flex_at: str = Field(
        "07:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="When its statement is fetched each day, on the clocks of OMS_IBKR_TIMEZONE.",
    )

    settlement_clock: SettlementClock = Field(
        SettlementClock.REAL, description="real, or fast: settlement dates fall due in seconds."
    )
    fast_settlement_seconds: float = Field(1.5, ge=0, description="How many seconds on the fast clock.")
    custodian_url: str = Field("http://127.0.0.1:9292", description="Base address of the custodian.")

    paper: bool = Field(True, description="Start the paper venues (`--no-paper` switches them off).")
    paper_seed: int = Field(1, description="Seed of the paper market.")
    paper_faults: str = Field(
        "",
        description="File of the paper IB Gateway's fault plan, read again whenever it changes; empty: no faults.",
    )
    paper_ibkr_port: int = Field(
        0, ge=0, le=65535, description="Port of the paper IB Gateway; 0: any free one."
    )
    paper_custodian_port: int = Field(
        0, ge=0, le=65535, description="Port of the paper custodian; 0: any free one."
    )
    paper_flex_port: int = Field(
        0, ge=0, le=65535, description="Port of the paper Flex Web Service; 0: any free one."
    )

    log_level: str = Field("info", description="debug, info, warning or error.")
    log_json: bool = Field(True, description="Log lines as JSON; false: for eyes.")

    @field_validator("ibkr_end_of_day", "ibkr_daily_restart", mode="before")
    @classmethod
    def _a_time_of_day(cls, given: Any) -> Any:
        """`16:30`, or no time at all. Raises ValueError for a number, which pydantic would take for seconds."""
        if given is None or isinstance(given, time):
            return given
        if isinstance(given, str):
            return None if given.strip().lower() in ("", "none") else time.fromisoformat(given.strip())
        raise ValueError("is no time of day such as 16:30")

    @field_validator("ibkr_account")
    @classmethod
    def _names_an_account(cls, accounts: str) -> str:
        if not accounts.replace(",", "").strip():
            raise ValueError("names no broker account")
        return accounts

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment, then oms.toml."""
        given = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        folder = given.get("data_dir") or _from_environment(settings_cls).get("data_dir") or "oms-data"
        file = Path(str(folder)) / "oms.toml"
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @property
    def store_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'oms.db').resolve()}"

    @property
    def accounts(self) -> tuple[str, ...]:
        return _listed(self.ibkr_account)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The keys that need no key store: of the setting, else of API_TOKENS."""
        return _listed(self.api_tokens or os.environ.get("API_TOKENS", ""))

    @property
    def envelope_secrets(self) -> tuple[str, ...]:
        """What signs commands (the first) and verifies them (each): of the setting, else of ENVELOPE_SECRET."""
        return _listed(self.envelope_secret or os.environ.get("ENVELOPE_SECRET", ""))

    @property
    def ibkr_session(self) -> str:
        """The name of the IBKR session."""
        return self.ibkr_name or f"ibkr/{self.ibkr_client_id}"

    @property
    def settles_after(self) -> float | None:
        """Seconds to settlement on the fast clock, or None on the real one."""
        return self.fast_settlement_seconds if self.settlement_clock is SettlementClock.FAST else None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _from_environment(settings_cls: type[BaseSettings]) -> dict[str, Any]:
    return EnvSettingsSource(settings_cls, env_prefix=PREFIX)()

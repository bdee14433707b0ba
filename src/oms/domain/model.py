"""The base of every value in the domain: frozen, closed, compared by content."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen value. Unknown fields are refused, so a misspelled one is never lost silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Open(BaseModel):
    """A frozen value read from history: fields a later version added are ignored, never fatal."""

    model_config = ConfigDict(frozen=True, extra="ignore")

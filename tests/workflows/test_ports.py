"""Each port is held to the activity behind it: the same name, the same argument, the same result."""

import importlib
import inspect
import pkgutil
import typing
from typing import Any

import pytest
from temporalio import activity

import oms.activities
from oms.workflows import ports
from oms.workflows.order import OrderWorkflow
from oms.workflows.ports import LocalPort, Port


def activities() -> dict[str, Any]:
    """Every activity of every class in oms.activities, by the name it is registered under."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(oms.activities.__path__, "oms.activities."):
        loaded = importlib.import_module(module.name)
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            for _, method in inspect.getmembers(kind, inspect.isfunction):
                definition = activity._Definition.from_callable(method)
                if definition is not None and definition.name:
                    found[definition.name] = method
    return found


def declared() -> dict[str, tuple[LocalPort[Any, Any] | Port[Any, Any], type, type]]:
    """Every port of the module by its constant: the port, and the types that its annotation promises."""
    hints = typing.get_type_hints(ports)
    return {
        name: (value, *typing.get_args(hints[name]))
        for name, value in vars(ports).items()
        if isinstance(value, (LocalPort, Port))
    }


@pytest.mark.parametrize("constant", declared())
def test_a_port_is_what_its_activity_is(constant: str) -> None:
    port, argument, result = declared()[constant]
    method = activities()[port.name]
    hints = typing.get_type_hints(method)
    given = [hints[name] for name in inspect.signature(method).parameters if name != "self"]
    assert (given, hints["return"]) == ([argument], result)
    assert port.result is result


def test_every_activity_has_a_port_and_every_port_is_listed() -> None:
    listed = [*ports.LOCAL_PORTS.values(), *ports.PORTS.values()]
    known = [port for port, _, _ in declared().values()]
    assert all(port in listed for port in known)
    assert len(listed) == len(known)
    assert {port.name for port in listed} == activities().keys()
    for listing in (ports.LOCAL_PORTS, ports.PORTS):
        assert all(name == port.name for name, port in listing.items())


@pytest.mark.parametrize("name", activities())
def test_an_activity_says_what_it_does_the_second_time(name: str) -> None:
    said = inspect.getdoc(activities()[name]) or ""
    kind = inspect.getdoc(_class_of(activities()[name])) or ""
    assert any(word in (said + kind).lower() for word in ("twice", "reads only", "again"))


def _class_of(method: Any) -> type:
    owner: type = getattr(importlib.import_module(method.__module__), method.__qualname__.split(".")[0])
    return owner


def test_workflows_ask_through_ports_only() -> None:
    source = inspect.getsource(OrderWorkflow)
    assert "execute_activity" not in source
    assert "execute_local_activity" not in source

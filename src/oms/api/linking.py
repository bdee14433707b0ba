"""OpenAPI links: what a creation answers leads to every operation that takes it, so that tools can walk the book."""

from typing import Any

Document = dict[str, Any]
_REFERENCE = "#/components/schemas/"


def add_links(document: Document) -> None:
    """Give each 201 a link to every operation with one of its ids in the path. Changes the document."""
    takers = _takers(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            made = operation["responses"].get("201")
            if made is not None:
                links = _links(document, made, takers)
                made.update({"links": links} if links else {})


def _takers(document: Document) -> dict[str, list[str]]:
    """The operations that have an id in their path, by the id's name."""
    found: dict[str, list[str]] = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    found.setdefault(parameter["name"], []).append(operation["operationId"])
    return found


def _links(document: Document, made: Document, takers: dict[str, list[str]]) -> Document:
    schema = made.get("content", {}).get("application/json", {}).get("schema", {})
    properties = _resolved(document, schema).get("properties", {})
    always = [name for name, told in properties.items() if told.get("type") == "string"]
    return {
        taker: {"operationId": taker, "parameters": {name: f"$response.body#/{name}"}}
        for name in always
        for taker in takers.get(name, [])
    }


def _resolved(document: Document, schema: Document) -> Document:
    reference: str = schema.get("$ref", "")
    found: Document = document["components"]["schemas"].get(reference.removeprefix(_REFERENCE), schema)
    return found

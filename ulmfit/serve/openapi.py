"""The description of the service at /openapi.json, with the limits and labels of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ulmfit import __version__
from ulmfit.serve.settings import ServeSettings

if TYPE_CHECKING:
    from ulmfit.bundle.description import ClassifierDescription

Schema = dict[str, Any]

REFUSALS = {
    "400": "The body is no JSON in UTF-8.",
    "408": "The body arrived too slowly.",
    "413": "The body is too large.",
    "415": "The body is not of type application/json.",
    "422": "Wrong fields, or more than the limits allow.",
    "429": "Too many texts or requests wait already.",
    "503": "The service ends.",
}


def openapi(description: ClassifierDescription, settings: ServeSettings) -> Schema:
    """Return the OpenAPI 3.1 document."""
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    text = {"type": "string", "maxLength": settings.longest_text}
    prediction = _prediction(description, probability)
    no_text = _object({"error": {"type": "string"}})
    asked = {
        "text": text,
        "texts": {"type": "array", "items": text, "minItems": 1, "maxItems": settings.most_texts},
    }
    calibrated = {
        "type": "boolean",
        "default": False,
        "description": "probabilities at the temperature that was fitted on validation",
    }
    if description.temperature is None:
        calibrated["enum"] = [False]
    words = {
        "type": "array",
        "description": "pairs: a word, and how much the prediction falls without it",
        "items": {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 2, "maxItems": 2},
    }
    explanation = {
        **prediction["properties"],
        "explained": {"type": "string", "description": "the label that the weights are of; empty: no words"},
        "words": words,
        "cut": {"type": "boolean", "description": "whether the text is longer than the classifier reads"},
    }
    either = [_object({name: schema}, {"calibrated": calibrated}) for name, schema in asked.items()]
    predictions = {"type": "array", "items": {"anyOf": [prediction, no_text]}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"ULMFiT classifier {description.name}",
            "version": __version__,
            "description": "Labels for texts. Errors are one line: `error`.",
        },
        "paths": {
            "/predict": {
                "post": _post("Label texts", {"oneOf": either}, _object({"predictions": predictions}))
            },
            "/explain": {
                "post": _post(
                    "Label a text, and say what each word did", _object({"text": text}), _object(explanation)
                )
            },
            "/health": {
                "get": _get("Whether requests are answered, by which model, within which limits", True)
            },
            "/metrics": {"get": _get("Figures in the text format of Prometheus", False)},
        },
    }


def _prediction(description: ClassifierDescription, probability: Schema) -> Schema:
    if description.task == "regression":
        return _object({"value": {"type": "number"}})
    label = {"type": "string", "enum": list(description.labels)}
    probabilities = _object(dict.fromkeys(description.labels, probability))
    chosen = (
        {"label": label}
        if description.task == "single_label"
        else {"labels": {"type": "array", "items": label, "uniqueItems": True}}
    )
    return _object({**chosen, "probabilities": probabilities})


def _object(properties: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def _post(summary: str, body: Schema, answer: Schema) -> Schema:
    refused = {"application/json": {"schema": _object({"error": {"type": "string"}})}}
    responses = {status: {"description": why, "content": refused} for status, why in REFUSALS.items()}
    waits = {"description": "seconds until there may be room", "schema": {"type": "integer", "minimum": 1}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
            **responses,
            "429": {**responses["429"], "headers": {"Retry-After": waits}},
        },
    }


def _get(summary: str, as_json: bool) -> Schema:
    kind, schema = ("application/json", {"type": "object"}) if as_json else ("text/plain", {"type": "string"})
    responses: Schema = {"200": {"description": "Done", "content": {kind: {"schema": schema}}}}
    if as_json:
        responses["503"] = {"description": "The service ends", "content": {kind: {"schema": schema}}}
    return {"summary": summary, "responses": responses}

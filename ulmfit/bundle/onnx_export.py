"""Writes a bundle's classifier as one ONNX file, for programs without PyTorch (extra `onnx`).

Inputs: `ids` (texts, tokens), int64, the tokens of each text in its own order, xxbos first, padded at the end
with any id; `lengths` (texts,), int64, 1 or more. Output: `probabilities` (texts, labels), float32, averaged
over the models of the bundle; in regression `numbers` (texts, 1).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy

from ulmfit.bundle.classifier import TextClassifier
from ulmfit.classifier.tasks import Regression
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4
"""How far a probability may be from torch's in fp32 (regression: in standard deviations)."""
LARGEST = 2_000_000_000
"""Bytes of an ONNX file; protobuf holds no more."""
ERRORS_ONLY = 3
LENGTHS = (1, 2, 7, 30, 71, 150)
"""Tokens of the made-up texts that are compared."""
TOKENS = (
    "Texts become ids by: text_rules, Unicode NFC, then the folder `tokenizer` of the bundle: "
    'ulmfit.tokens.loading.load_tokenizer("BUNDLE/tokenizer").encode(texts). Every text begins with xxbos.'
)


def export_onnx(classifier: TextClassifier, path: Path) -> float:
    """Write a classifier, loaded on the CPU in fp32, to `path`; return the largest difference from torch.

    The file appears when onnxruntime has given the same for made-up texts. Raises InputError where onnx is
    not installed, for a model that is too large for a file, and where predictions differ.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 (for the comparison)
    except ImportError as error:
        raise InputError(
            f'{error.name} is not installed: pip install "ulmfit[onnx]" brings what ulmfit export needs'
        ) from error
    weights = sum(parameter.numel() for one in classifier.members for parameter in one.model.parameters())
    if 4 * weights > LARGEST:
        raise InputError(
            f"{len(classifier.members)} models have {4 * weights / 1e9:.1f} GB of weights, an ONNX file "
            f"holds {LARGEST / 1e9:.0f}: bundle fewer with --row or --seed"
        )
    model = onnx_model(classifier)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        onnx.save(model, str(temporary))
        difference = largest_difference(classifier, temporary)
        scale = classifier.description.target_sd
        if not difference <= TOLERANCE * scale:
            raise InputError(
                f"{path} is not written: its predictions differ from those of the bundle by "
                f"{difference:.2g}, expected {TOLERANCE * scale:g} at most; try another onnxruntime"
            )
    return difference


def onnx_model(classifier: TextClassifier) -> onnx.ModelProto:
    """Return the model of all members, with what a program has to know of it as metadata."""
    from onnx import TensorProto, helper

    from ulmfit.bundle.onnx_graph import IR_VERSION, OPSET, Graph, add_logits, add_tokens

    description = classifier.description
    graph = Graph()
    ids, lengths = "ids", "lengths"
    if read := classifier.members[0].settings.read_tokens:
        lengths = graph.add("Min", lengths, graph.constant([read]))
        ids = graph.cut(ids, graph.constant([0]), graph.constant([read]), 1)
    each = []
    for member in classifier.members:
        tokens = add_tokens(
            graph,
            ids,
            lengths,
            direction=member.direction,
            order=member.backward_order,
            bos_id=classifier.tokenizer.bos_id,
        )
        logits = add_logits(graph, member.model, *tokens)
        if description.task == "single_label":
            each.append(graph.add("Softmax", logits, axis=1))
        elif description.task == "multi_label":
            each.append(graph.add("Sigmoid", logits))
        else:
            task = cast(Regression, member.task)
            scaled = graph.add("Mul", logits, graph.constant(task.sd, numpy.float32))
            each.append(graph.add("Add", scaled, graph.constant(task.mean, numpy.float32)))
    name = "numbers" if description.task == "regression" else "probabilities"
    mean = graph.add("Mean", *each)
    graph.nodes.append(helper.make_node("Identity", [mean], [name]))
    made = helper.make_graph(
        graph.nodes,
        "ulmfit",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["texts"]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["texts", max(len(description.labels), 1)])],
        graph.weights,
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ulmfit",
    )
    helper.set_model_props(model, metadata(classifier))
    return model


def metadata(classifier: TextClassifier) -> dict[str, str]:
    """Return what stands in the file beside the graph; everything but plain names is JSON."""
    content = classifier.description.model_dump(mode="json")
    told = ("labels", "thresholds", "temperature", "text_rules", "text_columns", "maximum_tokens", "licences")
    return {
        "format": "ulmfit classifier 1",
        **{name: content[name] for name in ("name", "language", "task", "dataset", "vocabulary", "commit")},
        **{name: json.dumps(content[name], ensure_ascii=False) for name in told},
        "tokens": TOKENS,
    }


def largest_difference(classifier: TextClassifier, path: Path) -> float:
    """Return the largest difference of onnxruntime's predictions from the classifier's, on made-up texts."""
    import onnxruntime

    random = numpy.random.default_rng(0)
    size = classifier.description.vocabulary_size
    documents = [random.integers(0, size, length).astype(numpy.uint16) for length in LENGTHS]
    for document in documents:
        document[0] = classifier.tokenizer.bos_id
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = session.run(None, padded(documents))[0]
    return float(numpy.abs(found - classifier.values_of(documents)).max())


def padded(documents: list[numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """Return the inputs of the model for texts as a tokenizer encodes them."""
    lengths = numpy.array([len(document) for document in documents], numpy.int64)
    ids = numpy.zeros((len(documents), lengths.max()), numpy.int64)
    for row, document in zip(ids, documents, strict=True):
        row[: len(document)] = document
    return {"ids": ids, "lengths": lengths}

"""The network of a classifier as an ONNX graph: any number of texts, of any length.

A text is read in chunks of `bptt` tokens by a Loop, as `SentenceEncoder` reads it, so that memory is bounded
by a chunk, and the same tokens are pooled. Shapes: B texts, T tokens of the longest, t tokens of a chunk,
E embedding and outputs of the encoder, H units of a layer, K outputs of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ulmfit.classifier.model import SentenceEncoder, TextClassifier
from ulmfit.language_model.lstm import WeightDropLSTM
from ulmfit.language_model.qrnn import WeightDropQRNN
from ulmfit.language_model.settings import BackwardOrder, Direction
from ulmfit.tokens.tokenizer import EOS_ID

OPSET, IR_VERSION = 18, 9
"""Old enough for every runtime of the last years."""
LEAST = float(numpy.finfo(numpy.float32).min)


class Graph:
    """Nodes that are added one by one; each returns the name of its output."""

    def __init__(self, prefix: str = "", weights: list[TensorProto] | None = None) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = [] if weights is None else weights
        """Of the whole model; inner graphs read those of the outer one."""

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or the list of their names."""
        names = [f"{self.prefix}{operator}_{len(self.nodes)}_{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, kind: type = numpy.int64) -> str:
        """Return the name of a constant: a number, or a list of numbers."""
        name = f"{self.prefix}constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(numpy.asarray(value, kind), name))
        return name

    def weight(self, tensor: Tensor | numpy.ndarray) -> str:
        """Return the name of a weight, in fp32."""
        array = tensor.detach().cpu().numpy() if isinstance(tensor, Tensor) else tensor
        return self.constant(array, numpy.float32)

    def inner(self, name: str) -> Graph:
        """Return the graph of a loop's body."""
        return Graph(f"{self.prefix}{name}_{len(self.nodes)}_", self.weights)

    def size(self, tensor: str, axis: int) -> str:
        """Return the size of one axis, a list of one number."""
        return self.add("Shape", tensor, start=axis, end=axis + 1)

    def range(self, tensor: str, axis: int) -> str:
        """Return the numbers from 0 on, as many as the axis is long."""
        size = self.add("Squeeze", self.size(tensor, axis), self.constant([0]))
        return self.add("Range", self.constant(0), size, self.constant(1))

    def cut(self, tensor: str, begin: str, end: str, axis: int) -> str:
        """Return a part of a tensor along an axis; `begin` and `end` are lists of one number."""
        return self.add("Slice", tensor, begin, end, self.constant([axis]))


def add_tokens(
    graph: Graph, ids: str, lengths: str, *, direction: Direction, order: BackwardOrder, bos_id: int
) -> tuple[str, str]:
    """Return ids (B, T) and lengths (B) as a model of this direction reads them (`reading_order`).

    Given are the tokens of texts in the order of the text, xxbos first.
    """
    if direction == "forward":
        return ids, lengths
    places = graph.add("Unsqueeze", graph.range(ids, 1), graph.constant([0]))
    if order == "eos-first":  # a token more: the first place is that of xxeos
        more = graph.add("Add", graph.size(ids, 1), graph.constant([1]))
        end = graph.add("Squeeze", more, graph.constant([0]))
        places = graph.add("Range", graph.constant(0), end, graph.constant(1))
        places = graph.add("Unsqueeze", places, graph.constant([0]))
    ends = graph.add("Unsqueeze", lengths, graph.constant([1]))
    if order == "bos-last":
        ends = graph.add("Sub", ends, graph.constant(1))
    last = graph.add("Sub", graph.size(ids, 1), graph.constant([1]))
    chosen = graph.add("Min", graph.add("Sub", ends, places), last)
    # What is below 0 is padding.
    chosen = graph.add("Max", chosen, graph.constant([0]))
    read = graph.add("GatherElements", ids, chosen, axis=1)
    if order == "bos-last":
        return read, lengths
    first = graph.add("Equal", places, graph.constant([0]))
    read = graph.add("Where", first, graph.constant(bos_id if order == "bos-first" else EOS_ID), read)
    if order == "bos-first":
        return read, lengths
    return read, graph.add("Add", lengths, graph.constant(1))


def add_logits(graph: Graph, model: TextClassifier, ids: str, lengths: str) -> str:
    """Return the logits (B, K) of texts as the model reads them: ids (B, T) and lengths (B)."""
    encoder = model.encoder
    begins = _begins(graph, encoder, lengths)
    layers = encoder.module.layers()
    units = encoder.module.units[-1]
    rows = graph.size(ids, 0)

    def filled(value: float, *shape: str) -> str:
        tensor = numpy_helper.from_array(numpy.array([value], numpy.float32))
        return graph.add("ConstantOfShape", graph.add("Concat", *shape, axis=0), value=tensor)

    state = [
        filled(0, graph.constant([1]), rows, graph.constant([size]))
        for layer in layers
        for size in _state_sizes(layer)
    ]
    pooled = [filled(value, rows, graph.constant([units])) for value in (0, LEAST, 0)]
    longest = graph.add("ReduceMax", lengths, graph.constant([0]), keepdims=0)
    more = graph.add("Add", longest, graph.constant(encoder.bptt - 1))
    chunks = graph.add("Div", more, graph.constant(encoder.bptt))
    body = _chunk(graph.inner("chunk"), encoder, ids, lengths, begins, len(state))
    found = graph.add("Loop", chunks, "", *state, *pooled, outputs=len(state) + len(pooled), body=body)
    last, maximum, total = found[len(state) :]
    count = graph.add("Sub", lengths, begins) if begins else lengths
    count = graph.add("Cast", graph.add("Unsqueeze", count, graph.constant([1])), to=TensorProto.FLOAT)
    vector = graph.add("Concat", last, maximum, graph.add("Div", total, count), axis=1)
    return _head(graph, cast(nn.Sequential, model.head.layers), vector)


def _begins(graph: Graph, encoder: SentenceEncoder, lengths: str) -> str:
    """Return the first pooled token of each text (B); "" if all tokens are pooled (`_before_pooling`)."""
    if not encoder.pooled_tokens:
        return ""
    bptt = graph.constant(encoder.bptt)
    over = graph.add("Sub", lengths, graph.constant(encoder.pooled_tokens))
    whole = graph.add("Div", graph.add("Add", over, graph.constant(encoder.bptt - 1)), bptt)
    before_last = graph.add("Div", graph.add("Sub", lengths, graph.constant(1)), bptt)
    begins = graph.add("Mul", graph.add("Min", whole, before_last), bptt)
    return graph.add("Where", graph.add("Greater", over, graph.constant(0)), begins, graph.constant(0))


def _state_sizes(layer: WeightDropLSTM | WeightDropQRNN) -> list[int]:
    if isinstance(layer, WeightDropLSTM):
        return [layer.units, layer.units]
    return [layer.units] if layer.window == 1 else [layer.units, layer.inputs]


def _chunk(
    graph: Graph, encoder: SentenceEncoder, ids: str, lengths: str, begins: str, states: int
) -> onnx.GraphProto:
    """Return the body of the loop: read a chunk of all texts, and pool it."""
    number, going = f"{graph.prefix}number", f"{graph.prefix}going"
    state = [f"{graph.prefix}state_{place}" for place in range(states)]
    last, maximum, total = (f"{graph.prefix}{name}" for name in ("last", "maximum", "total"))
    start = graph.add("Mul", number, graph.constant(encoder.bptt))
    begin = graph.add("Unsqueeze", start, graph.constant([0]))
    end = graph.add("Add", begin, graph.constant([encoder.bptt]))
    tokens = graph.add("Transpose", graph.cut(ids, begin, end, 1), perm=[1, 0])
    values = graph.add("Gather", graph.weight(encoder.module.encoder.weight), tokens)
    left, new_state = list(state), []
    for layer in encoder.module.layers():
        given = [left.pop(0) for _ in _state_sizes(layer)]
        add = _lstm if isinstance(layer, WeightDropLSTM) else _qrnn
        values, reached = add(graph, layer, values, given)  # type: ignore[arg-type]
        new_state += reached
    places = graph.add("Add", graph.range(tokens, 0), start)
    places = graph.add("Unsqueeze", places, graph.constant([1]))
    inside = graph.add("Less", places, lengths)
    if begins:
        inside = graph.add("And", inside, graph.add("GreaterOrEqual", places, begins))
    ending = graph.add("Equal", places, graph.add("Sub", lengths, graph.constant(1)))

    def over_time(operator: str, where: str, other: float) -> str:
        where = graph.add("Unsqueeze", where, graph.constant([2]))
        kept = graph.add("Where", where, values, graph.constant(other, numpy.float32))
        return graph.add(operator, kept, graph.constant([0]), keepdims=0)

    pooled = [
        graph.add("Add", last, over_time("ReduceSum", ending, 0)),
        graph.add("Max", maximum, over_time("ReduceMax", inside, LEAST)),
        graph.add("Add", total, over_time("ReduceSum", inside, 0)),
    ]
    still = graph.add("Identity", going)
    carried = [*state, last, maximum, total]
    return helper.make_graph(
        graph.nodes,
        f"{graph.prefix}body",
        [_value(number, TensorProto.INT64, []), _value(going, TensorProto.BOOL, []), *map(_floats, carried)],
        [_value(still, TensorProto.BOOL, []), *map(_floats, (*new_state, *pooled))],
    )


def _value(name: str, kind: int, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _floats(name: str) -> onnx.ValueInfoProto:
    return _value(name, TensorProto.FLOAT, None)


def _lstm(graph: Graph, layer: WeightDropLSTM, values: str, state: Sequence[str]) -> tuple[str, list[str]]:
    """Map (t, B, I) and the state, two of (1, B, H), to (t, B, H) and the new state."""

    def gates(tensor: Tensor) -> numpy.ndarray:
        """Input, forget, cell, output as torch has them -> input, output, forget, cell."""
        given, forget, cell, output = tensor.detach().cpu().numpy().reshape(4, layer.units, -1)
        return numpy.concatenate([given, output, forget, cell])

    other = layer.module
    biases = numpy.concatenate([gates(other.bias_ih_l0), gates(other.bias_hh_l0)])
    outputs, hidden, cell = graph.add(
        "LSTM",
        values,
        graph.weight(gates(other.weight_ih_l0)[None]),
        graph.weight(gates(layer.weight_hh_l0_raw)[None]),
        graph.weight(biases.reshape(1, -1)),
        "",
        *state,
        outputs=3,
        hidden_size=layer.units,
    )
    return graph.add("Squeeze", outputs, graph.constant([1])), [hidden, cell]


def _qrnn(graph: Graph, layer: WeightDropQRNN, values: str, state: Sequence[str]) -> tuple[str, list[str]]:
    """Map (t, B, I) and the state, (1, B, H) and with a window of 2 (1, B, I), to the same as `_lstm`."""
    source, one = values, graph.constant([1])
    new_state = []
    if layer.window == 2:
        size = graph.size(values, 0)
        before = graph.add("Sub", size, one)
        previous = graph.add("Concat", state[1], graph.cut(values, graph.constant([0]), before, 0), axis=0)
        source = graph.add("Concat", values, previous, axis=2)
        new_state = [graph.cut(values, before, size, 0)]
    weight = graph.weight(layer.linear.weight_raw.detach().cpu().numpy().T)
    gates = graph.add("Add", graph.add("MatMul", source, weight), graph.weight(layer.linear.bias))
    parts = graph.add("Split", gates, outputs=3, axis=2, num_outputs=3)
    candidate, update = graph.add("Tanh", parts[0]), graph.add("Sigmoid", parts[1])
    first = graph.add("Squeeze", state[0], graph.constant([0]))
    body = graph.inner("step")
    cell, new, share = (f"{body.prefix}{name}" for name in ("cell", "new", "share"))
    # c + i (z - c) is (1 - i) c + i z.
    moved = body.add("Add", cell, body.add("Mul", share, body.add("Sub", new, cell)))
    inner = helper.make_graph(
        [*body.nodes, helper.make_node("Identity", [moved], [f"{body.prefix}out"])],
        f"{body.prefix}body",
        # onnxruntime asks for shapes here.
        [_value(name, TensorProto.FLOAT, ["texts", layer.units]) for name in (cell, new, share)],
        [_value(name, TensorProto.FLOAT, ["texts", layer.units]) for name in (moved, f"{body.prefix}out")],
    )
    reached, cells = graph.add("Scan", first, candidate, update, outputs=2, body=inner, num_scan_inputs=2)
    outputs = graph.add("Mul", graph.add("Sigmoid", parts[2]), cells)
    return outputs, [graph.add("Unsqueeze", reached, graph.constant([0])), *new_state]


def _head(graph: Graph, layers: nn.Sequential, vector: str) -> str:
    """Return the logits (B, K) of pooled outputs (B, 3E)."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d):
            parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
            weights = [graph.weight(cast(Tensor, part)) for part in parts]
            vector = graph.add("BatchNormalization", vector, *weights, epsilon=layer.eps)
        elif isinstance(layer, nn.Linear):
            vector = graph.add("Gemm", vector, graph.weight(layer.weight), graph.weight(layer.bias), transB=1)
        elif isinstance(layer, nn.ReLU):
            vector = graph.add("Relu", vector)
    return vector

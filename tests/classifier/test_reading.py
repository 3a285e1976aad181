"""Documents in chunks: what is pooled, where gradients flow, what is kept for them; beside fastai."""

from __future__ import annotations

import copy

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ulmfit.bench.classifier_stock import load_our_weights, stock_model
from ulmfit.bench.job import Sizes
from ulmfit.classifier.inference import predict_logits
from ulmfit.classifier.model import SentenceEncoder, TextClassifier, chunks_of, layer_groups
from ulmfit.classifier.pooling import Pooled
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.compute import Compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.language_model.engines.compiled import kernels_or_none
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.pipeline.errors import InputError
from ulmfit.training.weights import own_tensors

VOCABULARY, CHUNK = 300, 6
NO_DROPOUT = Dropouts(multiplier=0)
ENGINES = ["plain", "fast"] if kernels_or_none() else ["plain"]
LENGTHS = [31, 25, 24, 12, 7, 6, 5, 1]
KINDS = ["lstm", "qrnn"]


def an_encoder(kind: str = "lstm", dropouts: Dropouts = NO_DROPOUT) -> Encoder:
    torch.manual_seed(5)
    encoder = Encoder(
        VOCABULARY, Architecture(kind=kind, embedding_size=8, hidden_size=12, layers=2), dropouts
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-0.5, 0.5)
    return encoder


def a_classifier(precision: str = "fp32", engine: str = "plain", **changes: object) -> TextClassifier:
    encoder = an_encoder(dropouts=changes.get("dropouts", NO_DROPOUT))
    changes = {"bptt": CHUNK, "dropouts": NO_DROPOUT, "head_dropout": 0.0, **changes}
    model = TextClassifier(encoder, 3, ClassifierSettings(**changes))
    encoder.compute = Compute(torch.bfloat16 if precision == "bf16" else torch.float32, engine)
    with torch.no_grad():
        for buffer in model.head.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return model


def a_batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Return ids, padded at the end, in which no token occurs twice, and lengths."""
    tokens = torch.randperm(VOCABULARY - 2, generator=torch.Generator().manual_seed(0)) + 2
    ids = torch.ones(len(lengths), max(lengths), dtype=torch.int64)
    for row, part in zip(ids, tokens[: sum(lengths)].split(lengths), strict=True):
        row[: len(part)] = part
    return ids, torch.tensor(lengths)


def some_documents(lengths: list[int], seed: int = 0) -> list[numpy.ndarray]:
    random = numpy.random.default_rng(seed)
    return [random.integers(2, VOCABULARY, length).astype(numpy.uint16) for length in lengths]


# --- Gradients ----------------------------------------------------------------------------------------------


def window_begins(length: int, window: int) -> int:
    """Return the place of the first token that the definition gives a gradient."""
    return max(-(-length // CHUNK) - -(-window // CHUNK), 0) * CHUNK if window else 0


def pooling_begins(length: int, pooled: int) -> int:
    """Return the place of the first token that is pooled: whole chunks, at most `pooled` tokens, or one."""
    starts = range(0, length, CHUNK)
    return next((start for start in starts if length - start <= pooled), starts[-1]) if pooled else 0


def read_by_definition(encoder: Encoder, ids: Tensor, window: int, pooled: int = 0) -> Tensor:
    """Read one document alone with plain torch: [last, maximum, mean] of its outputs that are pooled."""
    state, outputs = encoder.initial_state(1), []
    first = pooling_begins(len(ids), pooled)
    trained = max(window_begins(len(ids), window), first)
    for start in range(0, len(ids), CHUNK):
        if not window or start == trained:
            state = [tuple(part.detach() for part in layer) for layer in state]
        output, state = encoder(ids[None, start : start + CHUNK], state)
        outputs.append(output[0] if start >= trained else output[0].detach())
    whole = torch.cat(outputs)[first:]
    return torch.cat([whole[-1], whole.amax(dim=0), whole.mean(dim=0)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("window", "pooled"),
    [
        *((window, 0) for window in (0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1000)),
        *((0, pooled) for pooled in (1, CHUNK, 13, 1000)),
        *((window, 13) for window in (CHUNK, 2 * CHUNK, 3 * CHUNK)),
    ],
)
def test_gradients_are_those_of_the_window_alone(window: int, pooled: int, engine: str, kind: str) -> None:
    """In float64, over all parameters; also where gradients stay inside of chunks (window 0).

    Where only the last tokens are pooled, the state comes from all of them.
    """
    encoder = an_encoder(kind).double()
    ids, lengths = a_batch(LENGTHS)
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(len(LENGTHS), 3 * 8, dtype=torch.float64, generator=generator) - 0.5
    plain = copy.deepcopy(encoder)
    rows = [read_by_definition(plain, row[:n], window, pooled) for row, n in zip(ids, LENGTHS, strict=True)]
    expected = torch.stack(rows)
    (expected * weights).sum().backward()
    encoder.compute = Compute(engine=engine)
    found = SentenceEncoder(encoder, CHUNK, window, pooled_tokens=pooled)(ids, lengths)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    (found * weights).sum().backward()
    for (name, ours), reference in zip(encoder.named_parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None, name
        torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("window", [CHUNK, 2 * CHUNK])
def test_tokens_before_the_window_get_no_gradient_at_all(window: int) -> None:
    encoder = an_encoder()
    ids, lengths = a_batch(LENGTHS)
    SentenceEncoder(encoder, CHUNK, window)(ids, lengths).square().sum().backward()
    gradient = encoder.encoder.weight.grad
    assert gradient is not None
    for row, length in zip(ids, LENGTHS, strict=True):
        first = window_begins(length, window)
        assert not gradient[row[:first]].any()
        assert gradient[row[first:length]].any(dim=1).all(), "no token occurs twice"


def numbers_kept(engine: str, length: int, **reading: int) -> int:
    """Return how many numbers are kept for the gradients of two documents, one of `length` tokens."""
    encoder = an_encoder(dropouts=Dropouts())
    encoder.compute = Compute(engine=engine)
    sizes: list[int] = []

    def remembered(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    ids, lengths = torch.randint(2, VOCABULARY, (2, length)), torch.tensor([length, length - 1])
    with torch.autograd.graph.saved_tensors_hooks(remembered, lambda tensor: tensor):
        SentenceEncoder(encoder, CHUNK, **reading)(ids, lengths)
    return sum(sizes)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_kept_for_gradients_does_not_grow_with_the_document(engine: str) -> None:
    short = numbers_kept(engine, 10 * CHUNK, gradient_window=2 * CHUNK)
    assert short == numbers_kept(engine, 40 * CHUNK, gradient_window=2 * CHUNK)
    whole = numbers_kept(engine, 10 * CHUNK, gradient_window=0)
    assert short < whole < numbers_kept(engine, 40 * CHUNK, gradient_window=0) / 3


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_kept_for_gradients_is_bounded_by_the_pooled_tokens(engine: str) -> None:
    short, long = (numbers_kept(engine, length * CHUNK, pooled_tokens=3 * CHUNK) for length in (10, 40))
    assert short == long


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("trained", [1, 2, 3])
def test_frozen_layers_keep_nothing_and_get_nothing(trained: int, engine: str) -> None:
    """Of embedding, two layers and head the top ones are trained."""
    model = a_classifier(engine=engine, dropouts=Dropouts()).train()
    groups = layer_groups(model)
    for group in groups[: len(groups) - trained]:
        for parameter in group:
            parameter.requires_grad_(False)
    made: list[object] = []
    for layer in model.encoder.module.rnns:
        layer.register_forward_hook(lambda module, given, result: made.append(result[0].grad_fn))
    ids, lengths = a_batch(LENGTHS[:4])
    model(ids, lengths).square().sum().backward()
    functions = [[made[2 * chunk + layer] for chunk in range(len(made) // 2)] for layer in range(2)]
    for layer, graph in enumerate(functions):
        in_graph = layer + 1 >= len(groups) - trained
        assert len(graph) == 6
        assert all((function is not None) == in_graph for function in graph)
    for number, group in enumerate(groups):
        for parameter in group:
            assert (parameter.grad is not None) == (number >= len(groups) - trained)


# --- Pooling and inference ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pooling_chunk_by_chunk_is_pooling_over_everything(precision: str, engine: str) -> None:
    """With the same outputs: those of one pass over the whole documents."""
    model = a_classifier(precision, engine).eval()
    encoder = model.encoder.module
    ids, lengths = a_batch(LENGTHS)
    with torch.no_grad():
        outputs, _ = encoder(ids, encoder.initial_state(len(ids)))
        pooled = Pooled.of(outputs.transpose(0, 1), lengths, int(lengths.min()))
        whole, chunks = pooled.vector(lengths), model.encoder(ids, lengths)
        expected = torch.stack(
            [
                torch.cat([row[n - 1], row[:n].amax(dim=0), row[:n].mean(dim=0)])
                for row, n in zip(outputs.double(), LENGTHS, strict=True)
            ]
        )
    assert whole.dtype == chunks.dtype == torch.float32
    torch.testing.assert_close(whole.double(), expected, rtol=1e-6, atol=1e-6)
    tolerance = 1e-6 if precision == "fp32" else 1e-2
    torch.testing.assert_close(chunks, whole, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 5e-2)])
@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 40), min_size=2, max_size=9), batch=st.integers(1, 9))
def test_a_document_does_not_depend_on_its_batch(
    lengths: list[int], batch: int, precision: str, tolerance: float, engine: str
) -> None:
    model = a_classifier(precision, engine)
    documents = some_documents(lengths)
    together = predict_logits(model, documents, batch)
    alone = numpy.concatenate([predict_logits(model, [document], 1) for document in documents])
    numpy.testing.assert_allclose(together, alone, atol=tolerance)


def test_a_document_does_not_depend_on_padding_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where a document has ended."""
    ids, lengths = a_batch(LENGTHS)
    other = ids.clone()
    for row, length in zip(other, LENGTHS, strict=True):
        row[length:] = 7
    for window in (0, CHUNK):
        reader = SentenceEncoder(an_encoder(), CHUNK, window)
        assert torch.equal(reader(ids, lengths), reader(other, lengths))


@pytest.mark.parametrize("engine", ENGINES)
def test_documents_of_any_length_are_read_a_chunk_at_a_time(engine: str) -> None:
    model = a_classifier(engine=engine)
    (document,) = some_documents([2000])
    read: list[int] = []
    model.encoder.module.register_forward_pre_hook(lambda module, given: read.append(given[0].shape[1]))
    logits = predict_logits(model, [document, document[:3]], 2)
    assert max(read) <= CHUNK
    assert sum(read) == 2000
    with torch.no_grad():
        pooled = read_by_definition(a_classifier().encoder.module, torch.tensor(document.astype(int)), 0)
        expected = model.head(pooled[None])
    numpy.testing.assert_allclose(logits[:1], expected, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_kept_weights_are_forgotten_when_they_may_change(engine: str) -> None:
    model = a_classifier(engine=engine)
    documents = some_documents([9, 4])
    before = predict_logits(model, documents, 2)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(-1)
    after = predict_logits(model, documents, 2)
    assert numpy.abs(after - before).max() > 1e-2
    fresh = a_classifier(engine="plain")
    fresh.load_state_dict(model.state_dict())
    numpy.testing.assert_allclose(after, predict_logits(fresh, documents, 2), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_tokens_are_pooled_with_the_state_of_the_whole_text(engine: str) -> None:
    """In prediction; a short document beside a long one, and alone."""
    model = a_classifier(engine=engine, reads="last", maximum_tokens=13)
    documents = some_documents([200, 31, 13, 4])
    found = predict_logits(model, documents, 3)
    plain = a_classifier()
    with torch.no_grad():
        rows = [
            read_by_definition(plain.encoder.module, torch.tensor(document.astype(int)), 0, 13)
            for document in documents
        ]
        expected = plain.head.eval()(torch.stack(rows))
    numpy.testing.assert_allclose(found, expected, atol=1e-4)
    other = [numpy.concatenate([document[:1] + 1, document[1:]]) for document in documents]
    assert not numpy.array_equal(predict_logits(model, other, 3)[1], found[1]), "the first token has a share"


def test_without_documents_there_is_nothing_to_predict() -> None:
    with pytest.raises(InputError, match="there are no texts to predict"):
        predict_logits(a_classifier(), [], 4)


# --- Beside fastai ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pooled", [0, 8, 12])
def test_fastai_gives_the_same_logits_and_gradients(pooled: int, engine: str) -> None:
    """Equal weights, no dropout, batch norm in training, state cut between chunks; lengths are equal.

    Also where the last tokens alone are pooled.

    With other lengths fastai's pooling may take padding for the last token.
    """
    architecture = Architecture(embedding_size=8, hidden_size=12, layers=2)
    sizes = Sizes("test", architecture, VOCABULARY, 5, tokens=20, bptt=CHUNK)
    last = {"reads": "last", "maximum_tokens": pooled} if pooled else {}
    model = a_classifier(engine=engine, **last).train()
    with torch.no_grad():
        for number in (2, 6):
            model.head.layers[number].bias.zero_()
    plain = ClassifierSettings(dropouts=Dropouts(output=1e-9, hidden=0, input=0, embedding=0, weight=0))
    stock = stock_model(sizes, 3, plain.changed(head_dropout=1e-9))
    load_our_weights(stock, own_tensors(model))
    stock.train()
    stock[0].max_len = pooled or None
    ids, lengths = a_batch([20] * 5)
    targets = torch.tensor([0, 1, 2, 0, 1])
    logits, reference = model(ids, lengths), stock(ids)[0]
    torch.testing.assert_close(logits, reference, rtol=1e-4, atol=1e-5)
    for result in (logits, reference):
        torch.nn.functional.cross_entropy(result, targets).backward()
    gradients = dict(stock.named_parameters())
    for ours, theirs in (
        ("encoder.module.encoder.weight", "0.module.encoder.weight"),
        ("encoder.module.rnns.0.weight_hh_l0_raw", "0.module.rnns.0.weight_hh_l0_raw"),
        ("encoder.module.rnns.1.module.weight_ih_l0", "0.module.rnns.1.module.weight_ih_l0"),
        ("head.layers.2.weight", "1.layers.0.2.weight"),
        ("head.layers.4.weight", "1.layers.1.0.weight"),
        ("head.layers.6.weight", "1.layers.1.2.weight"),
    ):
        expected = gradients[theirs].grad
        torch.testing.assert_close(
            model.get_parameter(ours).grad,
            expected,
            rtol=1e-3,
            atol=1e-4 * float(expected.abs().max()),
            msg=ours,
        )


def test_a_head_with_bias_is_not_fastais() -> None:
    architecture = Architecture(embedding_size=8, hidden_size=12, layers=2)
    sizes = Sizes("test", architecture, VOCABULARY, 5, tokens=20, bptt=CHUNK)
    stock = stock_model(sizes, 3, ClassifierSettings())
    with pytest.raises(ValueError, match="fastai's head has no bias"):
        load_our_weights(stock, own_tensors(a_classifier()))


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40), bptt=st.integers(2, 20))
def test_fine_chunks_read_every_token_once_and_end_where_coarse_ones_do(
    lengths: list[int], bptt: int
) -> None:
    counts = sorted(lengths, reverse=True)
    coarse, fine = (list(chunks_of(counts, bptt, fine=one)) for one in (False, True))
    for chunks in (coarse, fine):
        assert [begin for begin, _, _ in chunks] == [0, *(end for _, end, _ in chunks)][:-1]
        assert chunks[-1][1] == counts[0]
        assert all(rows == sum(count > begin for count in counts) for begin, _, rows in chunks)
    assert {end for _, end, _ in coarse} <= {end for _, end, _ in fine}
    computed = [sum((end - begin) * rows for begin, end, rows in chunks) for chunks in (coarse, fine)]
    assert sum(counts) <= computed[1] <= computed[0]


def test_fine_chunks_have_little_padding() -> None:
    chunks = list(chunks_of([100, 60, 50, 40, 12, 12, 11, 10], 70, fine=True))
    assert chunks == [(0, 12, 8), (12, 50, 4), (50, 60, 2), (60, 70, 1), (70, 100, 1)]

"""The AWD-LSTM beside stock fastai's, and what its dropouts and layer groups do."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from fastai.optimizer import OptimWrapper
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import LinearDecoder as FastaiDecoder
from fastai.text.models.core import SequentialRNN

from ulmfit.language_model.foreign import foreign_language_model
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.settings import Architecture, Dropouts

VOCABULARY, SIZE = 50, Architecture(embedding_size=12, hidden_size=20, layers=3)
NO_DROPOUT = Dropouts(multiplier=0)


def fastai_model() -> SequentialRNN:
    torch.manual_seed(5)
    encoder = AWD_LSTM(VOCABULARY, 12, 20, 3, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    model = SequentialRNN(encoder, FastaiDecoder(VOCABULARY, 12, 0, tie_encoder=encoder.encoder))
    model.reset()
    return model


def our_copy(stock: SequentialRNN) -> LanguageModel:
    return foreign_language_model(stock.state_dict(), "fastai's model")[1]


def chunks(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(2, VOCABULARY, (4, 11), generator=generator) for _ in range(count)]


@pytest.mark.parametrize("training", [True, False])
def test_outputs_loss_and_gradients_equal_fastai(training: bool) -> None:
    stock = fastai_model().train(training)
    ours = our_copy(stock).train(training)
    for ids in chunks():
        stock_logits, stock_raw, stock_dropped = stock(ids)
        logits, raw, dropped = ours(ids)
        torch.testing.assert_close(logits, stock_logits, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(raw, stock_raw, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(dropped, stock_dropped, rtol=1e-5, atol=1e-6)
    targets = ids.roll(-1, 1)
    stock_loss = torch.nn.functional.cross_entropy(stock_logits.flatten(0, 1), targets.flatten())
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, stock_loss, rtol=1e-5, atol=0)
    stock_loss.backward()
    loss.backward()
    stock_gradients = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, stock_gradients[name].grad, rtol=1e-4, atol=1e-7)


def test_our_names_are_fastais_without_aliases() -> None:
    stock, ours = fastai_model().state_dict(), our_copy(fastai_model()).state_dict()
    aliases = {"0.encoder_dp.emb.weight"}
    assert set(stock) - set(ours) == aliases
    assert set(ours) <= set(stock)


def test_decoder_and_embedding_are_one_tensor() -> None:
    model = LanguageModel(VOCABULARY, SIZE, NO_DROPOUT)
    assert model[1].decoder.weight is model.encoder.encoder.weight


def test_weight_drop_differs_between_steps_and_raw_weights_get_gradients() -> None:
    torch.manual_seed(0)
    model = LanguageModel(VOCABULARY, SIZE, Dropouts(output=0, hidden=0, input=0, embedding=0, weight=0.5))
    ids = chunks(1)[0]
    outputs = []
    for _ in range(2):
        model.reset()
        outputs.append(model(ids)[0])
    assert not torch.equal(outputs[0], outputs[1])
    outputs[1].sum().backward()
    for rnn in model.encoder.rnns:
        gradient = rnn.weight_hh_l0_raw.grad
        assert gradient is not None
        dropped = (gradient == 0).float().mean().item()
        assert 0.4 < dropped < 0.6, "half of the recurrent weights are dropped, the others are trained"


@pytest.mark.parametrize("name", ["output", "hidden", "input", "embedding", "weight"])
def test_every_dropout_acts_in_training_only(name: str) -> None:
    zero = {"output": 0.0, "hidden": 0.0, "input": 0.0, "embedding": 0.0, "weight": 0.0}
    torch.manual_seed(0)
    model = LanguageModel(VOCABULARY, SIZE, Dropouts(**{**zero, name: 0.5}))
    ids = chunks(1)[0]

    def logits() -> torch.Tensor:
        model.reset()
        return model(ids)[0]

    assert not torch.equal(logits(), logits())
    model.eval()
    assert torch.equal(logits(), logits())


def test_hidden_state_is_carried_and_reset() -> None:
    model = LanguageModel(VOCABULARY, SIZE, NO_DROPOUT).eval()
    ids = torch.cat(chunks(2), dim=1)
    whole = model(ids)[0]
    model.reset()
    parts = torch.cat([model(ids[:, :11])[0], model(ids[:, 11:])[0]], dim=1)
    torch.testing.assert_close(parts, whole)
    assert not torch.allclose(model(ids[:, :11])[0], whole[:, :11])


def test_frozen_groups_stay_and_rates_are_divided_by_2_6() -> None:
    from ulmfit.training.schedules import layer_rates
    from ulmfit.training.settings import Phase

    model = LanguageModel(VOCABULARY, SIZE, NO_DROPOUT)
    groups = layer_groups(model)
    assert [sum(p.numel() for p in group) for group in groups][-1] == 50 * 12 + 50
    assert len({id(p) for group in groups for p in group}) == len(list(model.parameters()))
    rates = layer_rates(Phase(learning_rate=2.6**3), 4)
    assert rates.tolist() == pytest.approx([1, 2.6, 2.6**2, 2.6**3])

    optimizer = OptimWrapper(groups, opt=partial(torch.optim.SGD), lr=0.1)
    optimizer.set_hyper("lr", list(rates))
    optimizer.freeze_to(3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model(chunks(1)[0])[0].square().mean().backward()
    optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"0.encoder.weight", "1.decoder.bias"}

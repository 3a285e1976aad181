"""Weights of other programs: what comes out of an imported model is what the original gives."""

from __future__ import annotations

import os
import pickle
import pickletools
import tarfile
import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from foreign_models_for_tests import (
    EMBEDDING,
    HIDDEN,
    LAYERS,
    VOCABULARY,
    as_fastai_v07,
    as_fastai_v1,
    fastai_model,
    fastai_v1_qrnn_logits,
    qrnn_state,
)
from safetensors.torch import save_file
from torch import Tensor

from ulmfit.language_model.folder import check_architecture
from ulmfit.language_model.foreign import foreign_language_model, read_foreign_weights
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture
from ulmfit.pipeline.errors import InputError

SIZE = Architecture(embedding_size=EMBEDDING, hidden_size=HIDDEN, layers=LAYERS)
IDS = torch.randint(2, VOCABULARY, (3, 17), generator=torch.Generator().manual_seed(1))


def saved(folder: Path, content: Any, *, legacy: bool = False, name: str = "lm_best.pth") -> Path:
    path = folder / name
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def imported(path: Path) -> LanguageModel:
    architecture, model = foreign_language_model(read_foreign_weights(path), f"weights {path.name}")
    assert architecture == SIZE.changed(kind=architecture.kind, window=architecture.window)
    return model.eval()


def logits(model: LanguageModel, ids: Tensor = IDS) -> Tensor:
    model.reset()
    with torch.no_grad():
        return model(ids).logits


def stock_logits() -> Tensor:
    with torch.no_grad():
        return fastai_model()(IDS)[0]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "opt": {}}])
@pytest.mark.parametrize("layout", [OrderedDict, as_fastai_v1])
def test_fastai_v2_and_v1_weights_give_fastais_logits(
    tmp_path: Path, legacy: bool, wrap: Any, layout: Any
) -> None:
    path = saved(tmp_path, wrap(layout(fastai_model().state_dict())), legacy=legacy)
    torch.testing.assert_close(logits(imported(path)), stock_logits(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_opt", [True, False])
def test_what_fastais_learner_saves_is_read(tmp_path: Path, with_opt: bool) -> None:
    model = fastai_model()
    learner = Learner(DataLoaders([], []), model, loss_func=torch.nn.CrossEntropyLoss(), path=tmp_path)
    learner.create_opt()
    model(IDS)[0].square().mean().backward()
    learner.opt.set_hyper("lr", 0.0)
    learner.opt.step()
    learner.opt.hypers[0]["mom"] = np.float64(0.9)  # as the schedules leave it
    path = learner.save("lm", with_opt=with_opt)
    torch.testing.assert_close(logits(imported(path)), stock_logits(), rtol=1e-5, atol=1e-6)


def test_fastai_07_weights_have_no_decoder_bias(tmp_path: Path) -> None:
    model = imported(saved(tmp_path, as_fastai_v07(fastai_model().state_dict()), legacy=True, name="fwd.h5"))
    bias = fastai_model()[1].decoder.bias.detach()
    torch.testing.assert_close(logits(model), stock_logits() - bias, rtol=1e-5, atol=1e-6)


def test_safetensors_and_half_precision_are_read(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in fastai_model().state_dict().items()}
    apart = {name: tensor.clone() for name, tensor in state.items()}
    save_file(apart, tmp_path / "lm.safetensors")
    torch.testing.assert_close(
        logits(imported(tmp_path / "lm.safetensors")), stock_logits(), rtol=0.02, atol=0.02
    )


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("window", [1, 2])
def test_qrnn_weights_give_what_fastai_v1s_definition_gives(tmp_path: Path, early: bool, window: int) -> None:
    state = qrnn_state(early=early, window=window)
    model = imported(saved(tmp_path, state)).double()
    for text in IDS:
        expected = fastai_v1_qrnn_logits(state, text.numpy(), window)
        np.testing.assert_allclose(logits(model, text[None])[0].numpy(), expected, rtol=1e-9, atol=1e-9)


def test_a_qrnns_state_is_carried_from_chunk_to_chunk(tmp_path: Path) -> None:
    state = qrnn_state()
    model = imported(saved(tmp_path, state)).double()
    with torch.no_grad():
        parts = [model(IDS[:1, begin : begin + 4]).logits[0] for begin in range(0, 17, 4)]
    expected = fastai_v1_qrnn_logits(state, IDS[0].numpy())
    np.testing.assert_allclose(torch.cat(parts).numpy(), expected, rtol=1e-9, atol=1e-9)


def test_what_was_left_of_the_last_drop_is_not_used(tmp_path: Path) -> None:
    state = qrnn_state()
    model = imported(saved(tmp_path, state))
    torch.testing.assert_close(
        model.encoder.layers()[0].dropped_weight.data, state["0.rnns.0.layers.0.linear.weight_raw"]
    )


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    """Return fastai v2's state with tensors replaced, or left out, by name with `__` for a dot."""
    state = dict(fastai_model().state_dict())
    for name, tensor in changes.items():
        state.pop(name.replace("__", "."), None)
        if tensor is not None:
            state[name.replace("__", ".")] = tensor
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"1__decoder__weight": torch.ones(49, 12)}, r"1\.decoder\.weight has shape \(49, 12\).*\(50, 12\)"),
        (
            {"1__decoder__weight": torch.ones(50, 12)},
            r"1\.decoder\.weight differs from the embedding by up to",
        ),
        ({"1__decoder__bias": torch.ones(49)}, r"1\.decoder\.bias has shape \(49,\), the model's is \(50,\)"),
        ({"0__encoder__weight": None}, r"no 0\.encoder\.weight: expected fastai's names"),
        ({"0__rnns__1__weight_hh_l0_raw": None}, r"module\.bias_hh_l0|no weights for"),
        ({"0__rnns__0__weight_hh_l0_raw": torch.ones(77, 20)}, r"shape \(77, 20\): expected 4 rows a unit"),
        ({"0__rnns__0__module__weight_ih_l0": torch.ones(80, 13)}, r"\(80, 13\), the model's is \(80, 12\)"),
        ({"0__rnns__0__module__weight_ih_l0_reverse": torch.ones(80, 12)}, "is bidirectional"),
        ({"0__extra__weight": torch.ones(1)}, r"no AWD-LSTM or QRNN language model has: 0\.extra\.weight"),
        ({"1__decoder__bias": torch.full((50,), torch.nan)}, "numbers that are not finite"),
        ({"1__decoder__bias": torch.ones(50, dtype=torch.long)}, "of type torch.int64"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_numbers(
    tmp_path: Path, changes: dict[str, Tensor | None], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        imported(saved(tmp_path, changed(**changes)))
    assert "lm_best.pth" in str(caught.value) and "\n" not in str(caught.value)


def test_an_encoder_and_a_classifier_are_named() -> None:
    state = fastai_model().state_dict()
    encoder = {name.removeprefix("0."): tensor for name, tensor in state.items()}
    with pytest.raises(InputError, match="holds an encoder alone"):
        foreign_language_model(encoder, "enc_best.pth")
    classifier = {name.replace("0.", "0.module.", 1): tensor for name, tensor in state.items()}
    with pytest.raises(InputError, match="holds a classifier"):
        foreign_language_model(classifier, "cls_best.pth")


def test_a_qrnn_of_another_window_is_refused() -> None:
    with pytest.raises(InputError, match=r"36 columns: expected 12 \(window 1\) or 24 \(window 2\)"):
        foreign_language_model(qrnn_state(window=3), "x.pth")


def test_another_size_than_expected_is_refused() -> None:
    found, _ = foreign_language_model(fastai_model().state_dict(), "x.pth")
    check_architecture(found, SIZE, "x.pth")
    with pytest.raises(InputError, match="hidden_size: expected 1152, found 20"):
        check_architecture(found, SIZE.changed(hidden_size=1152), "x.pth")
    with pytest.raises(InputError, match="kind: expected qrnn, found lstm"):
        check_architecture(found, SIZE.changed(kind="qrnn"), "x.pth")


class Command:
    """Unpickling this would make a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["all", "opt", "entry"])
def test_weights_that_hold_a_command_are_refused(tmp_path: Path, legacy: bool, place: str) -> None:
    proof = tmp_path / "proof"
    state = fastai_model().state_dict()
    content: Any = {"all": Command(proof), "opt": {"model": state, "opt": Command(proof)}}.get(place)
    path = saved(tmp_path, content or {**state, "0.x": Command(proof)}, legacy=legacy)
    with pytest.raises(InputError, match=r"\(\w+\.system\), and nothing in them was run"):
        read_foreign_weights(path)
    assert not proof.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path, legacy: bool) -> None:
    state = changed(**{"1__decoder__bias": torch.ones(1).expand(10**12)})
    with pytest.raises(InputError, match=r"claim sizes of [\d,]+ in [\d,]+ bytes"):
        read_foreign_weights(saved(tmp_path, state, legacy=legacy))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_small_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path, legacy: bool) -> None:
    state = changed(**{"1__decoder__bias": torch.ones(1).expand(10**4)})
    with pytest.raises(InputError, match=r"shape \(10000,\), but fewer numbers"):
        read_foreign_weights(saved(tmp_path, state, legacy=legacy))


class Reserving:
    """Asks for memory when it is unpickled, which torch's restricted unpickler grants."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**12,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_few_bytes_cannot_ask_for_memory(tmp_path: Path, legacy: bool) -> None:
    with pytest.raises(InputError, match=r"\(\w+\.bytearray\), and nothing in them was run"):
        read_foreign_weights(saved(tmp_path, {"0.x": Reserving()}, legacy=legacy))


BYTEARRAY = b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."
"""Asks for 2 GB; a pickle of two dozen bytes."""


def legacy_pickles(path: Path) -> list[bytes]:
    """Return the five pickles of a legacy file, and what follows."""
    content = path.read_bytes()
    ends = [0]
    for _ in range(5):
        *_, (_, _, place) = pickletools.genops(content[ends[-1] :])
        ends.append(ends[-1] + place + 1)
    return [*(content[begin:end] for begin, end in pairwise(ends)), content[ends[-1] :]]


HOSTILE = {
    "memory": (BYTEARRAY, "hold more than tensors"),
    "a command": (b"cos\nsystem\n(S'false'\ntR.", "hold more than tensors"),
    "an extension": (b"\x80\x02\x82\x01.", "hold more than tensors"),
    "a class on the stack": (
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        "hold more than tensors|cannot be read",
    ),
    "a long text": (b"\x80\x02X" + (5000).to_bytes(4, "little") + b"x" * 5000 + b".", "no name is as long"),
    "many instructions": (b"\x80\x02" + b"N" * 600_000 + b".", "more instructions than any model needs"),
    "tuples inside each other": (b"\x80\x02)" + b"\x85" * 40_000 + b".", "more instructions than any model"),
    "damage": (b"\x80\x02X\xff\xff\xff\x7f", "cannot be read"),
}


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("hostile", HOSTILE)
def test_none_of_the_five_pickles_of_a_legacy_file_asks_for_anything(
    tmp_path: Path, place: int, hostile: str
) -> None:
    path = saved(tmp_path, dict(fastai_model().state_dict()), legacy=True)
    parts = legacy_pickles(path)
    parts[place], message = HOSTILE[hostile]
    path.write_bytes(b"".join(parts))
    with pytest.raises(InputError, match=message):
        read_foreign_weights(path)


@pytest.mark.parametrize("hostile", [name for name in HOSTILE if "class" not in name])
def test_no_pickle_of_an_archive_asks_for_anything(tmp_path: Path, hostile: str) -> None:
    content, message = HOSTILE[hostile]
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("x/data.pkl", content)
    with pytest.raises(InputError, match=message):
        read_foreign_weights(tmp_path / "x.pth")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_storages_that_claim_memory_are_refused_before_they_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool, keep: bool
) -> None:
    """One storage of 2 GB, or a size that is written once and used for each of many."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    size = b"J\x10\x27\x00\x00q\x01" if keep else b"J\xff\xff\xff\x1f"
    content = b"\x80\x02" + storage + size + (b"NtQ." if legacy else b"tQ.")
    path = saved(tmp_path, dict(fastai_model().state_dict()), legacy=True)
    if legacy:
        parts = legacy_pickles(path)
        path.write_bytes(b"".join([*parts[:3], content, *parts[4:]]))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", content)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(InputError, match="keep a number to use it again" if keep else "claim sizes of"):
        read_foreign_weights(path)


def test_archives_with_two_files_of_one_name_and_tar_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for name in ("x/data.pkl", "x/DATA.pkl"):
            archive.writestr(name, b"\x80\x02N.")
    with pytest.raises(InputError, match="an archive of 2 files with 1 names"):
        read_foreign_weights(tmp_path / "x.pth")
    with tarfile.open(tmp_path / "y.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    with pytest.raises(InputError, match="are a tar archive"):
        read_foreign_weights(tmp_path / "y.pth")


def test_many_names_of_the_same_numbers_are_refused(tmp_path: Path) -> None:
    shared = torch.ones(10_000, dtype=torch.float16)
    with pytest.raises(InputError, match=r"claim 9,000,000 numbers in"):
        read_foreign_weights(saved(tmp_path, {f"0.x{number}": shared for number in range(900)}))


def test_a_size_is_believed_only_when_all_tensors_have_it() -> None:
    state = changed(**{"0__encoder__weight": torch.ones(2, 10**6)})
    for alias in ("0.encoder_dp.emb.weight", "1.decoder.weight"):
        state.pop(alias, None)
    with pytest.raises(InputError, match=r"has shape .*, the model"):
        foreign_language_model(state, "x.pth")


def test_archives_of_others_are_refused(tmp_path: Path) -> None:
    weights = saved(tmp_path, dict(fastai_model().state_dict()))
    with zipfile.ZipFile(tmp_path / "release.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(weights, "lm_best.pth")
    with pytest.raises(InputError, match="compressed archive: unpack it"):
        read_foreign_weights(tmp_path / "release.zip")
    many = {f"{number}": torch.ones(1) for number in range(1_001)}
    with pytest.raises(InputError, match="hold 1,001 tensors"):
        read_foreign_weights(saved(tmp_path, many))


def test_a_pickled_learner_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export.pkl"
    path.write_bytes(pickle.dumps(fastai_model()))
    with pytest.raises(InputError, match=r"weights .*export\.pkl (hold more than tensors|cannot be read)"):
        read_foreign_weights(path)
    torch.save(fastai_model(), path)
    with pytest.raises(InputError, match=r"hold more than tensors .*SequentialRNN"):
        read_foreign_weights(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_cut_off_or_altered_are_one_line(tmp_path: Path, legacy: bool) -> None:
    whole = saved(tmp_path, dict(fastai_model().state_dict()), legacy=legacy).read_bytes()
    chance = np.random.default_rng(0)
    cut = [whole[:end] for end in (0, 1, 10, 100, len(whole) // 2, len(whole) - 10)]
    mutants = []
    for _ in range(40):
        mutant = bytearray(whole)
        mutant[int(chance.integers(min(len(whole), 3_000)))] = int(chance.integers(256))
        mutants.append(bytes(mutant))
    for content in [*cut, *mutants]:
        (tmp_path / "cut.pth").write_bytes(content)
        try:
            foreign_language_model(read_foreign_weights(tmp_path / "cut.pth"), "cut.pth")
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert content not in cut


@pytest.mark.parametrize("content", [3, "text", [torch.ones(1)], {"model": 3}, {3: torch.ones(1)}, {}])
def test_other_content_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match=r"lm_best.pth"):
        imported(saved(tmp_path, content))
    with pytest.raises(InputError, match="no such file"):
        read_foreign_weights(tmp_path / "none.pth")

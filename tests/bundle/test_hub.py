"""Bundles are pushed to and pulled from a hub, whole, pinned to a commit, and with clear errors."""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from hub_for_tests import OWNER, TOKEN, Hub, Model
from untrained_bundles import make_bundle, make_tokenizer

from ulmfit import LanguageModel, TextClassifier, ULMFiTClassifier
from ulmfit.bundle.hub import Place, _bounded, local_folder, place_of
from ulmfit.cli.app import app
from ulmfit.cli.options import Changes
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.sums import write_sums

NAME = f"{OWNER}/reviews"
TEXTS = ["kalomi dusapo", "lo mi"]


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    made = make_bundle(folder / "bundle", make_tokenizer(folder / "runs"))
    (made / "notes.txt").write_text("not listed", "utf-8")
    return made


def call(*arguments: object) -> None:
    app([str(one) for one in arguments], standalone_mode=False)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "notes.txt"
    }


@pytest.fixture
def pushed(hub: Hub, untrained: Path) -> str:
    """The commit of a bundle on the hub."""
    call("push", untrained, NAME)
    return hub.models[NAME].newest


def test_what_is_pushed_is_pulled(
    hub: Hub, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("push", untrained, NAME, "--private")
    model = hub.models[NAME]
    assert (model.private, model.commits[model.newest]) == (True, files_of(untrained))
    call("pull", NAME, tmp_path / "pulled")
    assert files_of(tmp_path / "pulled") == files_of(untrained)
    output = capsys.readouterr().out
    assert f"hf:{NAME}@{model.newest}" in output
    assert f"hf:{NAME} is commit {model.newest}" in output


def test_a_bundle_is_loaded_from_its_place(
    hub: Hub, pushed: str, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = TextClassifier.load(f"hf:{NAME}", device="cpu").predict_proba(TEXTS)
    assert f"hf:{NAME} is commit {pushed}" in capsys.readouterr().err
    expected = TextClassifier.load(untrained, device="cpu").predict_proba(TEXTS)
    numpy.testing.assert_array_equal(found, expected)


def test_a_language_model_is_looked_for_there_too(hub: Hub, pushed: str) -> None:
    with pytest.raises(InputError, match="is a bundle of a classifier: expected one of a language_model"):
        LanguageModel.load(f"hf:{NAME}@{pushed}", device="cpu")
    with pytest.raises(InputError, match="is a bundle of a classifier: expected one of a language_model"):
        ULMFiTClassifier(f"hf:{NAME}@{pushed}").fit(TEXTS, ["no", "yes"])


def test_an_estimator_looks_for_its_language_model_there(hub: Hub, pushed: str) -> None:
    estimator = ULMFiTClassifier(f"hf:{NAME}@{pushed}", device="cpu")
    with pytest.raises(InputError, match="is a bundle of a classifier: expected one of a language_model"):
        estimator.fit(["kalomi dusapo", "lo mi"] * 20, ["a", "b"] * 20)


def test_a_commit_that_was_pulled_needs_no_network(hub: Hub, pushed: str, untrained: Path) -> None:
    folder = local_folder(f"hf:{NAME}@{pushed}")
    asked = len(hub.asked)
    assert local_folder(f"hf:{NAME}@{pushed}") == folder
    assert len(hub.asked) == asked
    hub.models[NAME].add({"README.md": b"another"})
    # A branch is looked up each time, and its newest commit is taken.
    assert local_folder(f"hf:{NAME}@main") != folder
    assert files_of(folder) == files_of(untrained)


def test_a_run_begins_with_a_pinned_language_model(hub: Hub, pushed: str) -> None:
    class Recipe:
        """Takes note of its changes."""

        def changed(self, **values: object) -> Recipe:
            self.values = values
            return self

        def with_overrides(self, overrides: list[str]) -> Recipe:
            return self

    recipe = Changes(language_model=Path(f"hf:{NAME}")).of(Recipe())  # type: ignore[arg-type]
    file = recipe.values["language_model"]
    assert file.path == local_folder(f"hf:{NAME}@{pushed}")
    assert file.source == f"hf:{NAME}@{pushed}"


def test_a_record_is_repeated_with_a_pinned_language_model(
    hub: Hub, pushed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    monkeypatch.setattr("ulmfit.experiments.verify.verify", lambda *arguments: given.extend(arguments))
    (tmp_path / "record.json").touch()
    call("verify", tmp_path / "record.json", "--language-model", f"hf:{NAME}")
    folder = local_folder(f"hf:{NAME}@{pushed}")
    assert given[-1] == File(path=folder, source=f"hf:{NAME}@{pushed}")
    assert folder.name == pushed  # the name that stands in the record


def damaged(files: dict[str, bytes], kind: str) -> dict[str, bytes]:
    sums = files["SHA256SUMS"].decode()
    if kind == "bytes":
        return {"bundle.json": files["bundle.json"] + b" "}
    if kind == "missing":
        return {"SHA256SUMS": (sums + f"{'0' * 64}  more.safetensors\n").encode()}
    name = {"outside": "tokenizer/../../x", "hidden": ".git", "absolute": "/etc/passwd"}[kind]
    return {"SHA256SUMS": f"{hashlib.sha256(b'').hexdigest()}  {name}\n".encode(), name: b""}


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("bytes", "bundle.json is not the file that SHA256SUMS names"),
        ("missing", "the hub has no more.safetensors, which SHA256SUMS names"),
        ("outside", "names 'tokenizer/../../x', which is no file of a bundle"),
        ("hidden", "names '.git', which is no file of a bundle"),
        ("absolute", "SHA256SUMS is damaged"),
    ],
)
def test_what_is_no_bundle_is_refused(hub: Hub, pushed: str, tmp_path: Path, kind: str, fault: str) -> None:
    model = hub.models[NAME]
    model.add(damaged(model.commits[pushed], kind))
    with pytest.raises(InputError) as error:
        call("pull", NAME, tmp_path / "out")
    assert fault in str(error.value)
    assert not (tmp_path / "out").exists()


def test_only_listed_files_are_downloaded(hub: Hub, pushed: str, tmp_path: Path) -> None:
    hub.models[NAME].add({"pytorch_model.bin": b"\x80\x04.", ".gitattributes": b""})
    call("pull", NAME, tmp_path / "out")
    assert not [line for line in hub.asked if "pytorch_model" in line or "gitattributes" in line]
    hub.models["other/model"] = Model()
    hub.models["other/model"].add({"config.json": b"{}"})
    with pytest.raises(InputError, match=r"hf:other/model@.* has no SHA256SUMS: expected a model that"):
        local_folder("hf:other/model")


def test_a_revision_is_one_commit(hub: Hub, pushed: str) -> None:
    for said, revision in (("main", "main"), ("f" * 40, pushed)):
        hub.commit = said
        with pytest.raises(StageFailed, match="the hub does not say which commit it is"):
            local_folder(f"hf:{NAME}@{revision}")


def test_sizes_are_bounded(hub: Hub, pushed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.lengthened = 100
    with pytest.raises(InputError, match=r"SHA256SUMS has more than the [\d,]+ bytes that it may have"):
        local_folder(f"hf:{NAME}")
    hub.lengthened = 0
    monkeypatch.setattr("ulmfit.bundle.hub.LARGEST_BUNDLE", 10)
    with pytest.raises(InputError, match="bytes, more than the 10 of any bundle"):
        local_folder(f"hf:{NAME}")


def test_bytes_on_the_way_may_be_more_than_those_of_a_file() -> None:
    from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

    def report(transferred: int, written: int) -> SimpleNamespace:
        return SimpleNamespace(
            total_bytes=1_000,
            total_bytes_completed=written,
            total_transfer_bytes_completed=transferred,
            total_bytes_completion_rate=1.0,
            total_transfer_bytes_completion_rate=1.0,
        )

    bar = _bounded("weights", 1_000)
    with XetDownloadProgressReporter(
        reconstruction_desc="", total=1_000, log_level=logging.ERROR, tqdm_class=bar
    ) as progress:
        progress.update_progress(report(1_008, 1_000))
        with pytest.raises(InputError, match="weights has more than the 1,000 bytes"):
            progress.update_progress(report(1_008, 1_001))


def test_what_the_hub_refuses_is_one_line(
    hub: Hub, pushed: str, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models["other/gated"] = Model(gated=True)
    hub.models["other/open"] = Model()
    hub.models[f"{OWNER}/secret"] = Model(private=True)
    for arguments, fault in (
        (["pull", "other/nothing"], "there is no such model, or it is private"),
        (["pull", "other/gated"], "its owner gives access on request"),
        (["pull", NAME, "--revision", "v9"], "there is no such revision"),
        (["push", untrained, "stranger/model"], "you have no right to write to it"),
        (["push", untrained, NAME, "--private"], "exists and is public, nothing was pushed"),
        (["push", tmp_path, NAME], "is no bundle"),
        (["push", untrained, f"{NAME}@main"], "without a revision"),
        (["pull", NAME, untrained / "bundle.json"], "exists and is no bundle"),
    ):
        with pytest.raises(InputError) as error:
            call(*arguments)
        assert fault in str(error.value), error.value
    monkeypatch.delenv("HF_TOKEN")
    for arguments in (["pull", f"{OWNER}/secret"], ["push", untrained, NAME]):
        with pytest.raises(InputError, match="log in with: hf auth login"):
            call(*arguments)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "card").mkdir()
    copied = tmp_path / "card" / "bundle"
    shutil.copytree(untrained, copied)
    (copied / "README.md").write_text("---\nlicense: 7\n---\n", "utf-8")
    write_sums(copied)
    hub.fault_of_card = '"license" must be a string'
    with pytest.raises(InputError, match=r'README\.md\. - "license" must be a string'):
        call("push", copied, NAME)
    hub.status = 418
    with pytest.raises(StageFailed, match="the hub answers HTTP 418: try again later"):
        call("pull", NAME, tmp_path / "out")


def test_offline_is_one_line(hub: Hub, pushed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    local_folder(f"hf:{NAME}@{pushed}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        local_folder(f"hf:{NAME}")
    assert local_folder(f"hf:{NAME}@{pushed}").name == pushed
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(StageFailed, match=r"the hub cannot be reached, or its answer cannot be read \(Conn"):
        local_folder(f"hf:{NAME}")


def test_the_token_is_never_printed(
    hub: Hub, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("push", untrained, NAME, "--private")
    call("pull", NAME, tmp_path / "out")
    said = []
    for status in (400, 401, 403, 404, 418, 429):
        hub.status = status
        with pytest.raises((InputError, StageFailed)) as error:
            call("pull", NAME, tmp_path / "again")
        said.append(str(error.value))
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err + "".join(said)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r'which is not installed: pip install "ulmfit\[hub\]"'):
        local_folder(f"hf:{NAME}")


def test_places() -> None:
    assert place_of("hf:a/b@v1.0") == place_of("a/b", "v1.0") == Place("a/b", "v1.0")
    assert str(Place("a/b", "v1.0")) == "hf:a/b@v1.0"
    assert place_of("a/b").revision is None
    for wrong in ("hf:a", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@-x", "hf:a/b@x y", "hf:", "a/b@c d"):
        with pytest.raises(InputError, match="expected a"):
            place_of(wrong)
    for never_on_the_hub in ("a/b--c", "a/b..c", "a/b.git", "a/b-", "a--c/b", "a./b"):
        with pytest.raises(InputError, match="expected a model of the hub"):
            local_folder(f"hf:{never_on_the_hub}@{'0' * 40}")
    assert place_of("a-1/b_c.d-e.2").name == "a-1/b_c.d-e.2"
    with pytest.raises(InputError, match="names another revision than --revision v2"):
        place_of("a/b@v1", "v2")
    assert local_folder("some/folder") == Path("some/folder")

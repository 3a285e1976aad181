"""Data scripts run as programs."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "germeval2018.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_tables_are_written(tmp_path, shared_data):
    done = run(tmp_path / "out", "--mirror", shared_data, "--set", "task=fine")
    assert (done.returncode, done.stderr) == (0, "")
    assert "train 4,508, valid 501, test 3,532" in done.stdout
    assert pd.read_parquet(tmp_path / "out" / "test.parquet")["label"].nunique() == 4


def test_wrong_options_are_one_line(tmp_path, shared_data):
    for option, message in (
        ("task=no", "no task 'no'"),
        ("x=1", "no option 'x'"),
        ("task", "not OPTION=VALUE"),
    ):
        done = run(tmp_path / "out", "--mirror", shared_data, "--set", option)
        assert done.returncode == 2
        assert message in done.stderr and done.stderr.count("\n") == 1


def test_scripts_of_other_tasks(tmp_path):
    (tmp_path / "assets.toml").write_text("", "utf-8")
    (tmp_path / "made.py").write_text(
        """
import pandas as pd
from ulmfit.datasets.script import main

def convert(files):
    \"\"\"Make rows.\"\"\"
    rows = pd.DataFrame({"text": list("abcdefghijklmnopqrst"), "label": ["1.5", *range(2, 21)]})
    return {"train": rows, "test": rows}

if __name__ == "__main__":
    main(convert, {}, "qaa", task="regression")
""",
        "utf-8",
    )
    command = [sys.executable, tmp_path / "made.py", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert pd.read_parquet(tmp_path / "out" / "test.parquet")["label"].tolist() == [1.5, *range(2, 21)]
    described = json.loads((tmp_path / "out" / "dataset.json").read_text("utf-8"))
    assert (described["task"], described["metric"]) == ("regression", "pearson")


def test_a_file_that_has_to_be_asked_for_is_told_with_its_origin(tmp_path):
    (tmp_path / "assets.toml").write_text("", "utf-8")
    (tmp_path / "made.py").write_text(
        """
from pathlib import Path
from ulmfit.datasets.script import main
from ulmfit.pipeline.assets import File

def convert(files):
    raise AssertionError("there is nothing to convert")

if __name__ == "__main__":
    main(convert, {"archive": File(path=Path("none.tar.gz"), source="ask its authors")}, "qaa")
""",
        "utf-8",
    )
    command = [sys.executable, tmp_path / "made.py", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "made.py: input file none.tar.gz does not exist; ask its authors\n"


def test_the_first_download_of_a_file_of_unknown_hash_is_noted_beside_the_tables(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    text = "".join(f'"{1 + i % 4}","T","Text {i}"\n' for i in range(40)).encode()
    with tarfile.open(mirror / "ag_news_csv.tgz", "w:gz") as archive:
        for name in ("train", "test"):
            info = tarfile.TarInfo(f"ag_news_csv/{name}.csv")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    script = SCRIPT.with_name("zhang2015.py")
    command = [sys.executable, script, tmp_path / "out", "--mirror", mirror, "--set", "counts=any"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ag_news_csv.tgz" in (tmp_path / "out" / "pins.toml").read_text("utf-8")

"""Data scripts run as programs."""

import json
import subprocess
import sys
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

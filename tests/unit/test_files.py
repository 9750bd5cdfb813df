"""Text files as they are read: labels stay what they were, and files are whole."""

import numpy as np
import pandas as pd
import pytest

from bridge import files
from bridge.errors import DataFileError, OutputError
from bridge.whole_file import whole_file


def read(tmp_path, text, name="d.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return files.read_data(str(tmp_path / name))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", "10"], [1, 2, 10]),
        (["1.5", "-2", "1e3"], [1.5, -2.0, 1000.0]),
        (["0", "0.5", "-0.25"], [0, 0.5, -0.25]),
        (["001", "1", "01E1"], ["001", "1", "01E1"]),
        (["None", "Low", "High"], ["None", "Low", "High"]),
        (["null", "N/A", "nan"], ["null", "N/A", "nan"]),
        (["1", "two", "3"], ["1", "two", "3"]),
        (["True", "False", "True"], ["True", "False", "True"]),
        (["é", "学", "b"], ["é", "学", "b"]),
    ],
)
def test_nothing_of_a_text_is_lost(tmp_path, values, expected):
    found = read(tmp_path, "v,w\n" + "".join(f"{v},0\n" for v in values))
    assert list(found["v"]) == expected


def test_what_is_missing_and_whole_numbers_beside_it(tmp_path):
    found = read(tmp_path, "g,x\n7,1.5\n,NA\n10,NaN\nNA,2\n")
    assert found["g"].dtype == "Int64"
    assert list(found["g"].isna()) == [False, True, False, True]
    assert [str(v) for v in found["g"].dropna()] == ["7", "10"]
    np.testing.assert_array_equal(found["x"], [1.5, np.nan, np.nan, 2.0])


def test_tabs_and_a_mark_at_the_start_of_a_file(tmp_path):
    found = read(tmp_path, "\ufeffa\tb\n1\tx, y\n", "d.tsv")
    assert list(found.columns) == ["a", "b"]
    assert found["b"][0] == "x, y"


@pytest.mark.parametrize(
    ("source", "said"),
    [("hbs", "Did you mean 'hsb'"), ("d.xlsx", "no data file"), ("nowhere.csv", "no data file")],
)
def test_what_cannot_be_read(source, said):
    with pytest.raises(DataFileError, match=said):
        files.read_data(source)


def test_other_endings_and_broken_files(tmp_path):
    (tmp_path / "d.xlsx").write_bytes(b"x")
    with pytest.raises(DataFileError, match=r"not a \.csv"):
        files.read_data(str(tmp_path / "d.xlsx"))
    (tmp_path / "d.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataFileError, match="cannot be read"):
        files.read_data(str(tmp_path / "d.csv"))


def test_names_of_data_sets():
    pd.testing.assert_frame_equal(files.read_data("hsb"), files.datasets.load("hsb"))


def test_a_file_is_whole_or_not_there(tmp_path):
    target = tmp_path / "t.txt"
    target.write_text("old")

    def break_off():
        with whole_file(target) as file:
            file.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert target.read_text() == "old"
    files.write_text(target, "new")
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "t.txt").mkdir()
    with pytest.raises(OutputError, match=r"t\.txt cannot be written: it is a folder"):
        files.write_text(tmp_path / "t.txt", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]

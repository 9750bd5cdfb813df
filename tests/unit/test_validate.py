"""`bridge validate` from files to report, by the fake engine: resumes, says what failed."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from validate_cases import CASE, TABLE, make_case

import bridge
from bridge import cli, doctor, resources, validate_run
from bridge.doctor import EngineStatus
from bridge.errors import DataFileError, EngineFailed, OptionError, UnknownEngineError
from bridge.published_tables import load
from bridge.validate_report import like_print
from bridge.validate_tables import report_case

TWO = CASE.replace("[quantities", '[engines."fake too"]\nengine = "fake"\nseed = 2\n[quantities', 1)


@pytest.fixture(autouse=True)
def no_look_around(monkeypatch):
    """Leave R in peace: the tests need the fake engine alone."""
    here = [EngineStatus("fake", True, {"fake": "1"})]
    monkeypatch.setattr(doctor, "check", lambda: here)


@pytest.fixture
def root(tmp_path):
    make_case(tmp_path / "cases", TWO)
    return tmp_path / "cases"


@pytest.fixture
def fits(monkeypatch):
    """Count the fits."""
    seen = []
    real = validate_run.fit

    def counted(spec, data, engine, **options):
        seen.append((spec.mean, options["seed"]))
        return real(spec, data, engine, **options)

    monkeypatch.setattr(validate_run, "fit", counted)
    return seen


def run(root, **options):
    return bridge.validate(root=root, out=root.parent / "out", progress=False, **options)


def test_every_number_has_a_state_and_a_cell_for_each_engine(root, fits):
    found = run(root)
    (report,) = found.cases
    assert sum(report.counts.values()) == len(report.rows) == 4
    assert [column.label for column in report.columns] == ["fake", "fake too"]
    assert all(set(row.cells) == {"fake", "fake too"} for row in report.rows)
    assert sorted(seed for _, seed in fits) == [1, 1, 2, 2]
    row = {row.parameter: row for row in report.rows}["DIC"]
    assert row.state == "not reached" and not found.good
    assert found.summary["numbers"].tolist() == [4, 4]
    assert any("both fits are fake's" in sentence for sentence in report.between)
    assert any(sentence.startswith("flat: fake and fake too: ") for sentence in report.between)
    assert any("canned" in warning for warning in report.columns[0].warnings)


def test_it_resumes_and_an_edited_case_is_computed_anew(root, fits):
    first = run(root, engines=["fake too"])
    assert len(fits) == 2
    assert {row.state for row in first.cases[0].rows} <= {"reproduced", "not reached"}
    run(root)
    assert len(fits) == 4
    kept = sorted((root.parent / "out" / "results" / "book" / "one").iterdir())
    assert [file.name for file in kept] == ["fake.json", "fake_too.json"]
    json.loads(kept[0].read_text())
    run(root)
    assert len(fits) == 4
    # a digit corrected asks for no fit, a model does
    file = root / "book/one/published.csv"
    file.write_text(TABLE.replace("2000", "2001"), encoding="utf-8")
    assert {row.printed for row in run(root).cases[0].rows} >= {"2001"}
    assert len(fits) == 4
    file.with_name("case.toml").write_text(TWO.replace("1 + week", "week"), encoding="utf-8")
    run(root)
    assert len(fits) == 8
    run(root, again=True)
    assert len(fits) == 12


def test_a_record_that_is_cut_off_is_made_again(root, fits):
    run(root)
    file = root.parent / "out/results/book/one/fake.json"
    file.write_text(file.read_text()[:100])
    run(root)
    assert len(fits) == 6


def test_a_fit_that_fails_stops_no_other_and_is_tried_again(root, monkeypatch):
    real = validate_run.fit

    def failing(spec, data, engine, **options):
        if options["seed"] == 2 and "week" in spec.mean:
            raise EngineFailed("it stopped")
        return real(spec, data, engine, **options)

    with monkeypatch.context() as patch:
        patch.setattr(validate_run, "fit", failing)
        found = run(root)
    assert found.cases[0].failed == ("fake too: fit main: it stopped",)
    assert not found.good and "Failed: book/one fake too: fit main" in found.text()
    rows = {(row.parameter, row.statistic): row for row in found.cases[0].rows}
    assert rows["constant of flat", "mean"].cells["fake too"][0].value is not None
    assert "no fit 'main'" in rows["DIC", "value"].cells["fake too"][0].note
    assert not run(root).cases[0].failed


def test_a_fit_that_is_known_to_stop_fails_nothing(tmp_path, monkeypatch):
    def failing(spec, data, engine, **options):
        raise EngineFailed("it stopped")

    monkeypatch.setattr(validate_run, "fit", failing)
    case = CASE.replace("seed = 1\n", 'seed = 1\nfails = {main = "No.", flat = "It is flat."}\n')
    make_case(tmp_path / "cases", case)
    (report,) = run(tmp_path / "cases").cases
    assert report.failed == ()
    assert report.columns[0].refused["flat"] == "It is flat. (it stopped)"


def test_a_stop_keeps_what_is_done(root, monkeypatch):
    real = validate_run.run_job

    def stopping(job, *rest):
        if job.column == "fake too":
            raise KeyboardInterrupt
        return real(job, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(validate_run, "run_job", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(root)
    assert (root.parent / "out/results/book/one/fake.json").is_file()
    assert not list((root.parent / "out/results").rglob("*.part"))
    assert run(root).cases[0].columns[1].ran


def test_quick_runs_no_sampler_and_counts_its_numbers_as_not_run(root):
    found = run(root, quick=True)
    assert found.counts == {"reproduced": 0, "argued": 0, "not reached": 0, "not run": 4}
    assert found.good


def test_quick_keeps_what_is_known_already(root):
    whole = run(root)
    assert run(root, quick=True).counts == whole.counts


def test_the_page_is_whole_in_itself_and_says_what_markdown_says(root):
    found = run(root)
    folder = found.write(root.parent / "report")
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"'](?!#)|@import|url\(", page)
    assert 'name="viewport"' in page and page.count("<details") == 1
    for word in ("book/one", "gamma[week]", "fake too", "A book, page 1", "not reached"):
        assert word in page
        assert word in text
    assert "A note with | in it." in page
    assert "| gamma[week] | mean | -2.4 |" in text
    assert "| book | 1 | 4 |" in text and "| all | 1 | 4 |" in text
    lines = [line for line in text.splitlines() if line.startswith("| gamma[week]")]
    assert {line.count(" | ") for line in lines} == {5}


def test_reasons_are_said_once_with_the_numbers_they_are_for(tmp_path):
    table = TABLE.replace("-2.4", "-9.4").replace("0.2", "9.2") + "gamma[week],z,-9,1,ratio,S\n"
    case = CASE + '[argued]\n"gamma[week]" = { why = "another model", within = 10 }\n'
    make_case(tmp_path / "cases", case, table)
    found = run(tmp_path / "cases")
    # what no column has is not reached, whatever is argued
    assert found.counts["argued"] == 2
    line = "Argued, mean, sd of gamma[week]: another model"
    assert found.markdown().count(line) == found.markdown().count("another model") == 1
    assert found.html().count("another model") == 1
    assert found.markdown().count("– A posterior fit has no z.") == 1


def test_what_is_printed_is_shown_with_a_digit_more():
    shown = [like_print(v, p) for v, p in ((1.23456, "1.23"), (7, "7"), (2e-9, "<0.001"))]
    assert shown == ["1.235", "7.0", "2e-09"]


@pytest.mark.parametrize(
    ("cases", "engines", "error", "words"),
    [
        (["bok"], [], DataFileError, "no case 'bok'. Did you mean 'book'"),
        (["book/on"], [], DataFileError, "Did you mean 'book/one'"),
        (["book"], ["fak"], UnknownEngineError, "no engine 'fak'. Did you mean 'fake'"),
        (["book"], ["agq"], OptionError, "None of the cases is for agq; there are fake, fake too"),
    ],
)
def test_a_wrong_request(root, cases, engines, error, words):
    with pytest.raises(error, match=re.escape(words)):
        bridge.validate(*cases, engines=engines, root=root, progress=False)


def test_a_malformed_case_stops_before_anything_runs(root, fits):
    file = root / "book/one/published.csv"
    file.write_text(TABLE + "gamma[wek],mean,1,1,outcome,S\n", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"published\.csv, line 6: 'gamma\[wek\]'"):
        run(root)
    assert not fits


def test_the_command(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(resources, "path", lambda relative, real=resources.path:
        root if relative == "validation/cases" else real(relative))  # fmt: skip
    words = ["bridge", "validate", "book", "--out", str(tmp_path / "o")]
    quick = [*words[:-1], str(tmp_path / "quick"), "--quick"]
    for argv, code in ((words, 1), (quick, 0), ([*words, "--engine", "nuts"], 2)):
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert (stop.value.code or 0) == code, err
        if code == 1:
            assert "Not reached: book/one, value of DIC: printed 2000; fake " in out
            assert (tmp_path / "o" / "report.html").is_file()
    assert "None of the cases is for nuts" in err
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    found = json.loads(capsys.readouterr()[0])
    assert found["good"] is False and found["cases"][0]["rows"][0]["printed"] == "-2.4"


def test_engines_that_are_not_here_are_left_out_and_said(root, monkeypatch):
    gone = [EngineStatus("fake", False, {}, "fake is not here", "get it")]
    monkeypatch.setattr(doctor, "check", lambda: gone)
    found = run(root)
    assert found.missing == {"fake": "fake is not here; to mend: get it"}
    assert found.counts["not run"] == 4 and "Left out: fake" in found.text()


def test_priors_and_fits_of_an_engine_make_its_job(tmp_path):
    case = make_case(tmp_path, CASE.replace("seed = 1\n", 'seed = 1\nfits = ["flat"]\n'))
    (job,) = validate_run.make_jobs([case], [], False, {})
    assert validate_run.fits_of(case, job) == ["flat"]
    (other,) = validate_run.make_jobs([case], [], False, {"fake": {"fake": "2"}})
    assert other.key != job.key  # another version, another answer
    assert job.chains == 2 and dict(job.options) == {"chains": 2, "draws": 200, "seed": 1}


def test_a_fit_that_nothing_is_printed_of_is_there_to_be_compared(tmp_path, fits):
    more = TWO.replace("[settings]", '[fits.more]\nvariance = "~ 1 + week"\n[settings]')
    make_case(tmp_path / "cases", more)
    (report,) = run(tmp_path / "cases").cases
    assert len(fits) == 6
    assert any(sentence.startswith("more: fake and fake too: ") for sentence in report.between)


def test_other_estimators_are_named_and_not_compared(tmp_path):
    case = make_case(tmp_path, TWO)
    row = {"estimate": 1.0, "se": 0.1, "mcse": None, "component": "mean"}
    side = {"engine": "lme4", "rows": {"x": row}, "effects": [], "zero": [], "loglik": -1.0}
    record = {"cells": [], "versions": {}, "seconds": 0.0, "warnings": [], "refused": {},
              "failed": ""}  # fmt: skip
    records = {
        label: record | {"fits": {"main": side | {"method": method}}}
        for label, method in (("fake", "ML"), ("fake too", "REML"))
    }
    report = report_case(case, records)
    assert report.between == ("Other estimators, not compared: fake and fake too.",)
    assert report.differ == 0
    records["fake too"]["fits"]["main"] = side | {
        "method": "ML", "engine": "agq", "rows": {"x": row | {"estimate": 1.1}}
    }  # fmt: skip
    report = report_case(case, records)
    assert report.differ == 1
    assert report.between == (
        "fake and fake too: 1 differ (furthest apart: x, 1.000 standard errors); "
        "log-likelihoods 0.000 apart.",
        "Independence: lme4 and agq share no code but the design.",
    )


def test_the_cases_of_the_package_make_jobs():
    jobs = validate_run.make_jobs([load("hlm/female")], [], True, {})
    assert {"nlme", "agq"} <= {job.engine for job in jobs}


def test_a_number_further_off_than_it_is_argued_is_not_reached(tmp_path):
    table = TABLE.replace("-2.4", "-9.4")
    case = CASE + '[argued]\n"gamma[week].mean" = { why = "another model", within = 0.5 }\n'
    make_case(tmp_path / "cases", case, table)
    found = run(tmp_path / "cases")
    states = {(row.parameter, row.statistic): row.state for row in found.cases[0].rows}
    assert states["gamma[week]", "mean"] == "not reached" and not found.good


def test_a_column_that_misses_counts_while_others_have_not_run(tmp_path):
    make_case(tmp_path / "cases", TWO, TABLE.replace("-2.4", "-9.4"))
    found = run(tmp_path / "cases", engines=["fake"])
    states = {(row.parameter, row.statistic): row.state for row in found.cases[0].rows}
    assert states["gamma[week]", "mean"] == "not reached" and not found.good
    assert states["constant of flat", "mean"] == "reproduced"


def test_a_damaged_record_is_made_again(root):
    first = run(root)
    (file,) = (root.parent / "out/results").rglob("fake.json")
    for text in ("[]", "null", "{", '{"key": 1}'):
        file.write_text(text)
        assert run(root).counts == first.counts


def test_names_that_changed_places_are_another_question():
    case = load("leckie2014/model1")
    frame = case.frame.copy()
    names = ["delta[Intercept]", "delta[sector]"]
    frame["parameter"] = frame["parameter"].replace(dict(zip(names, reversed(names), strict=True)))
    swapped = dataclasses.replace(case, frame=frame)
    keys = [
        {job.column: job.key for job in validate_run.make_jobs([each], (), False, {})}
        for each in (case, swapped)
    ]
    assert keys[0]["print"] != keys[1]["print"]

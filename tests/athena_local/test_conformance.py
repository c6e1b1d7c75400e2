"""What the run of dbt-athena's own tests calls wrong; the run itself is `make test-conformance`."""

from __future__ import annotations

from tests.athena_local.conformance import Report, expected_classes, problems, read_report

REPORT = """<testsuites><testsuite>
<testcase classname="tests.functional.adapter.test_a.TestA" name="test_one"/>
<testcase classname="tests.functional.adapter.utils.test_b.TestB" name="test_two[x]">
<failure message="AssertionError: no&#10;more">...</failure></testcase>
<testcase classname="tests.functional.adapter.test_a.TestA" name="test_three">
<skipped message="needs an account"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_read_by_module_class_and_test(tmp_path):
    (tmp_path / "report.xml").write_text(REPORT)
    assert read_report(tmp_path / "report.xml") == Report(
        ["test_a.TestA.test_one"],
        {"test_b.TestB.test_two[x]": "AssertionError: no"},
        {"test_a.TestA.test_three": "needs an account"},
    )


def test_a_failure_is_wrong_unless_it_is_left_out():
    report = Report(["a.A.one"], {"a.A.two": "no"})
    assert problems(report, {"a.A"}, {}) == ["failed: a.A.two: no"]
    assert problems(report, {"a.A"}, {"a.A.two": "a reason"}) == []


def test_the_list_of_what_is_left_out_cannot_go_stale():
    left_out = {"a.A.one": "a reason", "a.A.gone": "a reason"}
    assert problems(Report(["a.A.one"]), {"a.A"}, left_out) == [
        "passes, but is left out: a.A.one",
        "left out, but was not run: a.A.gone",
    ]


def test_a_class_of_tests_that_did_not_run_is_wrong(tmp_path):
    folder = tmp_path / "tests" / "functional" / "adapter"
    folder.mkdir(parents=True)
    (folder / "test_a.py").write_text("class TestA(Base):\n    pass\n# class TestOff:\n")
    assert expected_classes(tmp_path) == {"test_a.TestA"}
    assert problems(Report(), {"test_a.TestA"}, {}) == ["has no test in the report: test_a.TestA"]

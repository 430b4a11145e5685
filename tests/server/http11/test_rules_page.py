"""The page "What the server accepts and refuses" names what the tables test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from http_cases import LIMITED, REFUSED, SMALL_LIMITS, Refused
from http_readings import ACCEPTED, Accepted
from wsgi_server import opts

PAGE = Path(__file__).parents[3] / "docs/reference/http-rules.md"


def rows() -> list[list[str]]:
    """The cells of every table row."""
    lines = PAGE.read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]


def sections() -> set[str]:
    """Every section that a row cites, in full: "RFC 9110 5.1, 5.5" is two."""
    found = set()
    for row in rows():
        for cell in row:
            for document, numbers in re.findall(
                r"((?:RFC \d+)|(?:PEP \d+))((?:,? [\d.]*\d)*)", cell
            ):
                found |= {
                    f"{document} {number}" for number in re.findall(r"[\d.]+", numbers)
                }
                found.add(document)
    return found


@pytest.mark.parametrize(
    "case", [*REFUSED, *LIMITED, *ACCEPTED], ids=lambda case: case.name
)
def test_the_rule_of_every_case_is_on_the_page(case: Refused | Accepted) -> None:
    assert case.rule in sections()


def test_every_status_that_a_case_expects_is_on_the_page() -> None:
    cells = {cell.strip() for row in rows() for cell in row}
    assert {str(case.status) for case in (*REFUSED, *LIMITED)} <= cells


def test_every_option_on_the_page_exists_and_no_limit_is_missing() -> None:
    known = {option.dest for _, options in opts.list_opts() for option in options}
    named = set(re.findall(r"\| `([a-z_]+)` \|", PAGE.read_text()))
    assert named <= known
    assert set(SMALL_LIMITS) <= named

"""Messages of errors: made from one table, and never with another code in them."""

from __future__ import annotations

import pytest

from penstock.errors import ApiError, render


@pytest.mark.parametrize(
    ("code", "detail", "message"),
    [
        ("DIS.4306", "[b]", "Bucket does not exist. [b]"),
        ("DIS.4306", "", "Bucket does not exist."),
        ("DIS.4335", "[a]", "Invalid IAM agency. [a]"),
        ("DIS.4335", "", "Invalid IAM agency."),
        ("DIS.4200", "[x: 100%s]", "Invalid request. [x: 100%s]"),
    ],
)
def test_form_and_detail(code: str, detail: str, message: str) -> None:
    assert render(code, detail) == message
    assert ApiError(code, detail).message == message


def test_a_code_in_somebodys_words_is_none() -> None:
    """Clients search whole bodies for codes (clients.md 5)."""
    assert (
        render("DIS.4306", "[DIS.4301 APIGW.0301 DIS.43]")
        == "Bucket does not exist. [DIS_4301 APIGW_0301 DIS.43]"
    )

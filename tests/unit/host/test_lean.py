"""What is kept out while others are imported can be imported after."""

import importlib
import sys

import pytest

from shippyard.host.lean import without


def test_it_is_out_only_for_a_while() -> None:
    sys.modules.pop("colorsys", None)
    with without("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv


def test_what_is_there_already_stays() -> None:
    with without("json"):
        assert importlib.import_module("json").dumps
    assert sys.modules["json"]

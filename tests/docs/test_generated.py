"""The generated pages say what the code says."""

from __future__ import annotations

import pytest

from docs import generate
from smartrouter_serve import config


@pytest.mark.parametrize("page", generate.PAGES)
def test_a_written_page_is_current(page):
    """`make docs` was run after the last change of a setting, an option or a front end."""
    assert (generate.FOLDER / page).read_text("utf-8") == generate.PAGES[page]()


def test_every_setting_says_what_it_means():
    """No key of the page is without a word."""
    silent = [
        f"{cls.__name__}.{name}"
        for cls in (
            config.ProviderSettings,
            config.PriceSettings,
            config.BudgetSettings,
            config.GroupSettings,
            config.ResilienceSettings,
            config.LocalSettings,
        )
        for name in cls.model_fields
        if name not in generate.field_docs(cls)
    ]
    assert silent == []

"""`python -m smartrouter_serve` is the `smartrouter` command."""

from __future__ import annotations

from smartrouter_serve.cli.main import main

main()

"""`python -m tests.services.keystone`: the test against a real Keystone. Its name keeps it out of every other run: it takes
more than a minute, and the first time several."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.exit(pytest.main(["-v", "-m", "services", str(Path(__file__).with_name("real_keystone.py"))]))

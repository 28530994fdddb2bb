"""The packages of a wheel; all else is in pyproject.toml, which cannot add to what it finds."""

from setuptools import find_packages, setup

found = find_packages(include=["reproduce", "reproduce.*", "baselines", "baselines.*"])
setup(packages=[*found, "reproduce._conf", "reproduce._published"])

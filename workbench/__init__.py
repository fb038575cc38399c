"""The door: application, job thread, command line and settings. Puts the rooms together."""

__version__ = "0.1.0"

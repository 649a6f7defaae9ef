"""Repositories of 2017 and 2018: torch.utils.ffi, and what else torch was then."""

"""Incidents and who is told of them: one page, with the cause, and one when it is over."""

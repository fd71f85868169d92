"""Steps for authors of revisions, each of which lets the application go on.

What each locks, how it is taken back and what a second try finds is said where it is defined.
"""

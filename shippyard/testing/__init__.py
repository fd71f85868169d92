"""For the tests of whoever works on Shippyar: a database of their own at head, in an instant."""

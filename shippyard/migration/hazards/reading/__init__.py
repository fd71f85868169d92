"""From a revision's file and its SQL to statements that rules can look at."""

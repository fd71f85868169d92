"""The commands: one file per subcommand. They parse, call and print; they decide nothing."""

"""What is wrong with a machine and its servers before anybody needs them. Asks no daemon."""

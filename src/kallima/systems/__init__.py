"""One file an algorithm, in folders by family."""

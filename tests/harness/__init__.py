"""What the Python suites share: a server to test, receivers, a plain client, and a runner. Standard library only."""

"""What the APIs of the built-in providers send, for the conformance kit: one module for each dialect."""

TEXT = "Grüße, 世界 🦙\nBis bald."
PIECES = ("Grü", "ße, 世界 🦙", "\nBis", " bald.")

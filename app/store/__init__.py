"""The event store: one interface, and an implementation for each database."""

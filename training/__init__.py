"""Encore's offline side: from listening records to a published model."""

"""Dialects of tables: separators, quoting, headers, encodings and forms of numbers."""

"""JSON: one document, or one object a line for open-ended commands; see docs/json.md."""
